"""The session's broker holds the topics as they are declared."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaError, Producer

from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, CLEAN, PINNED, RAW, REJECTED, WINDOWS
from headrace.kafka import Cluster, producer_config
from headrace.topics import check_topics


def test_topics_are_as_declared_and_empty(settings: Settings) -> None:
    cluster = Cluster(settings)
    assert check_topics(cluster) == []
    assert len(set(cluster.topic_ids().values())) == len(PINNED)
    assert cluster.offsets_since(RAW, -(10**13)) == {}
    assert cluster.end_offsets(RAW) == dict.fromkeys(range(4), 0)


def test_a_missing_topic_is_named(settings: Settings) -> None:
    elsewhere = Cluster(
        settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"topic_prefix": "no."})})
    )
    assert f"{RAW} does not exist" in check_topics(elsewhere)
    for ask in (elsewhere.topic_ids, lambda: elsewhere.end_offsets(CLEAN)):
        with pytest.raises(DependencyError, match=r"topic no\.text\.\w+ does not exist: make it with"):
            ask()


@pytest.mark.parametrize("topic", [CLEAN, REJECTED, BLOCKS, WINDOWS])
def test_what_the_jobs_make_may_be_older_than_a_clock_that_was_set_back(settings: Settings, topic: str) -> None:
    answers: list[KafkaError | None] = []
    producer = Producer(producer_config(settings.kafka.brokers))
    tomorrow = int((time.time() + 86_400) * 1000)
    producer.produce(
        settings.topic(topic), b"x", timestamp=tomorrow, on_delivery=lambda error, _: answers.append(error)
    )
    assert producer.flush(30) == 0
    assert answers == [None]
