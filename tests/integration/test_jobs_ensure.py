"""`jobs ensure` on a real broker and cluster: what it starts from, and when it must not start at all."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from small_stack import publish
from upgrading import ensured, start, wait_for

from headrace import jobs
from headrace.contract import topics
from headrace.contract.documents import RejectedHeaders
from headrace.contract.errors import ContractError, DependencyError
from headrace.contract.settings import Settings, load
from headrace.contract.topics import Topic
from headrace.flink import HEADER, MAGIC, FlinkRest, newest_state
from headrace.jobs import CLEAN, JOBS, PINNED, TOKENIZE, Pinned, check_untouched, commit_beginning
from headrace.kafka import Cluster, consumer_config, producer_config
from headrace.topics import create_topics

__all__ = ["ensured"]  # a fixture


def produce(settings: Settings, topic: str, headers: dict[str, bytes] | None = None) -> None:
    producer = Producer(producer_config(settings.kafka.brokers))
    producer.produce(settings.topic(topic), b"{}", headers=headers or {})
    assert producer.flush(20) == 0


def test_a_group_begins_at_the_beginning_and_so_does_an_added_partition(settings: Settings) -> None:
    cluster = Cluster(settings)
    produce(settings, topics.RAW)
    commit_beginning(cluster, CLEAN)
    assert cluster.committed("clean", topics.RAW) == dict.fromkeys(range(4), 0)
    raw = next(topic for topic in topics.TOPICS if topic.name == topics.RAW)
    create_topics(cluster, [Topic(raw.name, 6, raw.config, raw.max_record_bytes)])
    deadline = time.monotonic() + 30
    while cluster.partitions([topics.RAW])[topics.RAW] < 6:
        assert time.monotonic() < deadline
    commit_beginning(cluster, CLEAN)
    assert cluster.committed("clean", topics.RAW) == dict.fromkeys(range(6), 0)


def test_a_job_without_state_must_not_have_worked_before(settings: Settings) -> None:
    cluster = Cluster(settings)
    for job in JOBS:
        check_untouched(cluster, job)
    rejected = RejectedHeaders("empty", "tokenize", "", (0, 0)).encode()
    produce(settings, topics.REJECTED, rejected)
    check_untouched(cluster, CLEAN)
    with pytest.raises(ContractError, match=r"job tokenize has no state, but wrote \S*text\.rejected\[\d\]@0"):
        check_untouched(cluster, TOKENIZE)
    produce(settings, topics.CLEAN)
    with pytest.raises(ContractError, match=r"job clean has no state, but wrote \S*text\.clean\[\d\]@0"):
        check_untouched(cluster, CLEAN)


def test_a_job_whose_group_has_read_but_whose_state_is_gone_does_not_start(settings: Settings) -> None:
    cluster = Cluster(settings)
    commit_beginning(cluster, CLEAN)
    group = Consumer(consumer_config(cluster.brokers, settings.topic("clean")))
    group.commit(offsets=[TopicPartition(settings.topic(topics.RAW), 2, 7)], asynchronous=False)
    group.close()
    with pytest.raises(ContractError, match=r"group has read up to text\.raw\[2\]@7"):
        start(settings, CLEAN)


@pytest.fixture
def with_state(settings: Settings) -> Callable[..., None]:
    """Give the clean job state, and what it pins; `changes` to that."""

    def write(**changes: object) -> None:
        cluster = Cluster(settings)
        folder = CLEAN.folder(settings)
        (folder / "checkpoints/aaaa/chk-1").mkdir(parents=True, exist_ok=True)
        (folder / "checkpoints/aaaa/chk-1/_metadata").write_bytes(HEADER.pack(MAGIC, 6, 1))
        right = Pinned(cluster=cluster.id(), topics=cluster.topic_ids([CLEAN.input, *CLEAN.outputs]), plan="")
        (folder / PINNED).write_bytes(right.model_copy(update=changes).encode())

    return write


def test_state_of_another_cluster_or_topic_is_refused_naming_both(
    settings: Settings, with_state: Callable[..., None]
) -> None:
    cluster = Cluster(settings)
    with_state(cluster="another")
    with pytest.raises(ContractError, match=f"belongs to cluster another, this is {cluster.id()}"):
        start(settings, CLEAN)
    with_state(topics={topics.RAW: "old-id"})
    now = cluster.topic_ids([topics.RAW])[topics.RAW]
    with pytest.raises(ContractError) as caught:
        start(settings, CLEAN)
    assert "old-id" in str(caught.value)
    assert now in str(caught.value)
    (CLEAN.folder(settings) / PINNED).unlink()
    with pytest.raises(ContractError, match=f"no {PINNED}"):
        start(settings, CLEAN)


def test_only_one_looks_after_the_jobs(settings: Settings) -> None:
    refused = pytest.raises(DependencyError, match=r"process \d+ looks after the jobs")
    with jobs.alone(settings), refused, jobs.alone(settings):
        pass
    with jobs.alone(settings):
        pass


ABANDONED = """
import os, sys
from confluent_kafka import Producer
brokers, identity, topic = sys.argv[1:]
producer = Producer({"bootstrap.servers": brokers, "transactional.id": identity, "transaction.timeout.ms": 600000})
producer.init_transactions(30)
producer.begin_transaction()
producer.produce(topic, b"never committed")
producer.flush(20)
os._exit(0)
"""


def ended(settings: Settings) -> bool:
    listed = FlinkRest(settings.flink.rest).jobs()
    return all(jobs.active(settings, job, listed) is None for job in JOBS)


def decided(settings: Settings) -> list[tuple[int, int]]:
    """Positions that clean has committed, as (partition, offset)."""
    return sorted(Cluster(settings).committed("clean", topics.RAW).items())


@pytest.mark.timeout(400)
def test_the_first_start_each_restart_and_what_cannot_be_restored(ensured: Settings) -> None:
    settings, cluster, rest = ensured, Cluster(ensured), FlinkRest(ensured.flink.rest)
    # An earlier attempt of the job's sink died in the middle of a transaction, when it had more subtasks than now.
    identity = f"{settings.topic('clean')}-7-3"
    arguments = [settings.kafka.brokers, identity, settings.topic(topics.CLEAN)]
    subprocess.run([sys.executable, "-c", ABANDONED, *arguments], check=True)
    assert cluster.end_offsets(topics.CLEAN, committed=False) != cluster.end_offsets(topics.CLEAN)

    # The first start, from the beginning; a second look leaves the jobs alone.
    publish(settings, 30)
    first = {done.job: done for done in jobs.ensure(settings)}
    assert all(done.submitted and done.from_state is None for done in first.values())
    wait_for(lambda: decided(settings) == sorted(cluster.end_offsets(topics.RAW).items()), "30 documents decided")
    cluster.settled_ends(topics.CLEAN, 30)  # the abandoned transaction holds nobody back
    again = {done.job: done for done in jobs.ensure(settings)}
    assert {job: (done.id, done.submitted) for job, done in again.items()} == {
        job: (done.id, False) for job, done in first.items()
    }

    # A job that is gone goes on from the checkpoint with the highest number.
    rest.cancel(first["clean"].id)
    wait_for(lambda: rest.job(first["clean"].id) == "CANCELED", "cancelled")
    newest = newest_state(CLEAN.folder(settings))
    assert newest is not None
    second = {done.job: done for done in jobs.ensure(settings)}
    assert not second["tokenize"].submitted
    assert second["clean"].from_state == newest.path
    publish(settings, 30)
    wait_for(lambda: decided(settings) == sorted(cluster.end_offsets(topics.RAW).items()), "60 documents decided")

    # Stopped with savepoints, both go on from these.
    stopped = jobs.stop_all(settings)
    assert ended(settings)
    third = {done.job: done for done in jobs.ensure(settings)}
    assert {job: done.from_state for job, done in third.items()} == stopped
    ends = cluster.settled_ends(topics.CLEAN, 30)
    assert sum(1 for _ in cluster.read_all(topics.CLEAN, {}, ends)) == 60

    # Another query than the one that made the state.
    wait_for(lambda: rest.last_checkpoint(third["tokenize"].id) is not None, "a checkpoint")
    jobs.stop_all(settings)
    changed = load(environment=settings.environment(), assignments=["tokenize.window_s=7"]).settings
    pinned = Pinned.model_validate_json((TOKENIZE.folder(settings) / PINNED).read_bytes()).plan
    with pytest.raises(ContractError, match=rf"{pinned}.*headrace jobs upgrade"):
        start(changed, TOKENIZE)

    # The newest state looks whole from outside but cannot be restored: nothing older is taken.
    newest = newest_state(CLEAN.folder(settings))
    assert newest is not None
    metadata = Path(newest.path) / "_metadata"
    metadata.write_bytes(metadata.read_bytes()[: HEADER.size + 20])
    with pytest.raises(ContractError, match=f"cannot go on from {newest.path}"):
        start(settings, CLEAN)
