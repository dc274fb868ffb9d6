"""Every metric of our own processes: name, kind, labels, meaning. Base units, `_total` on counters, bounded labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One metric as `headrace.observe` registers it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


PART_UP = Metric("headrace_part_up", "gauge", "1 while the supervisor sees the part alive", ("part",))
PART_RESTARTS = Metric("headrace_part_restarts_total", "counter", "Restarts of the part since up", ("part",))
DISK_FREE = Metric("headrace_disk_free_bytes", "gauge", "Free where this part of the data lies", ("directory",))
PLANNED_STEPS = Metric("headrace_planner_steps_total", "counter", "Steps written to train.plan by this process")
PLANNED_BLOCKS = Metric("headrace_planner_blocks_total", "counter", "Blocks written to train.plan by this process")
PLANNED_STEP = Metric("headrace_planner_step", "gauge", "Highest step in train.plan")
PLANNER_LEAD = Metric("headrace_planner_lead_steps", "gauge", "Planned steps that the main run has not reported yet")
PLANNER_WAITING = Metric("headrace_planner_throttled", "gauge", "1 while the planner waits for the main run")
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
