"""Every metric of our own processes: name, kind, labels, meaning. Base units, `_total` on counters, bounded labels.

Those that begin with `kafka_` have the names, labels and meaning that kafka_exporter gave them, for public dashboards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One metric as `headrace.observe` shows it."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()


NAMES = 20
"""Sources and languages that are counted under their own name; further ones are `other`."""
OTHER = "other"

LOOP_TURN = Metric("headrace_loop_last_turn_timestamp_seconds", "gauge", "When the process's loop last came round")

PART_UP = Metric("headrace_part_up", "gauge", "1 while the supervisor sees the part alive", ("part",))
PART_RESTARTS = Metric("headrace_part_restarts_total", "counter", "Restarts of the part since up", ("part",))
DISK_FREE = Metric("headrace_disk_free_bytes", "gauge", "Free where this part of the data lies", ("directory",))

JOB_UP = Metric("headrace_job_present", "gauge", "1 while Flink has the job, be it starting again", ("job_name",))
JOB_SUBMISSIONS = Metric(
    "headrace_job_submissions_total", "counter", "Submissions of the job by this process", ("job_name",)
)

DOCUMENTS = Metric(
    "headrace_documents_total",
    "counter",
    "Documents by outcome since the first one; those that tokenize rejected were accepted before",
    ("stage", "outcome", "reason"),
)
SOURCES = Metric("headrace_source_documents_total", "counter", "Documents accepted, by source", ("source",))
LANGUAGES = Metric("headrace_language_documents_total", "counter", "Documents accepted, by language", ("language",))
REDACTIONS = Metric("headrace_redactions_total", "counter", "Private things replaced in accepted documents", ("kind",))
CHARACTERS = Metric("headrace_document_characters_total", "counter", "Characters of the documents accepted")
WINDOWS = Metric("headrace_windows_total", "counter", "Windows of a shard that were sealed")
WINDOW_DOCUMENTS = Metric("headrace_window_documents_total", "counter", "Documents in sealed windows")
WINDOW_BLOCKS = Metric("headrace_window_blocks_total", "counter", "Blocks in sealed windows")
WINDOW_TOKENS = Metric("headrace_window_tokens_total", "counter", "Tokens in sealed windows")
TEXT_AGE = Metric(
    "headrace_text_age_seconds", "gauge", "Age of the oldest text of the newest hand-over, since publishing", ("stage",)
)
EXPORTER_FAILURES = Metric("headrace_exporter_failures_total", "counter", "Looks at the broker that failed")

PLANNED_STEPS = Metric("headrace_planner_steps_total", "counter", "Steps written to train.plan by this process")
PLANNED_BLOCKS = Metric("headrace_planner_blocks_total", "counter", "Blocks written to train.plan by this process")
PLANNED_STEP = Metric("headrace_planner_step", "gauge", "Highest step in train.plan, -1 before its first")
PLANNER_LEAD = Metric("headrace_planner_lead_steps", "gauge", "Planned steps that the main run has not reported yet")
PLANNER_WAITING = Metric("headrace_planner_throttled", "gauge", "1 while the planner waits for the main run")

TRAINER_RANKS = Metric("headrace_trainer_ranks", "gauge", "Ranks that shared the last step", ("run",))
TRAINER_STEPS = Metric("headrace_trainer_steps_total", "counter", "Steps applied by this process", ("run",))
TRAINER_STEP = Metric("headrace_trainer_step", "gauge", "Last step applied", ("run",))
TRAINER_TOKENS = Metric("headrace_trainer_tokens_total", "counter", "Tokens trained by this process", ("run",))
TRAINER_LOSS = Metric("headrace_trainer_loss_nats", "gauge", "Loss of the last step, nats a token", ("run",))
TRAINER_NORM = Metric("headrace_trainer_gradient_norm", "gauge", "Gradient norm before clipping", ("run",))
TRAINER_RATE = Metric("headrace_trainer_learning_rate", "gauge", "Learning rate of the last step", ("run",))
TRAINER_AGE = Metric("headrace_trainer_text_age_seconds", "gauge", "Age of the oldest text of the last step", ("run",))
TRAINER_SECONDS = Metric("headrace_trainer_seconds_total", "counter", "Time by part of the step", ("run", "part"))
TRAINER_SKIPPED = Metric("headrace_trainer_skipped_steps_total", "counter", "Updates skipped: not finite", ("run",))
CHECKPOINT_FAILURES = Metric(
    "headrace_checkpoint_failures_total", "counter", "Checkpoints that could not be written", ("run",)
)
CHECKPOINT_TIME = Metric(
    "headrace_checkpoint_last_success_timestamp_seconds", "gauge", "When the last checkpoint was finished", ("run",)
)
CHECKPOINT_BYTES = Metric("headrace_checkpoint_bytes", "gauge", "Size of the last checkpoint", ("run",))
CHECKPOINT_SECONDS = Metric("headrace_checkpoint_duration_seconds", "gauge", "Time it took to write it", ("run",))

_PARTITION = ("topic", "partition")
_GROUP = ("consumergroup", "topic")
KAFKA_BROKERS = Metric("kafka_brokers", "gauge", "Number of Brokers in the Kafka Cluster")
KAFKA_PARTITIONS = Metric("kafka_topic_partitions", "gauge", "Number of partitions for this Topic", ("topic",))
KAFKA_END = Metric("kafka_topic_partition_current_offset", "gauge", "Offset behind the last record", _PARTITION)
KAFKA_OLDEST = Metric("kafka_topic_partition_oldest_offset", "gauge", "Offset of the first record", _PARTITION)
KAFKA_LEADER = Metric("kafka_topic_partition_leader", "gauge", "Broker that leads; -1 where none does", _PARTITION)
KAFKA_REPLICAS = Metric("kafka_topic_partition_replicas", "gauge", "Replicas of the partition", _PARTITION)
KAFKA_IN_SYNC = Metric("kafka_topic_partition_in_sync_replica", "gauge", "Those that are in sync", _PARTITION)
KAFKA_UNDER_REPLICATED = Metric(
    "kafka_topic_partition_under_replicated_partition", "gauge", "1 where not all replicas are in sync", _PARTITION
)
GROUP_OFFSET = Metric(
    "kafka_consumergroup_current_offset", "gauge", "What the group has committed", (*_GROUP, "partition")
)
GROUP_LAG = Metric(
    "kafka_consumergroup_lag", "gauge", "Offsets that the group has yet to commit", (*_GROUP, "partition")
)
GROUP_LAG_SUM = Metric("kafka_consumergroup_lag_sum", "gauge", "The same over all partitions of the topic", _GROUP)
PLANNER_LAG = Metric("headrace_planner_lag_offsets", "gauge", "Offsets of tokens.blocks that the planner has not read")

ALL = tuple(each for each in list(vars().values()) if isinstance(each, Metric))
"""Every one of them."""
