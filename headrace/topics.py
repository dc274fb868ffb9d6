"""The topics of a deployment, compared with their declarations: made, set as declared, enlarged."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings
from headrace.contract.topics import TOPICS, Topic
from headrace.kafka import Cluster

LOOK_S = 0.1
"""Between two looks at what the broker shows."""


def create_topics(cluster: Cluster, topics: Sequence[Topic] = TOPICS) -> None:
    """Create what is missing and set every topic's configuration; partitions are added, never removed.

    Blocks until the broker shows all that it has taken; what it then does not show, `differences` names.
    """
    there = cluster.partitions([topic.name for topic in topics])
    new = [_new(cluster.settings, topic) for topic in topics if topic.name not in there]
    if new:
        cluster.answers(cluster.admin.create_topics(new, operation_timeout=cluster.timeout_s))
    more = [
        NewPartitions(cluster.settings.topic(topic.name), topic.partitions)
        for topic in topics
        if there.get(topic.name, topic.partitions) < topic.partitions
    ]
    if more:
        cluster.answers(cluster.admin.create_partitions(more))
    if new or more:
        _wait_shown(cluster, {topic.name: topic.partitions for topic in topics})
    wanted = [_config(cluster.settings, topic) for topic in topics]
    cluster.answers(cluster.admin.incremental_alter_configs(wanted))
    deadline = time.monotonic() + cluster.timeout_s
    while differences(cluster, topics) and time.monotonic() < deadline:
        time.sleep(LOOK_S)


def check_topics(cluster: Cluster, topics: Sequence[Topic] = TOPICS) -> list[str]:
    """What is wrong with the topics, in words; empty when all is as declared."""
    return [f"{name} {what}" for name, found in differences(cluster, topics).items() for what in found]


def differences(cluster: Cluster, topics: Sequence[Topic] = TOPICS) -> dict[str, list[str]]:
    """By topic what is not as declared, in words; more partitions than declared are fine where order allows it."""
    there = cluster.partitions([topic.name for topic in topics])
    found = configs(cluster, [topic for topic in topics if topic.name in there])
    wrong: dict[str, list[str]] = {}
    for topic in topics:
        if topic.name not in there:
            wrong[topic.name] = ["does not exist"]
            continue
        count = there[topic.name]
        if count < topic.partitions or (topic.ordered and count > 1):
            wrong[topic.name] = [f"has {count} partitions, declared are {topic.partitions}"]
        for key, value in topic.broker_config(cluster.settings.kafka.replication).items():
            if (now := found[topic.name].get(key)) != value:
                wrong.setdefault(topic.name, []).append(f"has {key}={now}, declared is {value}")
    return wrong


def configs(cluster: Cluster, topics: Sequence[Topic] = TOPICS) -> dict[str, dict[str, str]]:
    """Every setting that the broker holds each topic under, by the topic's name without prefix."""
    resources = [ConfigResource(ResourceType.TOPIC, cluster.settings.topic(topic.name)) for topic in topics]
    found = cluster.answers(cluster.admin.describe_configs(resources)) if resources else {}
    return {
        topic.name: {key: entry.value for key, entry in found[resource].items()}
        for topic, resource in zip(topics, resources, strict=True)
    }


def grow_topic(cluster: Cluster, name: str, partitions: int) -> None:
    """Add partitions to a topic until it has so many. Blocks until the broker tells everybody."""
    cluster.answers(cluster.admin.create_partitions([NewPartitions(cluster.settings.topic(name), partitions)]))
    _wait_shown(cluster, {name: partitions})


def _new(settings: Settings, topic: Topic) -> NewTopic:
    copies = settings.kafka.replication
    return NewTopic(settings.topic(topic.name), topic.partitions, copies, config=topic.broker_config(copies))


def _config(settings: Settings, topic: Topic) -> ConfigResource:
    wanted = topic.broker_config(settings.kafka.replication)
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()]
    return ConfigResource(ResourceType.TOPIC, settings.topic(topic.name), incremental_configs=entries)


def _wait_shown(cluster: Cluster, partitions: Mapping[str, int]) -> None:
    """Block until the broker tells everybody of so many partitions, or more: what it has taken it shows later."""
    deadline = time.monotonic() + cluster.timeout_s
    while True:
        there = cluster.partitions(list(partitions))
        late = [name for name, count in partitions.items() if there.get(name, 0) < count]
        if not late:
            return
        if time.monotonic() > deadline:
            raise DependencyError(f"{late[0]}: the broker has taken its partitions, and does not show them")
        time.sleep(LOOK_S)
