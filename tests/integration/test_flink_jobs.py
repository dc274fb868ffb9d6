"""Both Flink jobs on a real broker and a real cluster: every published document has the outcome that it must have."""

import json
import random
from collections import defaultdict
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from headrace.contract import topics
from headrace.contract.digests import block_digest, file_sha256, run_digest, shard_of
from headrace.contract.errors import ContractError
from headrace.contract.settings import Settings, load
from headrace.jobs import CLEAN, TOKENIZE
from headrace.kafka import producer_config
from tests.integration.jobs_stream import PUBLISHED, Stream

LONG = " ".join(f"word{number}" for number in range(22_000))
PLAIN, JSON = {"content-type": b"text/plain"}, {"content-type": b"application/json"}


@pytest.fixture
def stream(settings: Settings, flink: dict[str, str]) -> Iterator[Stream]:
    quick = ["flink.checkpoint_interval_ms=1000", "tokenize.window_s=1", "tokenize.block_tokens=32"]
    made = Stream(load(environment=settings.environment(), assignments=quick).settings, flink)
    try:
        yield made
    finally:
        made.end()


def check_blocks(stream: Stream) -> None:
    """What blocks and seals say of themselves, each other and the documents in them."""
    settings = stream.settings
    digests: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    numbers: dict[tuple[int, int], list[int]] = defaultdict(list)
    times = {document.raw: message.timestamp()[1] for document, message in stream.clean()}
    so_far: dict[tuple[int, int], int] = defaultdict(int)
    for block, message in stream.blocks():
        assert message.key() == str(block.shard).encode()
        assert block.tokenizer == file_sha256(str(settings.tokenizer_file))
        assert len(block.tokens) <= settings.tokenize.block_tokens
        raws = [(partition, offset) for partition, offset in block.doc_raw.tolist()]
        assert {shard_of(*raw, settings.tokenize.shards) for raw in raws} == {block.shard}
        assert message.timestamp()[1] == min(times[raw] for raw in raws)
        for raw, begin, length in zip(raws, block.doc_from.tolist(), block.span_lengths().tolist(), strict=True):
            assert begin == so_far[raw], f"tokens of {raw} are missing, doubled, or out of order"
            so_far[raw] += length
        digests[block.window, block.shard].append(block_digest(message.value() or b""))
        numbers[block.window, block.shard].append(block.number)
    for block, _ in stream.blocks():
        assert [so_far[raw[0], raw[1]] for raw in block.doc_raw.tolist()] == block.doc_tokens.tolist()
    seals = stream.seals()
    assert {(seal.start, seal.shard): seal.digest for seal in seals} == {
        window: run_digest(found).hex() for window, found in digests.items()
    }
    assert all(numbers[seal.start, seal.shard] == list(range(seal.blocks)) for seal in seals)
    assert all(seal.end - seal.start == 1000 * settings.tokenize.window_s for seal in seals)
    assert sum(seal.tokens for seal in seals) == sum(so_far.values())
    assert sum(seal.documents for seal in seals) == len(so_far)


def check_plans(stream: Stream) -> None:
    """The hash of a plan speaks of the query, not of where it runs; a job of another plan than expected is refused.

    And each Python function runs once, though two branches go on from what it gives.
    """
    with stream.program("kafka.brokers=elsewhere:1", "local.data_dir=elsewhere") as asked:
        assert asked.ask(CLEAN, describe=True) == {"plan": stream.plans[CLEAN]}
    with stream.program("tokenize.window_s=3") as asked:
        said = f"{stream.plans[TOKENIZE]}.* compiles to [0-9a-f]{{32}}.*headrace jobs upgrade"
        with pytest.raises(ContractError, match=said):
            asked.ask(TOKENIZE, expect=stream.plans[TOKENIZE])
    assert (stream.operators(CLEAN).count("PythonCorrelate"), stream.operators(TOKENIZE).count("PythonCorrelate")) == (
        1,
        2,
    )


