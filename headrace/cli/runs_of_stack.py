"""`headrace runs start` and `end`: runs that the stack trains beside its first one."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from headrace.cli.options import BeginFrom, NewRun, Ranks, err, out, say, told, with_settings
from headrace.cli.up import warn_of_size, with_ranks
from headrace.contract.errors import DependencyError, SettingsError
from headrace.contract.settings import Settings

Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Give up waiting after this.")]


@with_settings
def start(
    settings: Settings,
    assignments: tuple[str, ...],
    run: NewRun,
    ranks: Ranks = None,
    begin_from: BeginFrom = None,
    timeout: Timeout = 180.0,
) -> None:
    """Let the running stack train another run on the same plan, with settings of its own: `--set trainer.…`.

    It begins at step 0, or where --from says, catches up, and follows, through `down` and `up`, until `headrace runs
    end`. It has its own checkpoints, log and restarts, as the part trainer@RUN. What it was begun with it keeps; the
    number of ranks may change. The main run alone paces the planner. `headrace runs compare` shows which one learns
    better.
    """
    from headrace.beside import check_can_begin, check_free, settings_beside
    from headrace.checkpoints import take_up
    from headrace.kafka import Cluster
    from headrace.local import parts, stack, state, status, trainers

    if (running := state.running(settings.data_dir)) is None:
        raise DependencyError(f"nothing runs in {settings.data_dir}: `headrace up`; or `headrace train {run}`")
    base = running.settings
    words = told(assignments, ranks=ranks, begin_from=begin_from)
    own = settings_beside(base, run, words)
    part = parts.trainer_of(run, base)
    there = part in status.names(running)
    words = [word for word in words if word.startswith("trainer.")]
    if part == parts.TRAINER and words:
        raise SettingsError(f"run {run} is the stack's own: it has the stack's settings; `headrace up --ranks N`")
    if there and not words:
        out.print(f"the stack trains run {run} already: `headrace status`, `headrace logs {part}`", highlight=False)
        return
    if not there:
        check_free(own)
        check_can_begin(Cluster(base), own)
        take_up(own.checkpoint_dir / run)
    if part != parts.TRAINER:
        trainers.keep(base.data_dir, run, words)
    warn_of_size(with_ranks(base, base.trainer.ranks + own.trainer.ranks), stack_to_come=False)
    began = time.monotonic()
    with err.status(f"starting {part}"):
        for _ in stack.order(base, timeout, part, do="train", run=run):
            pass
    say(
        f"the stack trains run {run} after {time.monotonic() - began:.0f} s, as {part}: `headrace runs list`,"
        f" `headrace logs {part}`, `headrace runs compare {base.trainer.run} {run}`"
    )


@with_settings
def end(
    settings: Settings,
    run: Annotated[str, typer.Argument(help="A run that is not the main one.")],
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete its weights too; what it was fed stays provable.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    timeout: Timeout = 120.0,
) -> None:
    """Give a run up: it saves, ends, is not started again by `up`, and no longer holds back `headrace retention`.

    Its checkpoints stay, for `sample` and `compare`. `headrace runs start` takes it up again, as long as the blocks
    that it needs are there.
    """
    from headrace.checkpoints import end_run, is_locked
    from headrace.kafka import Cluster
    from headrace.local import parts, stack, state, status, trainers
    from headrace.runs import all_told, look_at_disk

    running = state.running(settings.data_dir)
    settings = running.settings if running else settings
    folder = settings.checkpoint_dir / run
    if all_told(Cluster(settings, timeout_s=5)).main == run:
        raise SettingsError(f"run {run} is the main one: `headrace runs promote` another one first")
    part = parts.trainer_of(run, settings)
    here = running is not None and part in status.names(running)
    if not (here or run in look_at_disk(settings) or run in trainers.kept(settings.data_dir)):
        raise SettingsError(f"there is no run {run} in {settings.checkpoint_dir}: see `headrace runs list`")
    if delete and not yes:
        typer.confirm(f"End run {run} and delete its weights for good?", abort=True, err=True)
    trainers.forget(settings.data_dir, run)
    if here:
        with err.status(f"{part} saves and ends"):
            for _ in stack.dropping(settings, timeout, part):
                pass
    if is_locked(folder):
        raise DependencyError(f"run {run} is trained outside of this stack: end that first (Ctrl-C there)")
    if folder.is_dir():
        end_run(folder, delete)
    gone = "its weights are deleted, its manifests stay" if delete else f"its checkpoints stay in {folder}"
    say(f"run {run} has ended: {gone}")
