"""The Python functions of the jobs: exactly one row for every record, whatever is wrong with it."""

import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flink_jobs.clean.udtf import CleanFunction
from flink_jobs.quarantine import Quarantine
from flink_jobs.text.near import BANDS, band_keys
from flink_jobs.text.outcome import CleanJudge, EncodedRow, TokenizeJudge, raw_of
from flink_jobs.text.pack import Encoded
from flink_jobs.text.tokens import Encoder
from flink_jobs.tokenize.udtf import PackFunction, TokenizeFunction
from headrace.contract.blocks import Block, Seal
from headrace.contract.cleaning import Clean
from headrace.contract.digests import block_digest, run_digest, shard_of
from headrace.contract.documents import CleanDocument, RejectedHeaders
from headrace.contract.errors import ContractError, Coordinate, SchemaError
from headrace.contract.settings import ROOT
from headrace.contract.topics import BLOCKS, LARGEST_OUTPUT_BYTES, WINDOWS

TIME = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
MILLISECONDS = 1767323045678
TINY = ROOT / "flink_jobs/tokenizer/tiny/tokenizer.json"
AT = Coordinate("text.clean", 1, 5)
DOCUMENT = CleanDocument(raw=(2, 9), id=None, source="chat", time=1, language="en", text="some good text", label=None)


def reject(headers: dict[str, bytes]) -> RejectedHeaders:
    return RejectedHeaders.decode(list(headers.items()), AT)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def cleaned(value: bytes | None, rules: Clean | None = None) -> tuple[bytes | None, bytes | None, RejectedHeaders]:
    function = CleanFunction(CleanJudge(rules or Clean()), Quarantine(Path("quarantine"), 30))
    function = pickle.loads(pickle.dumps(function))  # as it travels
    function.open(None)
    (row,) = function.eval(value, {}, 2, 9, TIME)
    function.close()
    return row[0], row[1], reject(row[2])


def test_an_accepted_document_is_ready_to_be_a_duplicate() -> None:
    value, fingerprint, headers = cleaned(b"some good  text")
    document = CleanDocument.decode(value, AT)
    assert document == DOCUMENT.model_copy(update={"time": MILLISECONDS, "source": "unknown"})
    assert fingerprint == cleaned(b"some  good text")[1]
    assert headers == RejectedHeaders("duplicate", "clean", "", (2, 9))


def test_nothing_is_made_of_a_row_behind_a_long_document() -> None:
    clean = CleanFunction(CleanJudge(Clean()), Quarantine(Path("quarantine"), 30))
    assert list(clean.eval(None, {}, 2, None, TIME)) == []
    quarantine = Quarantine[EncodedRow](Path("quarantine"), 30)
    tokenize = TokenizeFunction(TokenizeJudge, TINY, "", 4, quarantine, rate=1e6)
    assert list(tokenize.eval(None, 1, None, TIME)) == []


def test_only_an_accepted_document_has_bands_and_only_with_near_dedup() -> None:
    near = CleanJudge(Clean(near_dedup=True))
    text = "some good text of more than five words"
    bands = near(text.encode(), {}, (2, 9), 1)[3]
    assert bands == band_keys(text, (2, 9))
    assert len(bands) == BANDS
    assert near(b"\xff", {}, (2, 9), 1)[3] is None
    assert near.rejected(b"", {}, (2, 9), "quarantined", "")[3] is None
    assert CleanJudge(Clean())(text.encode(), {}, (2, 9), 1)[3] is None


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"short", b'{"text": null}'])
def test_a_rejected_document_keeps_its_bytes(value: bytes | None) -> None:
    kept, fingerprint, headers = cleaned(value)
    assert (kept, fingerprint) == (value, None)
    assert (headers.stage, headers.raw) == ("clean", (2, 9))
    assert headers.reason not in ("duplicate", "internal_error")


def test_an_output_that_no_record_could_hold_is_a_reject() -> None:
    """A letter of three bytes becomes eighteen in the normal form: the limit on the input alone is not enough."""
    value = ("ab " * 300_000 + "\ufdfa" * 300_000).encode()
    rules = Clean(max_document_bytes=3 * 2**20, normal_form="NFKC", profile="none")
    kept, fingerprint, headers = cleaned(value, rules)
    assert (kept, fingerprint, headers.reason) == (value, None, "too_long")
    assert str(LARGEST_OUTPUT_BYTES) in headers.detail


def test_a_defect_costs_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: str) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr("flink_jobs.text.outcome.fingerprint", broken)
    value, fingerprint, headers = cleaned(b"some good text")
    assert (value, fingerprint) == (b"some good text", None)
    assert headers == RejectedHeaders("internal_error", "clean", "ZeroDivisionError", (2, 9))


def tokenize_function(digest: str) -> TokenizeFunction:
    return TokenizeFunction(TokenizeJudge, TINY, digest, 4, Quarantine(Path("quarantine"), 30), rate=1e6)


def tokenized(value: bytes | None) -> tuple[Encoded, int] | RejectedHeaders:
    function = pickle.loads(pickle.dumps(tokenize_function(Encoder.load(TINY).digest)))  # as it travels
    function.open(None)
    ((shard, document, headers),) = function.eval(value, 1, 5, TIME)
    function.close()
    if document is None:
        assert shard is None
        return reject(headers or {})
    assert shard is not None
    assert headers is None
    return Encoded.from_bytes(document), shard


