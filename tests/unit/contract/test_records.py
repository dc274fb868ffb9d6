"""What is encoded decodes to itself; what is malformed raises the typed error with its coordinates."""

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from headrace.contract import blocks, documents, plan, training
from headrace.contract.errors import ContractError, Coordinate, RecordError, Rejected
from headrace.contract.record import Record

AT = Coordinate("some.topic", 3, 41)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
counts = st.integers(0, 2**40)
labels = st.none() | st.booleans() | st.integers(-(2**50), 2**50) | words | st.floats(allow_nan=False)


@st.composite
def block(draw: st.DrawFn) -> blocks.Block:
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    total, d = sum(lengths), len(lengths)
    starts = np.cumsum([0, *lengths[:-1]]).astype(np.int32)
    begins = np.array(draw(st.lists(st.integers(0, 99), min_size=d, max_size=d)), np.int32)
    wide = draw(st.booleans())
    ids = draw(st.lists(st.integers(0, 2**32 - 1 if wide else 2**16 - 1), min_size=total, max_size=total))
    sources = tuple(draw(st.lists(words, min_size=1, max_size=3)))
    return blocks.Block(
        tokens=np.array(ids, np.uint32 if wide else np.uint16),
        doc_raw=np.array(draw(st.lists(st.tuples(counts, counts), min_size=d, max_size=d)), np.int64),
        doc_start=starts,
        doc_from=begins,
        doc_tokens=(begins + np.array(lengths) + draw(st.integers(0, 5))).astype(np.int32),
        doc_before=np.zeros(d, np.int32),
        doc_source=np.array([i % len(sources) for i in range(d)], np.int32),
        sources=sources,
        tokenizer=draw(words),
        window=draw(counts),
        shard=draw(st.integers(0, 99)),
        number=draw(st.integers(0, 99)),
    )


@given(block())
def test_a_block_decodes_to_itself(made: blocks.Block) -> None:
    read = blocks.Block.decode(made.encode(), AT)
    for name in ("tokens", *blocks.SPAN_TENSORS):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
        assert getattr(read, name).dtype == getattr(made, name).dtype
    for name in ("sources", "tokenizer", "window", "shard", "number"):
        assert getattr(read, name) == getattr(made, name)


@given(block())
def test_a_block_is_one_safetensors_file_and_always_the_same(made: blocks.Block) -> None:
    value = made.encode()
    assert value == blocks.Block.decode(value, AT).encode()
    tensors = safetensors.numpy.load(value)
    assert set(tensors) == {"tokens", *blocks.SPAN_TENSORS}
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, getattr(made, name))
    assert int.from_bytes(value[:8], "little") % 8 == 0, "the tensors lie where memory may be mapped"


@given(block(), st.data())
def test_a_block_whose_parts_do_not_fit_is_named(made: blocks.Block, data: st.DataObject) -> None:
    fields = dict(vars(made))
    broken = {
        "doc_start": made.doc_start + 1,
        "doc_tokens": made.doc_from,
        "doc_source": made.doc_source + len(made.sources),
        "doc_before": np.zeros(len(made.doc_start) + 1, np.int32),
        "tokens": made.tokens.astype(np.int64),
    }
    name = data.draw(st.sampled_from(sorted(broken)))
    with pytest.raises(RecordError, match=r"some\.topic\[3\]@41"):
        blocks.Block.decode(blocks.Block(**{**fields, name: broken[name]}).encode(), AT)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_block_are_named(value: bytes) -> None:
    with pytest.raises(RecordError) as caught:
        blocks.Block.decode(value, AT)
    assert caught.value.at == AT


runs = st.lists(
    st.builds(plan.Run, counts, counts, counts, counts, st.text("0123456789abcdef", max_size=32)),
    min_size=1,
    max_size=5,
)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        documents.CleanDocument,
        raw=st.tuples(counts, counts),
        id=st.none() | words,
        source=words,
        time=st.integers(-(2**50), 2**50),
        language=st.none() | words,
        text=words,
        label=labels,
    ),
    st.builds(plan.Origin, cluster=words, topics=st.dictionaries(words, words), tokenizer=words, time=counts),
    st.builds(
        plan.Step,
        seq=st.integers(1, 2**40),
        step=counts,
        blocks=runs.map(tuple),
        tokens=st.integers(1, 2**40),
        tokens_before=counts,
        next=st.dictionaries(st.integers(0, 99), counts),
        time=counts,
    ),
    st.builds(training.StepReport),
    st.builds(training.IdleReport),
    st.builds(training.Manifest, settings=st.dictionaries(words, labels)),
    st.builds(training.CheckpointAnnouncement),
    st.builds(training.Command),
    st.builds(blocks.Seal),
)


def same(first: object, second: object) -> bool:
    """Equality under which NaN, which a report of a skipped step holds, equals itself."""
    return repr(first) == repr(second)


@given(records)
def test_a_record_decodes_to_itself(made: Record) -> None:
    assert same(type(made).decode(made.encode(), AT), made)
    if isinstance(made, plan.Origin | plan.Step):
        assert same(plan.decode_plan(made.encode(), AT), made)


