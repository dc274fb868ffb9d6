"""Runs and their checkpoints as an operator sees them: from the manifests, and from what trainers report in Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from headrace.checkpoints import directories, finished, is_ended, is_locked, pins, pruned, read, step_of, tiers, verify
from headrace.contract.errors import RecordError, SchemaError, SettingsError
from headrace.contract.plan import Step, decode_plan
from headrace.contract.settings import Settings
from headrace.contract.topics import CONTROL, PLAN, STEPS
from headrace.contract.training import MAIN_RUN, MANIFEST, Command, Manifest, Report, StepReport, decode_report
from headrace.kafka import Cluster, coordinate

LOOK_BACK = 2_000
"""Offsets at the end of a topic in which the last report of each run, which reports every 10 s while it lives, and the
last step of the plan are looked for."""
QUIET_S = 30.0
"""A trainer without a report for so long is not training."""


@dataclass(frozen=True)
class Shelved:
    """One directory that is, or should have been, a checkpoint. `flaw`: why it does not count; empty if it does."""

    path: Path
    step: int
    manifest: Manifest | None
    why: tuple[str, ...] = ()
    note: str = ""
    flaw: str = ""

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.manifest.files) if self.manifest else 0


def shelf(settings: Settings, hashes: bool = False) -> list[Shelved]:
    """The checkpoints of the run of the settings that are on the disk, oldest first, and why each is kept.

    With `hashes` every byte is read and compared with its sha256, else only sizes are.
    """
    run, trainer = settings.checkpoint_dir / settings.trainer.run, settings.trainer
    whole = [step_of(path) for path in directories(run) if (path / MANIFEST).exists()]
    notes = pins(run)
    reasons = tiers(whole, notes, trainer.keep_checkpoints, trainer.keep_every_steps)
    found = []
    for path in directories(run):
        step = step_of(path)
        manifest, flaw = _judge(path, hashes)
        found.append(Shelved(path, step, manifest, reasons.get(step, ()), notes.get(step, ""), flaw))
    return found


def _judge(path: Path, hashes: bool) -> tuple[Manifest | None, str]:
    """The manifest of a directory, if it can be read, and what is wrong with the checkpoint."""
    manifest = None
    try:
        checkpoint = read(path)
        manifest = checkpoint.manifest
        verify(checkpoint, hashes)
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        written = missing == MANIFEST and is_locked(path.parent) and path == directories(path.parent)[-1]
        return manifest, "being written" if written else f"torn: {missing} is not there"
    except SchemaError as error:
        return manifest, str(error)
    except RecordError as error:
        return manifest, f"torn: {error}"
    return manifest, ""


@dataclass
class RunView:
    """One run: what lies on the disk, and what it reported last. Times in epoch seconds."""

    name: str
    path: Path | None = None
    live: bool = False
    halted: bool = False
    main: bool = False
    ended: bool = False
    manifests: list[Manifest] = field(default_factory=list)
    with_weights: int = 0
    last: Report | None = None
    last_step: StepReport | None = None
    attempts: set[str] = field(default_factory=set)

    def as_json(self) -> dict[str, Any]:
        """For scripts. `step` is the next one to train, by the last report and by the newest checkpoint."""
        newest = self.manifests[-1] if self.manifests else None
        return {
            "run": self.name,
            "main": self.main,
            "live": self.live,
            "halted": self.halted,
            "ended": self.ended,
            "step": next_step(self.last) if self.last else newest.step if newest else None,
            "saved_step": newest.step if newest else None,
            "saved_time": newest.time / 1000 if newest else None,
            "tokens": self.last_step.tokens_total if self.last_step else newest.tokens if newest else None,
            "loss": self.last_step.loss if self.last_step else None,
            "ranks": self.last_step.ranks if self.last_step else None,
            "attempts": len(self.attempts),
            "checkpoints": self.with_weights,
            "pruned": len(self.manifests) - self.with_weights,
            "reported": self.last.time / 1000 if self.last else None,
            "save_error": self.last.save_error if self.last else "",
            "settings": newest.settings if newest else {},
            "path": str(self.path) if self.path else None,
        }


def look_at_disk(settings: Settings) -> dict[str, RunView]:
    """Every run that has begun a checkpoint below the checkpoint directory, by name."""
    begun = {path.parent for name in ("history", "step-*") for path in settings.checkpoint_dir.glob(f"*/{name}")}
    return {path.name: _on_disk(path) for path in sorted(begun)}


def _on_disk(path: Path) -> RunView:
    there = [checkpoint.manifest for checkpoint in finished(path)]
    manifests = sorted([*pruned(path), *there], key=lambda manifest: manifest.step)
    attempts = {manifest.attempt for manifest in manifests}
    return RunView(
        path.name,
        path,
        is_locked(path),
        main=path.name == MAIN_RUN,
        ended=is_ended(path),
        manifests=manifests,
        with_weights=len(there),
        attempts=attempts,
    )


def add_reports(runs: dict[str, RunView], cluster: Cluster, now: float) -> None:
    """Add what runs, these or others, reported lately and were told; raises DependencyError when no broker answers."""
    for report in latest_reports(cluster):
        run = runs.setdefault(report.run, RunView(report.run))
        run.last = report
        run.attempts.add(report.attempt)
        run.last_step = report if isinstance(report, StepReport) else run.last_step
        if run.path is None:  # where its folder is, the lock says so at once
            run.live = now - report.time / 1000 < QUIET_S
    told = all_told(cluster)
    for name, run in runs.items():
        run.halted, run.main = name in told.halted, name == told.main


@dataclass
class Told:
    """What all commands so far come to: which runs are to stand still, which one is the main run."""

    halted: set[str] = field(default_factory=set)
    main: str = MAIN_RUN

    def take(self, command: Command) -> None:
        """The next one."""
        match command.command:
            case "stop":
                self.halted.add(command.run)
            case "resume":
                self.halted.discard(command.run)
            case "promote":
                self.main = command.run


def all_told(cluster: Cluster, ends: Mapping[int, int] | None = None) -> Told:
    """All commands that stand in `train.control`, or those before `ends`. Raises DependencyError, RecordError."""
    told = Told()
    for message in cluster.read_all(CONTROL, end=ends):
        if message.value() is not None:
            told.take(Command.decode(message.value(), coordinate(message)))
    return told


def chosen_run(settings: Settings, named: str | None) -> str:
    """The run that a command is about: `named`, else trainer.run where that is set, else the main run.

    Blocks two seconds where no broker answers, and then raises DependencyError: which run is the main one, it knows.
    """
    if named or settings.trainer.run != MAIN_RUN:
        return named or settings.trainer.run
    return all_told(Cluster(settings, timeout_s=2)).main


def known_run(settings: Settings, named: str | None, now: float) -> str:
    """`chosen_run`, where it has a folder here or has reported lately; raises SettingsError naming those that have."""
    run, runs = chosen_run(settings, named), look_at_disk(settings)
    if run not in runs:
        add_reports(runs, Cluster(settings), now)
    if run not in runs:
        raise SettingsError(f"there is no run {run}: there are {', '.join(sorted(runs)) or 'none'}")
    return run


def latest_reports(cluster: Cluster) -> Iterator[Report]:
    """The last records of `train.steps`, in order."""
    for message in _last(cluster, STEPS):
        yield decode_report(message.value(), coordinate(message))


def last_planned(cluster: Cluster) -> Step | None:
    """The newest step in the plan."""
    records = [decode_plan(message.value(), coordinate(message)) for message in _last(cluster, PLAN)]
    return next((record for record in reversed(records) if isinstance(record, Step)), None)


def _last(cluster: Cluster, name: str) -> Iterator[Message]:
    first, end = cluster.first_offsets(name)[0], cluster.end_offsets(name)[0]
    return cluster.read(name, 0, max(first, end - LOOK_BACK), end)


def last_report(cluster: Cluster, run: str) -> Report | None:
    """What a run said last, if it was lately."""
    return next((report for report in reversed(list(latest_reports(cluster))) if report.run == run), None)


def next_step(report: Report) -> int:
    """The step that a run trains next, by its report."""
    return report.step + 1 if isinstance(report, StepReport) else report.step