def test_every_document_has_the_outcome_it_must_have(stream: Stream) -> None:
    good = "A good text, with ünïcödé,\n\nparagraphs and <|endoftext|> typed in the middle."
    said = {"text": "A text that says  more of itself", "id": "m1", "source": "mail", "label": "ham"}
    cases: list[tuple[str, bytes | None, dict[str, bytes]]] = [
        ("clean", good.encode(), PLAIN),
        ("duplicate", good.replace("\n\n", "\r\n\r\n\r\n").replace(" typed", " \x07typed").encode(), PLAIN),
        ("clean", json.dumps(said | {"time": "2020-01-01T00:00:00Z"}).encode(), JSON),
        ("duplicate", json.dumps(said | {"source": "elsewhere"}).encode(), {}),
        ("clean", b'{"text": "never parsed, being plain"}', PLAIN),
        ("clean", b"The quick brown fox jumps over the lazy dog. " * 40, {"source": b"books"}),
        ("empty", None, {}),
        ("empty", b"", PLAIN),
        ("empty", b" \n\x00 ", PLAIN),
        ("too_long", random.Random(7).randbytes(4_000_000), PLAIN),
        ("invalid_utf8", b"bad \xff\xfe bytes", PLAIN),
        ("bad_json", b'{"text": "cut', JSON),
        ("bad_field", b'{"text": 5}', JSON),
        ("content_type", b"<html>", {"content-type": b"text/css"}),
        ("clean", b"<html><p>Some words of a page, and no more</p>", {"content-type": b"text/html"}),
        ("gopher_short_doc", b"too short", PLAIN),
        ("lorem_ipsum", b"Lorem ipsum dolor sit amet consectetur", PLAIN),
        ("clean", LONG.encode(), {}),
    ]
    raws = stream.publish((value, headers) for _, value, headers in cases)
    expected = dict(zip(raws, [outcome for outcome, _, _ in cases], strict=True))
    stream.start()
    check_plans(stream)
    stream.settle()

    clean = {document.raw: (document, message) for document, message in stream.clean()}
    rejects = {headers.raw: (headers, message) for headers, message in stream.rejected("clean")}
    assert len(clean) + len(rejects) == len(stream.clean()) + len(stream.rejected("clean")) == len(cases)
    assert {raw: headers.reason for raw, (headers, _) in rejects.items()} | dict.fromkeys(clean, "clean") == expected
    times = {raw: PUBLISHED + number for number, raw in enumerate(raws)}
    for raw, (headers, message) in rejects.items():
        assert message.value() == (None if headers.reason == "duplicate" else stream.published[raw])
        assert message.timestamp()[1] == times[raw]
    assert {raw: message.timestamp()[1] for raw, (_, message) in clean.items()} == {raw: times[raw] for raw in clean}

    mail, books, plain = clean[raws[2]][0], clean[raws[5]][0], clean[raws[4]][0]
    assert (mail.id, mail.source, mail.label, mail.time) == ("m1", "mail", "ham", 1_577_836_800_000)
    assert (books.id, books.source, books.label, books.time) == (None, "books", None, times[raws[5]])
    assert plain.text == '{"text": "never parsed, being plain"}'
    check_blocks(stream)
    texts = stream.texts()
    assert texts == {raw: document.text for raw, (document, _) in clean.items()}
    assert texts[raws[0]] == good
    assert stream.rejected("tokenize") == []
    assert stream.state_bytes(CLEAN) < len(LONG) / 2, "no text is remembered, only fingerprints"

    # What is in text.clean and is no clean document does not stop the job either.
    producer = Producer(producer_config(stream.cluster.brokers))
    for value in (None, b'{"raw": "nowhere"}'):
        producer.produce(stream.settings.topic(topics.CLEAN), value, partition=3)
    producer.flush(30)
    stream.wait(lambda: len(stream.rejected("tokenize")) == 2, "rejects of tokenize")
    found = stream.rejected("tokenize")
    assert {message.value() for _, message in found} == {None, b'{"raw": "nowhere"}'}
    assert all(headers.reason == "bad_record" and "text.clean[3]@" in headers.detail for headers, _ in found)


def documents(first: int, last: int) -> Iterator[tuple[bytes, dict[str, bytes]]]:
    for number in range(first, last):
        filler = " ".join(f"word{number * step % 97}" for step in range(1, 3 + number % 23))
        yield f"document number {number} has words: {filler}".encode(), PLAIN


def test_nothing_is_lost_or_doubled_over_a_stop_and_a_restore(stream: Stream) -> None:
    stream.start()
    first = [
        raw
        for partition in range(4)
        for raw in stream.publish(documents(partition * 50, partition * 50 + 50), partition)
    ]
    stream.wait(lambda: len(stream.clean()) > 0, "first document")  # so the stop finds work in hand
    stream.publish(documents(200, 300), 1)
    stream.stop()
    repeated = stream.publish(documents(0, 30), 2)
    stream.publish(documents(300, 350), 3)
    stream.start()
    stream.publish(documents(350, 400), 0)
    stream.settle()

    outcomes = [document.raw for document, _ in stream.clean()] + [
        headers.raw for headers, _ in stream.rejected("clean")
    ]
    assert sorted(outcomes) == sorted(stream.published)
    rejects = {headers.raw: headers.reason for headers, _ in stream.rejected("clean")}
    assert rejects == dict.fromkeys(repeated, "duplicate"), "what was seen is remembered over a stop"
    assert set(first).isdisjoint(rejects)
    assert stream.texts() == {document.raw: document.text for document, _ in stream.clean()}
    check_blocks(stream)
