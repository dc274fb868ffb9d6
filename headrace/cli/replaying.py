"""`headrace verify --replay FROM:TO`: do the steps between two checkpoints, trained again, give the same weights?"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.audit.findings import Findings
from headrace.audit.manifests import read_manifests
from headrace.beside import settings_beside
from headrace.checkpoints import Checkpoint, finished, name_of, verify
from headrace.cli.options import err, out, say
from headrace.contract.errors import ContractError, Coordinate, HeadraceError, SettingsError
from headrace.contract.settings import ROOT, Settings
from headrace.contract.training import Manifest, Replayed


@dataclass(frozen=True)
class Verdict:
    """What came out, hex sha256 of the weights then and now. `reasons`: why they may differ with nothing wrong."""

    run: str
    first: int
    last: int
    then: str
    now: str
    same_fed: bool
    reasons: tuple[str, ...]

    @property
    def equal(self) -> bool:
        return self.then == self.now

    @property
    def code(self) -> int:
        """4 where equal weights were promised; where they were not, a difference proves nothing, and is no success."""
        if self.equal:
            return 0
        return HeadraceError.exit_code if self.reasons and self.same_fed else ContractError.exit_code


def check_again(settings: Settings, run: str, span: str, json: bool) -> None:
    """Train again and print the verdict; raises typer.Exit unless the weights are equal.

    Raises SettingsError where there are no such checkpoints, ContractError where their files were changed.
    """
    first, last = parse(span)
    directory = settings.checkpoint_dir / run
    manifests = {one.step: one for one in read_manifests(directory, Findings())}
    check_there(directory, {one.manifest.step: one for one in finished(directory)}, manifests, first, last)
    own = settings_like(settings, run, manifests[last])
    replayed = train_again(own, first, last, hidden=json)
    between = [one for step, one in manifests.items() if first < step <= last]
    verdict = judge(manifests[last], first, between, replayed)
    show(verdict, json)
    if verdict.code:
        raise typer.Exit(verdict.code)


def parse(span: str) -> tuple[int, int]:
    """FROM:TO as two steps."""
    found = re.fullmatch(r"(\d+):(\d+)", span)
    if not found or int(found[1]) >= int(found[2]):
        raise SettingsError(f"--replay {span}: it takes two steps, the first one lower, like 50:100")
    return int(found[1]), int(found[2])


def check_there(
    directory: Path, weights: Mapping[int, Checkpoint], manifests: Mapping[int, Manifest], first: int, last: int
) -> None:
    """The first must have its weights, of the last the manifest is enough; what is there must be as it was written."""
    if first not in weights:
        raise SettingsError(f"{directory} has no checkpoint of step {first} with weights: {nearest(weights, first)}")
    if last not in manifests:
        raise SettingsError(f"{directory} has no checkpoint of step {last}: {nearest(manifests, last)}")
    for step in (first, last):
        if step in weights:
            verify(weights[step])


def nearest(there: Mapping[int, object], step: int) -> str:
    """Which steps there are, those around `step` first."""
    if not there:
        return "there is none; `headrace runs list` shows which runs there are"
    around = sorted(sorted(there, key=lambda one: abs(one - step))[:6])
    return f"the nearest are {', '.join(map(str, around))}"


def settings_like(settings: Settings, run: str, manifest: Manifest) -> Settings:
    """What the run keeps, with the threads, and on the CPU if it was there, of whoever trained the checkpoint."""
    seen = manifest.fingerprint
    said = {"threads": seen.get("threads"), "device": "cpu" if seen.get("device") == "cpu" else None}
    return settings_beside(settings, run, [f"trainer.{name}={value}" for name, value in said.items() if value])


def train_again(settings: Settings, first: int, last: int, hidden: bool) -> Replayed:
    """The last that the trainer's child says; raises typer.Exit with its code when it fails, and has said why."""
    command = [sys.executable, "-m", "trainer.replay", f"--from={first}", f"--to={last}"]
    columns = (
        TextColumn("trains again"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, console=err, transient=True, disable=hidden) as progress,
        subprocess.Popen(command, cwd=ROOT, env=settings.child_environment(), stdout=subprocess.PIPE) as child,
    ):
        task = progress.add_task("replay", total=last - first)
        assert child.stdout is not None
        for line in child.stdout:
            replayed = Replayed.decode(line, Coordinate("trainer.replay", 0, 0))
            progress.update(task, completed=replayed.step - first)
    if child.returncode:
        raise typer.Exit(child.returncode)
    return replayed


def judge(manifest: Manifest, first: int, between: Sequence[Manifest], replayed: Replayed) -> Verdict:
    """Compare with the last manifest; `between` are those of all steps behind `first` up to it, and their machines."""
    here = replayed.fingerprint
    pairs = {(key, then, here.get(key, "none")) for one in between for key, then in one.fingerprint.items()}
    reasons = [f"{key} was {then}, here it is {now}" for key, then, now in sorted(pairs) if then != now]
    if manifest.settings.get("reduction") == "plain":
        reasons.append("plain reduction: the bits depend on the number of ranks, and this was one rank")
    same_fed = (replayed.step, replayed.fed) == (manifest.step, manifest.fed)
    return Verdict(manifest.run, first, manifest.step, manifest.weights, replayed.weights, same_fed, tuple(reasons))


def show(verdict: Verdict, json: bool) -> None:
    if json:
        said = {**asdict(verdict), "equal": verdict.equal}
        typer.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())
        return
    steps = f"steps {verdict.first} to {verdict.last - 1} of run {verdict.run}, trained again"
    name = name_of(verdict.last)
    if verdict.equal:
        say(f"[bold green]equal[/] {steps}: the weights of {name}, {verdict.now}")
        return
    text = f"[bold red]different[/] {steps}: weights {verdict.now}, {name} says {verdict.then}"
    say(text)
    if not verdict.same_fed:
        out.print("other blocks were fed than then, too: `headrace verify` names them", highlight=False)
    for reason in verdict.reasons:
        say(f"that may be why: {reason}")
