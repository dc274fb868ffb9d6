"""The broker, its topics and groups."""

from __future__ import annotations

from deploy.grafana.panels import RATE, Board, Panel

TOPIC = '{topic=~"$topic"}'
KAFKA = Board(
    "headrace-kafka",
    "Headrace: Kafka",
    "The broker as its admin sees it, under kafka_exporter's names.",
    (
        Panel(
            "Is a broker there?",
            "Brokers, and looks at them that failed.",
            "none",
            [
                ("max(kafka_brokers)", "brokers"),
                ("max(headrace_exporter_failures_total)", "looks that failed"),
            ],
            kind="now",
        ),
        Panel(
            "Is every partition led and whole?",
            "Partitions without a leader, and those that lack a replica. Both must be 0.",
            "none",
            [
                (f"count(kafka_topic_partition_leader{TOPIC} < 0) or vector(0)", "without a leader"),
                (f"sum(kafka_topic_partition_under_replicated_partition{TOPIC})", "under-replicated"),
                (
                    f"sum(kafka_topic_partition_replicas{TOPIC}) - sum(kafka_topic_partition_in_sync_replica{TOPIC})",
                    "replicas out of sync",
                ),
                (f"sum(kafka_topic_partitions{TOPIC})", "partitions"),
            ],
            kind="now",
        ),
        Panel(
            "What is written?",
            "Offsets a second, by topic; each transaction takes one in each partition that it wrote.",
            "short",
            [(f"sum by (topic) (rate(kafka_topic_partition_current_offset{TOPIC}{RATE}))", "{{topic}}")],
        ),
        Panel(
            "What is committed as read?",
            "Offsets a second, by group.",
            "short",
            [
                (
                    f"sum by (consumergroup, topic) (rate(kafka_consumergroup_current_offset{TOPIC}{RATE}))",
                    "{{consumergroup}}: {{topic}}",
                )
            ],
        ),
        Panel(
            "Who lags?",
            "Offsets between a group's commit and the end. One a partition may be a transaction's marker.",
            "short",
            [(f"sum by (consumergroup, topic) (kafka_consumergroup_lag{TOPIC})", "{{consumergroup}}: {{topic}}")],
        ),
        Panel(
            "For how long has a group to read?",
            "Lag over the pace at which it reads now.",
            "s",
            [
                (
                    f"sum by (consumergroup, topic) (kafka_consumergroup_lag_sum{TOPIC})"
                    f" / sum by (consumergroup, topic) (rate(kafka_consumergroup_current_offset{TOPIC}[1m]) > 0)",
                    "{{consumergroup}}: {{topic}}",
                )
            ],
        ),
        Panel(
            "How much is kept?",
            "Offsets from the first to the last, by topic; `headrace retention` makes it less.",
            "short",
            [
                (
                    f"sum by (topic) (kafka_topic_partition_current_offset{TOPIC}"
                    f" - kafka_topic_partition_oldest_offset{TOPIC})",
                    "{{topic}}",
                )
            ],
        ),
    ),
)
