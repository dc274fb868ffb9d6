"""`headrace rejected` on a real broker: list, show, and a replay that happens once, whatever ends it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from headrace.audit.verify import verify_once
from headrace.contract.documents import RejectedHeaders
from headrace.contract.errors import HeadraceError
from headrace.contract.settings import Settings
from headrace.contract.topics import RAW, REJECTED, REPLAYED
from headrace.kafka import Cluster, producer_config
from headrace.rejects import Replayer, read_rejects
from tests.integration.in_process import headrace, headrace_json

PUBLISHED: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
    (b"k0", b"\xff\x00 no text", [("source", b"chat"), ("mine", None)]),
    (None, b'{"text": 5}', []),
    (b"k2", b'{"text": "short", "source": "mail"}', [("content-type", b"application/json")]),
    (None, None, []),
    (None, b"twice", []),
    (b"k5", b"tok", [("source", b"chat")]),
]
"""Key, value and headers of the documents, each at its place in partition 1 of `text.raw`."""

REJECTS = [
    ("invalid_utf8", "clean", 0),
    ("bad_field", "clean", 1),
    ("gopher_short_doc", "clean", 2),
    ("empty", "clean", 3),
    ("duplicate", "clean", 4),
    ("no_tokens", "tokenize", 5),
]


def publish(settings: Settings) -> None:
    """The documents, and what the jobs would write of them."""
    producer = Producer(producer_config(Cluster(settings).brokers))
    now = int(time.time() * 1000)
    for key, value, headers in PUBLISHED:
        producer.produce(settings.topic(RAW), value, key=key, headers=headers, partition=1)
    for reason, stage, at in REJECTS:
        _, value, headers = PUBLISHED[at]
        kept = {name: content for name, content in headers if name in ("source", "content-type")}
        said = RejectedHeaders(reason, "clean" if stage == "clean" else "tokenize", "", (1, at), kept)
        body = None if reason == "duplicate" else b"{}" if stage == "tokenize" else value
        age_ms = 3_600_000 if at == 0 else 0
        producer.produce(
            settings.topic(REJECTED),
            body,
            headers=list(said.encode().items()),
            partition=at % 2,
            timestamp=now - age_ms,
        )
    assert producer.flush(10) == 0


def replayed(settings: Settings) -> list[tuple[Any, ...]]:
    """Key, value and headers of what was published again, by the place that it says it had before."""
    cluster = Cluster(settings)
    found = []
    for message in cluster.read_all(RAW, {1: len(PUBLISHED)}, cluster.settled_ends(RAW, 10)):
        headers = message.headers() or []
        origin = [value for name, value in headers if name == "replay-of"]
        found.append((origin, message.key(), message.value(), [pair for pair in headers if pair[0] != "replay-of"]))
    return sorted(found, key=lambda one: one[0])


def test_rejects_are_listed_shown_and_replayed_once(settings: Settings) -> None:
    publish(settings)
    code, printed, message = headrace(settings, "rejected", "list", "--json")
    rows = json.loads(printed)
    assert (code, len(rows)) == (0, 6), message
    assert {row["document"]: row["reason"] for row in rows}["text.raw[1]@2"] == "gopher_short_doc"
    assert json.loads(headrace(settings, "rejected", "list", "--summary", "--json")[1])["duplicate"] == 1
    young = json.loads(headrace(settings, "rejected", "list", "--json", "--since", "30m", "--source", "chat")[1])
    assert [row["reason"] for row in young] == ["no_tokens"]
    assert len(json.loads(headrace(settings, "rejected", "list", "--json", "--limit", "2")[1])) == 2
    assert headrace(settings, "rejected", "list", "--reason", "ugly")[0] == 2

    code, printed, _ = headrace(settings, "rejected", "show", "1:0")
    assert code == 0
    assert "invalid_utf8" in printed
    assert "b'\\xff\\x00 no text'" in printed
    code, shown, _ = headrace_json(settings, "rejected", "show", "text.rejected[0]@0", "--json")
    assert (code, shown["document"], shown["headers"]) == (0, "text.raw[1]@0", {"source": "chat"})
    assert headrace(settings, "rejected", "show", "0:77")[0] == 2

    code, would, _ = headrace_json(settings, "rejected", "replay", "--since", "1d", "--dry-run", "--json")
    assert (code, would["replayed"], replayed(settings)) == (0, 4, [])
    code, one, _ = headrace_json(settings, "rejected", "replay", "1:2", "--yes", "--json")
    assert (code, one["replayed"]) == (0, 1)
    code, done, _ = headrace_json(settings, "rejected", "replay", "--since", "1d", "--yes", "--json")
    assert done == {"replayed": 3, "already": 1, "duplicate": 1, "empty": 1, "gone": 0}
    code, done, _ = headrace_json(settings, "rejected", "replay", "--since", "1d", "--yes", "--json")
    assert (done["replayed"], done["already"]) == (0, 4)
    assert replayed(settings) == [([f"1:{at}".encode()], *PUBLISHED[at]) for at in (0, 1, 2, 5)]
    report = verify_once(Cluster(settings), ["main"], 10, lambda records: lambda more: None).report
    assert set(report.findings.tallies) == {"span_of_nothing"}, "nobody has accepted what tokenize rejects here"
    assert report.rows()[0]["entered"] == 10, "a replay is a document of its own"


def test_a_replay_that_was_rejected_again_is_replayed_only_when_asked(settings: Settings) -> None:
    producer = Producer(producer_config(Cluster(settings).brokers))
    producer.produce(settings.topic(RAW), b"x", headers=[("replay-of", b"0:0")], partition=1)
    said = RejectedHeaders("empty", "clean", "", (1, 0), {"replay-of": b"0:0"})
    producer.produce(settings.topic(REJECTED), b"x", headers=list(said.encode().items()), partition=0)
    assert producer.flush(10) == 0
    _, done, _ = headrace_json(settings, "rejected", "replay", "--reason", "empty", "--yes", "--json")
    assert (done["replayed"], done["already"]) == (0, 1)
    _, done, _ = headrace_json(settings, "rejected", "replay", "--reason", "empty", "--yes", "--again", "--json")
    assert (done["replayed"], done["already"]) == (1, 0)
    _, done, _ = headrace_json(settings, "rejected", "replay", "--reason", "empty", "--yes", "--again", "--json")
    assert (done["replayed"], done["already"]) == (0, 1)


def test_a_replay_that_dies_or_is_taken_over_replays_nothing_twice(settings: Settings) -> None:
    """Killed inside a transaction, after one, and while another begins."""
    publish(settings)
    cluster = Cluster(settings)
    dies = Replayer(cluster)
    assert dies.producer is not None
    dies.producer.begin_transaction()
    dies.producer.produce(settings.topic(RAW), b"half", headers=[("replay-of", b"1:0")])
    dies.producer.produce(settings.topic(REPLAYED), b"{}", key=b"1:0", partition=0)
    dies.producer.flush(10)  # on the broker, not committed; then SIGKILL

    first = Replayer(cluster)
    rejects = list(read_rejects(cluster))
    assert first.run(rejects[:1], 0).replayed == 1
    second = Replayer(cluster)
    with pytest.raises(HeadraceError, match="nothing is replayed twice"):
        first.run(rejects, 0)
    assert vars(second.run(rejects, 0)) == {"replayed": 3, "already": 1, "duplicate": 1, "empty": 1, "gone": 0}
    assert [one[0] for one in replayed(settings)] == [[b"1:0"], [b"1:1"], [b"1:2"], [b"1:5"]]


def test_what_is_deleted_from_raw_is_replayed_as_it_was_rejected(settings: Settings) -> None:
    publish(settings)
    cluster = Cluster(settings)
    cluster.delete_records([TopicPartition(settings.topic(RAW), 1, len(PUBLISHED))])
    result = Replayer(cluster).run(list(read_rejects(cluster)), 0)
    assert vars(result) == {"replayed": 3, "already": 0, "duplicate": 1, "empty": 1, "gone": 1}
    found = {one[0][0]: one[1:] for one in replayed(settings)}
    assert found[b"1:0"] == (None, PUBLISHED[0][1], [("source", b"chat")])
    assert found[b"1:2"] == (None, PUBLISHED[2][1], [("content-type", b"application/json")])
