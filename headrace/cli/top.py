"""`headrace top`: status, live: what passes each stage, who lags, how old the text is, how the loss goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from headrace.cli.options import out, with_settings
from headrace.cli.screen import Row, frame, sparkline
from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, CLEAN, PLAN, RAW, REJECTED
from headrace.contract.training import StepReport

if TYPE_CHECKING:
    from headrace.local.status import Status

SHOWN = {RAW: "clean", CLEAN: "tokenize", REJECTED: "", BLOCKS: "planner", PLAN: "trainer"}
"""The topics in the order of the path, and who reads each."""
PACE_S = 30.0
"""Tokens a second are those of the steps of so long before the last one."""


@dataclass(frozen=True)
class Look:
    """What was seen at a time (epoch seconds). `steps`: the last reports of the main run, oldest first."""

    time: float
    status: Status
    steps: Sequence[StepReport] = ()


@with_settings
def top(
    settings: Settings,
    every: Annotated[float, typer.Option("--every", min=0.2, metavar="SECONDS", help="Look again after this.")] = 2.0,
    looks: Annotated[int, typer.Option("--looks", min=0, help="End after so many; 0: go on until Ctrl-C.")] = 0,
) -> None:
    """Watch it run: rates, what each stage has still to read, the age of the text, loss, ranks, what is wrong.

    For scripts there is `headrace status`. Exit code 3 when nothing runs.
    """
    before: Look | None = None
    with Live(console=out, auto_refresh=False, screen=out.is_terminal and not looks) as live:
        try:
            while True:
                now = look(settings)
                live.update(screen(now, before), refresh=True)
                before, looks = now, looks - 1
                if looks == 0:
                    return
                time.sleep(every)
        except KeyboardInterrupt:
            return


def look(settings: Settings) -> Look:
    """Ask everything once; raises DependencyError when nothing runs."""
    from headrace.kafka import Cluster
    from headrace.local import state
    from headrace.local.status import elsewhere
    from headrace.local.status import look as ask
    from headrace.runs import latest_reports

    running = state.running(settings.data_dir)
    if running is None and settings.kafka.brokers:
        running = elsewhere(settings)
    if running is None:
        raise DependencyError(f"nothing runs in {settings.data_dir}: `headrace up` starts it")
    seen = ask(running)
    if seen.stream is None:
        return Look(time.time(), seen)
    reports = latest_reports(Cluster(running.settings, timeout_s=5))
    own = [each for each in reports if isinstance(each, StepReport) and each.run == seen.stream.main]
    return Look(time.time(), seen, own)


def screen(now: Look, before: Look | None) -> Panel:
    """One look; rates are between it and the one before."""
    status = now.status
    parts = {part.name: part.state == "running" for part in status.state.parts}
    parts |= {f"job {name}": said == "RUNNING" for name, said in (status.flink_jobs or {}).items()}
    since = f" · {status.state.phase} for {now.time - status.state.since:,.0f} s"
    return frame(f"headrace top{since}", [*_stages(now, before), *_training(now)], parts, status.problems)


def _stages(now: Look, before: Look | None) -> list[Row]:
    """How much is in each topic, how fast it grows, what its reader has still to read."""
    if now.status.stream is None:
        return []
    topics, lag = now.status.stream.topics, now.status.stream.lag
    old = before.status.stream.topics if before and before.status.stream else {}
    passed = now.time - before.time if before else 0.0
    rows: list[Row] = []
    for name, reader in SHOWN.items():
        rate = f"{(topics[name] - old[name]) / passed:7,.0f} /s" if name in old and passed else ""
        waits = f"   {lag[reader]:,} before {reader}" if reader and lag.get(reader) else ""
        rows.append((name, f"{topics.get(name, 0):,}", rate + waits))
    return rows


def _training(now: Look) -> list[Row]:
    """The last step, its text, and the way of the loss."""
    if not now.steps:
        return [("step", "–", "none reported lately")]
    last = now.steps[-1]
    losses = [step.loss for step in now.steps]
    return [
        ("step", f"{last.step:,}", f"{now.time - last.time / 1000:.0f} s ago, on {last.ranks} ranks"),
        ("tokens", f"{last.tokens_total:,}", f"{pace(now.steps):7,.0f} /s"),
        ("loss", f"{last.loss:.3f}", Text(sparkline(losses), style="cyan")),
        ("text was", f"{last.age_s:.1f} s", "old when it was trained"),
    ]


def pace(steps: Sequence[StepReport]) -> float:
    """Tokens a second over the steps that were reported within PACE_S before the last one; 0 if it is alone."""
    recent = [step for step in steps if step.time >= steps[-1].time - PACE_S * 1000]
    seconds = (recent[-1].time - recent[0].time) / 1000
    return sum(step.tokens for step in recent[1:]) / seconds if seconds > 0 else 0.0