@pytest.mark.parametrize(
    "value", [None, b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"schema":2}', b'{"kind":"train","seq":"x"}']
)
@pytest.mark.parametrize(
    "kind", [documents.CleanDocument, plan.Step, training.StepReport, training.Manifest, training.Command, blocks.Seal]
)
def test_a_malformed_record_is_named(kind: type[Record], value: bytes | None) -> None:
    with pytest.raises(RecordError, match=r"some\.topic\[3\]@41") as caught:
        kind.decode(value, AT)
    assert caught.value.exit_code == ContractError.exit_code == 4
    with pytest.raises(RecordError):
        plan.decode_plan(value, AT)


def test_another_schema_version_names_both() -> None:
    value = training.Command(run="main", id="1", command="stop", time=1).encode().replace(b'"schema":1', b'"schema":2')
    with pytest.raises(RecordError, match="is of schema 2, this program reads 1"):
        training.Command.decode(value, AT)


@given(
    st.sampled_from(sorted(documents.REASONS)), st.sampled_from(["clean", "tokenize"]), words, st.tuples(counts, counts)
)
def test_reject_headers_decode_to_themselves(
    reason: str, stage: documents.Stage, detail: str, raw: tuple[int, int]
) -> None:
    made = documents.RejectedHeaders(reason, stage, detail, raw)
    assert documents.RejectedHeaders.decode(list(made.encode().items()), AT) == made


@pytest.mark.parametrize("broken", ["reason", "stage", "raw-partition", "raw-offset"])
def test_a_missing_or_wrong_reject_header_is_named(broken: str) -> None:
    good = documents.RejectedHeaders("empty", "clean", "", (0, 1)).encode()
    without: list[tuple[str, bytes | None]] = [(name, value) for name, value in good.items() if name != broken]
    with pytest.raises(RecordError, match=broken):
        documents.RejectedHeaders.decode(without, AT)
    if broken != "reason":
        with pytest.raises(RecordError, match=broken):
            documents.RejectedHeaders.decode([*without, (broken, b"x")], AT)


LIMIT = 1000


@pytest.mark.parametrize(
    ("value", "headers", "text"),
    [
        (b"plain words", {}, "plain words"),
        (b'{"text": "from json"}', {}, "from json"),
        (b'{"text": "kept as it is"}', {"content-type": b"text/plain"}, '{"text": "kept as it is"}'),
        (b'  {"text": "indented"}', {"content-type": b"application/json; charset=utf-8"}, "indented"),
        (b' {"text": "a log line"}', {}, ' {"text": "a log line"}'),
        ("[1] grüße".encode(), {}, "[1] grüße"),
        (b"x" * LIMIT, {}, "x" * LIMIT),
    ],
)
def test_raw_text_is_decoded_by_its_content_type(value: bytes, headers: dict[str, bytes | None], text: str) -> None:
    assert documents.decode_raw(value, headers, LIMIT).text == text


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (None, {}, "empty"),
        (b"", {}, "empty"),
        (b'{"text": ""}', {}, "empty"),
        (b"x" * (LIMIT + 1), {}, "too_long"),
        (b"\xff\xfe", {}, "invalid_utf8"),
        (b'{"text": "\xff"}', {}, "invalid_utf8"),
        (b'{"broken', {}, "bad_json"),
        (b"[1, 2]", {"content-type": b"application/json"}, "bad_json"),
        (b'{"text": "\\ud800"}', {}, "bad_json"),
        (b'{"text": 7}', {}, "bad_field"),
        (b'{"id": "no text"}', {}, "bad_field"),
        (b'{"text": "a", "id": {}}', {}, "bad_field"),
        (b'{"text": "a", "source": 1}', {}, "bad_field"),
        (b'{"text": "a", "time": "yesterday"}', {}, "bad_field"),
        (b'{"text": "a", "label": []}', {}, "bad_field"),
        (b"x", {"content-type": b"image/png"}, "content_type"),
    ],
)
def test_raw_text_that_is_not_accepted_says_why(
    value: bytes | None, headers: dict[str, bytes | None], reason: str
) -> None:
    with pytest.raises(Rejected) as caught:
        documents.decode_raw(value, headers, LIMIT)
    assert caught.value.reason == reason
    assert reason in documents.REASONS


@given(
    st.binary(max_size=60),
    st.dictionaries(st.sampled_from(["content-type", "source", "id", "time"]), st.none() | st.binary(max_size=20)),
)
def test_any_bytes_are_a_document_or_a_reject(value: bytes, headers: dict[str, bytes | None]) -> None:
    try:
        assert documents.decode_raw(value, headers, 50).text
    except Rejected as rejected:
        assert rejected.reason in documents.REASONS


def test_headers_count_where_the_json_is_silent() -> None:
    headers: dict[str, bytes | None] = {"source": b"header", "id": b"7", "time": b"2020-01-01T00:00:00"}
    read = documents.decode_raw(b'{"text": "a", "source": "body"}', headers, LIMIT)
    assert (read.source, read.id, read.time) == ("body", "7", 1_577_836_800_000)
    assert documents.decode_raw(b"a", {}, LIMIT).source == documents.UNKNOWN_SOURCE
    assert documents.decode_raw(b"a", {"time": b"1577836800000"}, LIMIT).time == 1_577_836_800_000
