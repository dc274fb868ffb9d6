"""The table of hostile documents through both jobs, between good ones, written by a client that is not ours."""

import json
import random
import re
from collections.abc import Iterator

import pytest

from headrace.audit.verify import verify_deployment
from headrace.contract import topics
from headrace.contract.settings import Settings, load
from headrace.jobs import CLEAN
from tests.hostile import ACCEPTED, TABLE, Hostile
from tests.integration.jobs_stream import Raw, Stream
from tests.integration.raw_client import abort, write
from tests.integration.test_flink_jobs import LONG, check_blocks, check_plans

PLAIN, JSON = [("content-type", b"text/plain")], [("content-type", b"application/json")]


@pytest.fixture
def stream(settings: Settings, flink: dict[str, str]) -> Iterator[Stream]:
    quick = ["flink.checkpoint_interval_ms=1000", "tokenize.window_s=1", "tokenize.block_tokens=128"]
    made = Stream(load(environment=settings.environment(), assignments=quick).settings, flink)
    try:
        yield made
    finally:
        made.end()


GOOD = "A good text, with ünïcödé,\n\nparagraphs and <|endoftext|> typed in the middle."
SAID = {"text": "A text that says  more of itself", "id": "m1", "source": "mail", "label": "ham"}
CASES = [
    Hostile("good", GOOD.encode(), headers=PLAIN, partition=0),
    Hostile("good again", GOOD.replace("\n\n", "\r\n\r\n\r\n").encode(), "duplicate", PLAIN, partition=0),
    Hostile("mail", json.dumps(SAID | {"time": "2020-01-01T00:00:00Z"}).encode(), headers=JSON, partition=0),
    Hostile("mail again", json.dumps(SAID | {"source": "elsewhere"}).encode(), "duplicate", partition=0),
    Hostile("books", b"The quick brown fox jumps over the lazy dog. " * 40, headers=[("source", b"books")]),
    Hostile("noise", random.Random(7).randbytes(4_000_000), "too_long", PLAIN),
    Hostile("long", LONG.encode()),
]


def between(documents: list[Hostile]) -> Iterator[Hostile]:
    """Each with a good one before it."""
    for number, document in enumerate(documents):
        yield Hostile(f"good {number}", f"A good document, number {number}, between bad ones".encode())
        yield document


def check_outcomes(stream: Stream, written: dict[Raw, Hostile]) -> None:
    """Each document has the one outcome that its row names, with all that the record must hold."""
    clean, rejected, late = stream.clean(), stream.rejected("clean"), stream.rejected("tokenize")
    raws = [document.raw for document, _ in clean] + [headers.raw for headers, _ in rejected]
    assert sorted(raws) == sorted(written), "one outcome each"
    outcomes = {document.raw: ACCEPTED for document, _ in clean} | {
        headers.raw: (f"{headers.stage} " if headers.stage == "tokenize" else "") + headers.reason
        for headers, _ in (*rejected, *late)
    }
    other = {document.name: outcomes[raw] for raw, document in written.items() if outcomes[raw] != document.outcome}
    assert other == {}
    for headers, message in rejected:
        assert message.value() == (None if headers.reason == "duplicate" else written[headers.raw].value)
    encoded = {document.raw: message.value() for document, message in clean}
    assert all(message.value() == encoded[headers.raw] for headers, message in late)
    for raw, message in [(found.raw, message) for found, message in (*clean, *rejected, *late)]:
        said = written[raw].time
        assert said == 0 or message.timestamp()[1] == max(0, said), written[raw].name
    how = {written[headers.raw].name: headers.detail for headers, _ in (*rejected, *late)}
    assert re.fullmatch(r"killed by SIGABRT in provoke \(provoke.py:\d+\)", how["aborts the clean worker"])
    assert how["ends the tokenize worker"] == "ended with exit code 3"
    texts = stream.texts()
    assert texts == {found.raw: found.text for found, _ in clean if outcomes[found.raw] == ACCEPTED}
    assert GOOD in texts.values()


def check_verified(stream: Stream) -> None:
    """`verify` agrees."""
    report = verify_deployment(stream.settings, "main", 60, lambda records: lambda more: None)
    stages = {row["stage"]: row for row in report.rows()}
    assert report.wrong() == []
    for stage in ("clean", "tokenize"):
        assert (stages[stage]["lost"], stages[stage]["duplicated"], stages[stage]["in_flight"]) == (0, 0, 0)


@pytest.mark.timeout(1200)
def test_every_hostile_document_has_its_outcome(stream: Stream) -> None:
    brokers, raw = stream.cluster.brokers, stream.settings.topic(topics.RAW)
    logs = [stream.settings.topic(topic.name) for topic in topics.TOPICS]
    documents = [*CASES, *between(TABLE)]
    middle = len(documents) // 2
    abort(brokers, logs, lambda number: f"Number {number} of those that were never committed".encode())
    written = write(brokers, raw, documents[:middle])
    abort(brokers, logs, lambda number: f"Number {number} of more that were never committed".encode())
    written |= write(brokers, raw, documents[middle:])
    stream.published |= {raw: document.value for raw, document in written.items()}
    stream.module = "tests.integration.hostile_jobs"
    stream.good_states = ("CREATED", "RUNNING", "FAILING", "RESTARTING")
    stream.start()
    check_plans(stream)
    stream.settle(1000)

    check_outcomes(stream, written)
    check_blocks(stream)
    found = {written[document.raw].name: document for document, _ in stream.clean()}
    mail, books = found["mail"], found["books"]
    assert (mail.id, mail.source, mail.label, mail.time) == ("m1", "mail", "ham", 1_577_836_800_000)
    assert (books.id, books.source, books.label, books.time) == (None, "books", None, CASES[0].time)
    assert found["broken JSON said to be text"].text == '{"quoted words" she said, and some more'
    assert found["source said twice"].source == "second"
    assert stream.state_bytes(CLEAN) < len(LONG) / 2, "no text is remembered, only fingerprints"
    check_verified(stream)
