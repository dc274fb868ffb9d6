"""`headrace train`: a second run over the same plan, here and now."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Annotated

import typer

from headrace.cli.options import BeginFrom, NewRun, Ranks, out, told, with_settings
from headrace.contract.errors import DependencyError, SettingsError
from headrace.contract.settings import ROOT, Settings, load


@with_settings
def train(
    settings: Settings,
    assignments: tuple[str, ...],
    run: NewRun,
    ranks: Ranks = None,
    begin_from: BeginFrom = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Save and end behind the last step that is planned now.")
    ] = False,
    until: Annotated[
        int | None, typer.Option("--until", metavar="STEP", min=1, help="Save and end before this step.")
    ] = None,
) -> None:
    """Train a run on the steps of the plan, in their order, from its newest checkpoint or from step 0 on.

    It takes all settings from the running stack, if there is one, but for `--set trainer.…`; what it was begun with it
    keeps. Without --until-end and --until it follows the plan until Ctrl-C, which saves. No other run notices:
    the main run alone paces the planner. `headrace runs start` lets the stack do it instead.
    """
    from headrace.beside import check_can_begin, check_free, manifests_of, settings_beside
    from headrace.checkpoints import take_up
    from headrace.kafka import Cluster

    if until_end and until:
        raise SettingsError(f"--until-end and --until {until} both say where it ends: leave one out")
    base = stack_or(settings)
    own = settings_beside(base, run, told(assignments, ranks=ranks, begin_from=begin_from))
    check_free(own)
    cluster = Cluster(own)
    cluster.wait(2)
    check_can_begin(cluster, own)
    take_up(own.checkpoint_dir / run)
    if until_end:
        until = present_end(own)
    if code := run_fleet(ending_before(own, until)):
        raise typer.Exit(code)
    step = manifests_of(own, run)[-1].step
    out.print(
        f"run {run} is saved up to step {step}: `headrace runs list`, `headrace verify --run {run}`", highlight=False
    )


def stack_or(settings: Settings) -> Settings:
    """The settings of the running stack, unless there is none or another broker is named; then these, absolute."""
    from headrace.local import state

    running = None if settings.kafka.brokers else state.running(settings.data_dir)
    return running.settings if running else settings.absolute


def ending_before(settings: Settings, step: int | None) -> Settings:
    """The settings of trainers on free ports that end before `step`, if there is one."""
    words = ["local.ports.trainer_metrics=0", *([f"trainer.until_step={step}"] if step else ())]
    return load(assignments=words, environment=settings.environment()).settings


def present_end(settings: Settings) -> int:
    """How many steps the plan has now; raises SettingsError when it has none."""
    from headrace.kafka import Cluster
    from headrace.runs import last_planned

    if (last := last_planned(Cluster(settings))) is None:
        raise SettingsError("--until-end: nothing is planned yet. Leave it out to follow the plan as it comes")
    return last.step + 1


def run_fleet(settings: Settings) -> int:
    """Run all ranks, showing what they log, until they end; the exit code. Ctrl-C and SIGTERM let them save and end."""
    from headrace.cli.logs import readable

    fleet = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "trainer.fleet"],
        cwd=ROOT,
        env=settings.child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    before = {number: signal.signal(number, lambda *_: fleet.terminate()) for number in (signal.SIGINT, signal.SIGTERM)}
    assert fleet.stdout is not None
    for line in fleet.stdout:
        typer.echo(readable(line.rstrip("\n"), "trainer"), err=True)
    code = fleet.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    return code if code >= 0 else DependencyError.exit_code
