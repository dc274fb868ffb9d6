"""The session's broker holds the topics as they are declared."""

from __future__ import annotations

from headrace.contract.settings import Settings
from headrace.contract.topics import PINNED, RAW
from headrace.kafka import Cluster


def test_topics_are_as_declared_and_empty(settings: Settings) -> None:
    cluster = Cluster(settings)
    assert cluster.check() == []
    assert len(set(cluster.topic_ids().values())) == len(PINNED)
    assert cluster.end_offsets(RAW) == dict.fromkeys(range(4), 0)


def test_a_missing_topic_is_named(settings: Settings) -> None:
    elsewhere = Cluster(
        settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"topic_prefix": "no."})})
    )
    assert f"{RAW} does not exist" in elsewhere.check()
