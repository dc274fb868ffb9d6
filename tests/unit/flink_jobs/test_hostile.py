"""The table of hostile documents, through the jobs' functions alone; and whatever hypothesis comes up with."""

import json
from collections import Counter
from typing import Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.text.outcome import CleanJudge, CleanRow, TokenizeJudge, raw_of
from flink_jobs.text.pack import Encoded
from flink_jobs.text.tokens import Encoder
from headrace.contract.cleaning import Clean, ProfileName
from headrace.contract.documents import REASONS, CleanDocument, RejectedHeaders
from headrace.contract.errors import Coordinate
from headrace.contract.settings import ROOT
from tests.hostile import ACCEPTED, HARMLESS, TABLE, Hostile

AT = Coordinate("text.clean", 1, 5)
RAW = (2, 9)


@pytest.fixture(scope="session")
def tokenize() -> TokenizeJudge:
    return TokenizeJudge(Encoder.load(ROOT / "flink_jobs/tokenizer/tokenizer.json"), 4)


def reason_of(row: CleanRow) -> str:
    value, fingerprint, headers, _ = row
    if fingerprint is None:
        return RejectedHeaders.decode(list(headers.items()), AT).reason
    assert value is not None
    return ACCEPTED


def test_the_table_has_three_hundred_documents() -> None:
    assert len(TABLE) >= 300
    assert len({document.name for document in TABLE}) == len(TABLE)


@pytest.mark.parametrize("document", HARMLESS, ids=lambda document: document.name)
def test_a_hostile_document_has_its_outcome(document: Hostile, tokenize: TokenizeJudge) -> None:
    row = CleanJudge(Clean())(document.value, dict(document.headers), RAW, document.time)
    assert reason_of(row) == (ACCEPTED if document.outcome == "duplicate" else document.outcome), row[2]
    if row[1] is None:
        assert row[0] == document.value
        return
    accepted = CleanDocument.decode(row[0], AT)
    shard, encoded, headers = tokenize(row[0], AT, document.time)
    assert (headers, shard is None, encoded is None) == (None, False, False)
    tokens = Encoded.from_bytes(encoded or b"").tokens.tolist()
    assert tokens.pop() == tokenize.encoder.end
    assert set(tokenize.encoder.special).isdisjoint(tokens)
    assert tokenize.encoder.tokenizer.decode(tokens) == accepted.text


def test_what_no_row_calls_a_duplicate_is_none() -> None:
    judge = CleanJudge(Clean())
    once = [document for document in HARMLESS if document.outcome == ACCEPTED]
    rows = [judge(document.value, dict(document.headers), RAW, document.time) for document in once]
    alike = Counter(fingerprint for _, fingerprint, _, _ in rows)
    assert [document.name for document, row in zip(once, rows, strict=True) if alike[row[1]] > 1] == []


names = st.sampled_from(["content-type", "source", "id", "time", "replay-of"]) | st.text(max_size=10)
kinds = st.sampled_from(
    [b"text/plain", b"application/json", b" Application/JSON; charset=x", b"text/html", b"message/rfc822"]
)
some_headers = st.dictionaries(names, st.none() | kinds | st.binary(max_size=30), max_size=6)
nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
fields = st.dictionaries(st.sampled_from(["text", "id", "source", "time", "label", "meta"]), nested, max_size=6)
pieces = st.sampled_from(
    ["good ", "words ", "<|endoftext|>", "\0", "\u0301", "\u202e", "\ud83d", "\n", "#", "…", "ﷺ", "{"]
)
values = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    st.lists(pieces, max_size=40).map("".join).map(lambda text: text.encode("utf-8", "surrogatepass")),
    fields.map(lambda fields: json.dumps(fields).encode()),
    st.tuples(fields.map(lambda fields: json.dumps(fields).encode()), st.integers(0, 60)).map(lambda t: t[0][: -t[1]]),
)


@given(
    values,
    some_headers,
    st.integers(0, 2**43),
    st.sampled_from(["NFC", "NFKC"]),
    st.sampled_from(get_args(ProfileName)),
)
def test_any_record_has_one_outcome(
    tokenize: TokenizeJudge,
    value: bytes | None,
    headers: dict[str, bytes | None],
    published: int,
    form: Literal["NFC", "NFKC"],
    profile: ProfileName,
) -> None:
    """Never an error, and never one that only the outermost guard caught; then the same for stage tokenize."""
    rules = Clean(normal_form=form, profile=profile, max_document_bytes=150)
    row = CleanJudge(rules)(value, headers, RAW, published)
    reason = reason_of(row)
    assert reason == ACCEPTED or (reason in REASONS and reason != "internal_error"), row[2]
    if reason != ACCEPTED:
        assert row[0] == value
        return
    shard, encoded, reject = tokenize(row[0], AT, published)
    assert reject is None
    assert shard is not None
    tokens = Encoded.from_bytes(encoded or b"").tokens.tolist()
    assert tokens[-1] == tokenize.encoder.end
    assert set(tokenize.encoder.special).isdisjoint(tokens[:-1])


@given(st.none() | st.binary(max_size=200) | values, st.integers(0, 3), st.integers(0, 2**40), st.integers(0, 2**43))
def test_any_record_of_text_clean_has_one_outcome(
    tokenize: TokenizeJudge, value: bytes | None, partition: int, offset: int, published: int
) -> None:
    shard, encoded, reject = tokenize(value, Coordinate("text.clean", partition, offset), published)
    assert (shard, encoded) == (None, None)
    assert reject is not None
    assert reject["reason"] == b"bad_record"
    assert isinstance(raw_of(value), tuple)
