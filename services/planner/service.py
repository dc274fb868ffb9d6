"""The planner at work: read blocks, close steps, write them down, never too far ahead of the main run."""

from __future__ import annotations

import logging
import time
from threading import Event

from headrace.contract import metrics
from headrace.contract.settings import Settings
from headrace.kafka import Cluster
from headrace.observe import Pulse, register
from services.planner.blocks import BlockReader
from services.planner.log import PlanLog, ensure_origin
from services.planner.planner import Planner, Tail
from services.planner.throttle import Patience, ReportReader, Throttle

POLL_S = 0.1
LIMIT_S = 60.0
"""A loop that has not come round for so long hangs: the broker has 30 s to take a step."""
PATIENCE_S = 30.0
"""A planner that the throttle has held back for so long says so, and again every so often."""
PARTITIONS_S = 30.0
"""How often it looks for partitions that were added to `tokens.blocks`."""

log = logging.getLogger("headrace.planner")


class Gauges:
    """The planner's own metrics."""

    def __init__(self) -> None:
        self.steps = register(metrics.PLANNED_STEPS)
        self.blocks = register(metrics.PLANNED_BLOCKS)
        self.step = register(metrics.PLANNED_STEP)
        self.lead = register(metrics.PLANNER_LEAD)
        self.waiting = register(metrics.PLANNER_WAITING)
        self.age = register(metrics.TEXT_AGE)


class Service:
    """All that the process holds. Made once; `run` blocks until `stopping` is set or an error ends it."""

    def __init__(self, settings: Settings, gauges: Gauges, pulse: Pulse) -> None:
        self.gauges = gauges
        self.pulse = pulse
        cluster = Cluster(settings)
        self.plan = PlanLog(cluster)
        origin = ensure_origin(cluster, self.plan, _now_ms())
        assert self.plan.last is not None
        self.planner = Planner(settings.planner.step_blocks, settings.planner.linger_s, Tail.after(self.plan.last))
        self.reports = ReportReader(cluster)
        self.throttle = Throttle(settings.planner.ahead, self.reports.main)
        self.blocks = BlockReader(cluster, self.planner.tail.next, origin.tokenizer)
        self.patience = Patience(PATIENCE_S)
        tail = self.planner.tail
        self.gauges.step.set(tail.step - 1)
        log.info("ready", extra={"seq": tail.seq, "step": tail.step, "main": self.throttle.main})

    def run(self, stopping: Event) -> None:
        """Plan until told to stop; then plan what is held, if the throttle allows."""
        looked = time.monotonic()
        while not stopping.is_set():
            self.pulse.beat()
            self.listen()
            self.gather()
            now = time.monotonic()
            if self.planner.due(now):
                self.close_if_allowed(now)
            if now - looked > PARTITIONS_S:
                looked = now
                self.look_for_partitions()
        if self.planner.held:
            self.close_if_allowed(time.monotonic())
        log.info("stopped", extra={"step": self.planner.tail.step, "held": len(self.planner.held)})

    def listen(self) -> None:
        """Take note of what the trainers say; wait for it only while nothing else can be done."""
        before = self.throttle.main
        for news in self.reports.read(0 if self.planner.room else POLL_S):
            self.throttle.observe(news)
        if (main := self.throttle.main) != before:
            log.info("another run is the main one", extra={"main": main, "reported": self.throttle.reported})
        self.gauges.lead.set(self.planner.tail.step - 1 - self.throttle.reported)

    def gather(self) -> None:
        """Read no more blocks than the step has room for: while the throttle holds it, none."""
        if self.planner.room:
            for block in self.blocks.read(self.planner.room, POLL_S):
                self.planner.add(block, time.monotonic())

    def close_if_allowed(self, now: float) -> None:
        """Close and write the step, or note since when the throttle forbids it."""
        if not self.throttle.allows(self.planner.tail.step):
            self.wait(now)
            return
        self.patience.over()
        self.gauges.waiting.set(0)
        oldest = min(block.published for block in self.planner.held)
        step = self.planner.close(_now_ms())
        self.plan.append(step)
        self.gauges.age.labels("plan").set(time.time() - oldest / 1000)
        self.gauges.steps.inc()
        self.gauges.blocks.inc(step.block_count)
        self.gauges.step.set(step.step)
        log.info("planned", extra={"step": step.step, "blocks": step.block_count, "tokens": step.tokens})

    def wait(self, now: float) -> None:
        """Show that a step is due but may not be written yet; say so when that lasts."""
        self.gauges.waiting.set(1)
        if (seconds := self.patience.lasts(now)) is not None:
            log.warning(
                "waiting for the main run to report a later step",
                extra={
                    "step": self.planner.tail.step,
                    "main": self.throttle.main,
                    "reported": self.throttle.reported,
                    "ahead": self.throttle.ahead,
                    "seconds": round(seconds),
                },
            )

    def look_for_partitions(self) -> None:
        """Go on with partitions that were added."""
        if added := self.blocks.take_new_partitions():
            log.info("partitions were added", extra={"partitions": added})

    def close(self) -> None:
        self.blocks.close()
        self.reports.close()


def _now_ms() -> int:
    return int(time.time() * 1000)
