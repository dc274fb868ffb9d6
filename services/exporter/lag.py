"""Topics and consumer groups as the broker's admin shows them, under the names that kafka_exporter gave them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, OffsetSpec

from headrace.contract import metrics
from headrace.contract.errors import DependencyError
from headrace.contract.topics import BLOCKS
from headrace.kafka import Cluster
from headrace.observe import Sample

INTERNAL = "__"
"""Topics of the broker's own begin so."""

Place = tuple[str, int]
Offsets = dict[Place, int]


def look(cluster: Cluster, planned: Mapping[int, int]) -> list[Sample]:
    """All samples of one look. `planned`: up to where the plan holds `tokens.blocks`, by partition.

    Of topics and groups under the deployment's prefix. Raises DependencyError when the broker does not answer.
    """
    admin, timeout_s, prefix = cluster.admin, cluster.timeout_s, cluster.settings.topic("")
    try:
        seen = admin.list_topics(timeout=timeout_s)
        places = [
            (name, partition)
            for name, topic in seen.topics.items()
            if name.startswith(prefix) and not name.startswith(INTERNAL)
            for partition in topic.partitions
        ]
        ends = _offsets(admin, places, OffsetSpec.latest(), timeout_s)
        first = _offsets(admin, places, OffsetSpec.earliest(), timeout_s)
        groups = {name: at for name, at in _groups(admin, timeout_s) if name.startswith(prefix)}
    except KafkaException as error:
        raise DependencyError(f"no broker answers at {cluster.brokers}: {error.args[0].str()}") from error
    blocks = cluster.settings.topic(BLOCKS)
    behind = [max(0, end - planned.get(part, 0)) for (topic, part), end in ends.items() if topic == blocks]
    return [
        *_topics(seen, places),
        *((metrics.KAFKA_END, _labels(place), float(offset)) for place, offset in ends.items()),
        *((metrics.KAFKA_OLDEST, _labels(place), float(offset)) for place, offset in first.items()),
        *(sample for name, at in groups.items() for sample in of_group(name, at, ends)),
        *([(metrics.PLANNER_LAG, (), float(sum(behind)))] if planned else []),
    ]


def of_group(name: str, committed: Offsets, ends: Offsets) -> Iterator[Sample]:
    """What a group has committed, and how far that is from the ends."""
    lags: Counter[str] = Counter()
    for place in sorted(committed.keys() & ends.keys()):
        lag = max(0, ends[place] - committed[place])
        lags[place[0]] += lag
        yield metrics.GROUP_OFFSET, (name, *_labels(place)), committed[place]
        yield metrics.GROUP_LAG, (name, *_labels(place)), lag
    yield from ((metrics.GROUP_LAG_SUM, (name, topic), lag) for topic, lag in lags.items())


def _topics(seen: ClusterMetadata, places: list[Place]) -> Iterator[Sample]:
    yield metrics.KAFKA_BROKERS, (), len(seen.brokers)
    for topic, count in Counter(topic for topic, _ in places).items():
        yield metrics.KAFKA_PARTITIONS, (topic,), count
    for place in places:
        shown, labels = seen.topics[place[0]].partitions[place[1]], _labels(place)
        yield metrics.KAFKA_LEADER, labels, shown.leader
        yield metrics.KAFKA_REPLICAS, labels, len(shown.replicas)
        yield metrics.KAFKA_IN_SYNC, labels, len(shown.isrs)
        yield metrics.KAFKA_UNDER_REPLICATED, labels, len(shown.isrs) < len(shown.replicas)


def _offsets(admin: AdminClient, places: list[Place], spec: OffsetSpec, timeout_s: float) -> Offsets:
    if not places:
        return {}
    asked = admin.list_offsets({TopicPartition(*place): spec for place in places}, request_timeout=timeout_s)
    return {(part.topic, part.partition): int(future.result().offset) for part, future in asked.items()}


def _groups(admin: AdminClient, timeout_s: float) -> Iterator[tuple[str, Offsets]]:
    for group in admin.list_consumer_groups(request_timeout=timeout_s).result().valid:
        wanted = [ConsumerGroupTopicPartitions(group.group_id)]
        for future in admin.list_consumer_group_offsets(wanted, request_timeout=timeout_s).values():
            parts = future.result().topic_partitions
            yield group.group_id, {(part.topic, part.partition): part.offset for part in parts if part.offset >= 0}


def _labels(place: Place) -> tuple[str, str]:
    return place[0], str(place[1])
