"""The topics, with the settings that the broker must hold them under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RAW = "text.raw"
CLEAN = "text.clean"
REJECTED = "text.rejected"
BLOCKS = "tokens.blocks"
WINDOWS = "tokens.windows"
PLAN = "train.plan"
CONTROL = "train.control"
STEPS = "train.steps"
CHECKPOINTS = "train.checkpoints"
CUTS = "audit.cuts"
REPLAYED = "text.replayed"
BOOKMARKS = "text.bookmarks"

MIB = 1024 * 1024
RAW_RECORD_BYTES = 4 * MIB
RECORD_BYTES = 8 * MIB
LARGEST_OUTPUT_BYTES = 7 * MIB
"""An encoded output above this is rejected: a record that the broker refuses would stop a sink for ever."""

HOUR_MS = 60 * 60 * 1000
DAY_MS = 24 * HOUR_MS
TRANSACTION_TIMEOUT_MS = 7 * DAY_MS
"""A prepared transaction must outlive the longest outage: the broker aborts it after this, and its records are gone."""

SEGMENT_BYTES = 64 * MIB
SEGMENT_MS = 6 * 60 * 60 * 1000
"""The broker frees whole segments alone, and never the one that it writes: what `headrace retention` deletes comes back
once its segment was closed, after so many bytes or so long."""

KEPT: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "segment.bytes": str(SEGMENT_BYTES),
    "segment.ms": str(SEGMENT_MS),
}
MADE: Mapping[str, str] = {**KEPT, "message.timestamp.after.max.ms": str(2**63 - 1)}
"""For what the jobs make: it keeps the time of its document. With the broker's own limit of an hour, documents from
before a clock was set back by more than that would stop a sink until the clock has caught up."""
COMPACTED: Mapping[str, str] = {"cleanup.policy": "compact"}


@dataclass(frozen=True)
class Topic:
    """A topic as `headrace topics create` makes it. `pinned`: its id may never change under a deployment."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    max_record_bytes: int = RECORD_BYTES
    pinned: bool = True

    @property
    def ordered(self) -> bool:
        """Whether the order of all its records counts: declared with one partition, it keeps exactly one."""
        return self.partitions == 1

    def broker_config(self, replication: int) -> dict[str, str]:
        """The complete topic configuration; with three replicas one may be lost without losing a record."""
        return {
            **self.config,
            "max.message.bytes": str(self.max_record_bytes),
            "unclean.leader.election.enable": "false",
            "min.insync.replicas": str(max(1, replication - 1)),
        }


TOPICS: tuple[Topic, ...] = (
    Topic(RAW, 4, KEPT, max_record_bytes=RAW_RECORD_BYTES),
    Topic(CLEAN, 4, MADE),
    Topic(REJECTED, 2, MADE),
    Topic(BLOCKS, 4, MADE),
    Topic(WINDOWS, 1, MADE),
    Topic(PLAN, 1, KEPT),
    Topic(CONTROL, 1, COMPACTED, pinned=False),
    Topic(STEPS, 1, {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)}, pinned=False),
    Topic(CHECKPOINTS, 1, COMPACTED, pinned=False),
    Topic(CUTS, 1, COMPACTED, pinned=False),
    Topic(REPLAYED, 1, COMPACTED, pinned=False),
    Topic(BOOKMARKS, 1, {**COMPACTED, "segment.ms": str(HOUR_MS)}, pinned=False),
)

PINNED: tuple[str, ...] = tuple(topic.name for topic in TOPICS if topic.pinned)

CLEAN_GROUP = "clean"
TOKENIZE_GROUP = "tokenize"
"""Consumer groups under which the two Flink jobs commit what their last checkpoint covers."""

EXPORTER_GROUP = "exporter"
"""Under which the exporter commits up to where it has counted, and in the commit's metadata what."""

PLANNER_TRANSACTIONAL_ID = "planner"
RETENTION_TRANSACTIONAL_ID = "retention"
REPLAY_TRANSACTIONAL_ID = "replay"
"""A second writer under the same id fences off the first: one planner, one retention, one replay at a time."""