def test_a_clean_document_becomes_tokens_in_its_shard() -> None:
    answer = tokenized(DOCUMENT.encode())
    assert isinstance(answer, tuple)
    document, shard = answer
    assert (document.clean, document.raw, document.published, document.source) == ((1, 5), (2, 9), MILLISECONDS, "chat")
    assert document.tokens.tolist() == Encoder.load(TINY).encode("some good text").tolist()
    assert shard == shard_of(2, 9, 4)


@pytest.mark.parametrize(
    ("value", "reason", "raw"),
    [
        (None, "bad_record", (-1, -1)),
        (b"not JSON", "bad_record", (-1, -1)),
        (b'{"schema":1,"text":"no coordinate"}', "bad_record", (-1, -1)),
        (DOCUMENT.model_copy(update={"text": ""}).encode(), "no_tokens", (2, 9)),
        (DOCUMENT.model_copy(update={"raw": (-2, 9)}).encode(), "internal_error", (-2, 9)),
    ],
)
def test_what_cannot_be_tokenized_is_a_reject(value: bytes | None, reason: str, raw: tuple[int, int]) -> None:
    answer = tokenized(value)
    assert isinstance(answer, RejectedHeaders)
    assert (answer.stage, answer.reason, answer.raw) == ("tokenize", reason, raw)
    assert reason != "bad_record" or answer.detail.startswith("text.clean[1]@5: ")


def test_what_a_newer_version_wrote_stops_the_job_instead_of_being_rejected() -> None:
    with pytest.raises(SchemaError, match=r"text\.clean\[1\]@5: is of schema 2, this program reads 1"):
        tokenized(DOCUMENT.encode().replace(b'"schema":1', b'"schema":2'))


def test_the_raw_coordinate_is_found_without_decoding() -> None:
    assert raw_of(DOCUMENT.encode()) == DOCUMENT.raw
    assert raw_of(None) == raw_of(b"{}") == raw_of(b'{"schema":1,"raw":[-2,9],') == (-1, -1)


def test_another_tokenizer_than_submitted_stops_the_worker() -> None:
    function = tokenize_function("00" * 32)
    with pytest.raises(ContractError, match="submitted with 0000"):
        function.open(None)


def test_a_window_becomes_blocks_and_one_seal() -> None:
    encoder = Encoder.load(TINY)
    texts = ["the first text of all", "and another one", "the end"]
    documents = [
        Encoded((0, n), (3, n * 2), MILLISECONDS + n, "chat", encoder.encode(text)).to_bytes()
        for n, text in enumerate(texts)
    ]
    start, end = datetime(2026, 1, 2, 3, 4, 4), datetime(2026, 1, 2, 3, 4, 6)  # noqa: DTZ001 (as Flink gives them)
    *blocks, last = PackFunction(encoder.digest, encoder.begin, 8).eval(1, start, end, documents[::-1])
    values = [value for topic, key, value, _ in blocks if (topic, key) == (BLOCKS, b"1")]
    assert len(values) == len(blocks) > 1
    decoded = [Block.decode(value, AT) for value in values]
    tokens = [token for block in decoded for token in block.tokens.tolist()]
    assert tokens == [token for text in texts for token in encoder.encode(text).tolist()]
    assert {(block.window, block.shard, block.tokenizer) for block in decoded} == {(1767323044000, 1, encoder.digest)}
    assert blocks[0][3] == MILLISECONDS
    topic, key, value, published = last
    assert (topic, key, published) == (WINDOWS, None, MILLISECONDS)
    assert Seal.decode(value, AT) == Seal(
        start=1767323044000,
        end=1767323046000,
        shard=1,
        documents=3,
        tokens=len(tokens),
        blocks=len(values),
        digest=run_digest(map(block_digest, values)).hex(),
    )


def test_sql_values_cannot_end_their_string(tmp_path: Path) -> None:
    from flink_jobs.environment import statements

    file = tmp_path / "job.sql"
    file.write_text("-- a; b\nCREATE x ('topic' = '$a;$b');\n\nINSERT INTO y;\n")
    assert statements(file, a="o'clock", b=5) == ["-- a; b\nCREATE x ('topic' = 'o''clock;5')", "INSERT INTO y"]
    with pytest.raises(KeyError):
        statements(file, a="only")


def test_a_judge_that_has_judged_can_still_be_tried_apart() -> None:
    """A suspect's trial takes the worker's judge, models and caches and all, into a process of its own."""
    clean, tokenize = CleanJudge(Clean(near_dedup=True)), TokenizeJudge(Encoder.load(TINY), 4)
    row = clean(b"some good text, and more of it", {}, (2, 9), MILLISECONDS)
    encoded = tokenize(row[0], AT, MILLISECONDS)
    again, once_more = (pickle.loads(pickle.dumps(judge)) for judge in (clean, tokenize))
    assert again(b"some good text, and more of it", {}, (2, 9), MILLISECONDS) == row
    assert once_more(row[0], AT, MILLISECONDS) == encoded
