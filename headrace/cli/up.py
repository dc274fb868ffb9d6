"""`headrace up`: the whole stack on this machine."""

from __future__ import annotations

import signal
import time
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.progress import track
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from headrace.cli.options import err, out, say, with_settings
from headrace.contract.errors import HeadraceError, SettingsError
from headrace.contract.settings import Settings

COLOURS = {"running": "green", "starting": "cyan", "waiting": "dim", "restarting": "yellow", "failed": "red"}


@with_settings
def up(
    settings: Settings,
    ranks: Annotated[int | None, typer.Option("--ranks", min=1, help="Trainer processes; else trainer.ranks.")] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay until Ctrl-C, then take everything down.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Give up waiting after this.")] = 300.0,
) -> None:
    """Start broker, Flink, both jobs, planner and trainer here, and wait until all of them run.

    On a running stack `--ranks N` gives the trainer another number of processes; it goes on from where it was, with the
    same weights to the bit (canonical reduction). Everything is kept in the data directory: after `headrace down` and
    `headrace up` the stream goes on where it stopped.
    """
    from headrace.local import stack, state

    if (running := state.running(settings.data_dir)) is not None:
        settings = running.settings
        _resize(settings, ranks, timeout)
    else:
        settings = with_ranks(settings, ranks or settings.trainer.ranks)
        warn_of_size(settings, stack_to_come=True)
        fetch_jars(settings)
        settings, _ = stack.launch(settings)
        show_starting(settings, timeout)
    if foreground:
        _stay(settings)


def fetch_jars(settings: Settings) -> None:
    """Every pinned jar is in the cache afterwards; a bar while some are fetched."""
    from headrace.local import jars

    wanted = {str(jar): jar for jar in jars.locked()}
    done = jars.fetch(list(wanted.values()), settings.cache_dir)
    for jar, what in track(done, "jars", len(wanted), console=err, transient=True, disable=not err.is_terminal):
        if what != "there":
            err.print(f"[dim]{jar}: {what}[/]", highlight=False)


def show_starting(settings: Settings, timeout_s: float) -> None:
    """Show the parts until all run; raises what a part failed for."""
    from headrace.local import stack

    began = time.monotonic()
    try:
        with Live(console=err, transient=True, refresh_per_second=8) as live:
            for now in stack.starting(settings, timeout_s):
                live.update(Group(*(_line(part.name, part.state, part.restarts) for part in now.parts)))
    except (HeadraceError, KeyboardInterrupt):
        err.print("[dim]what runs goes on running: `headrace status`, `headrace logs PART`, `headrace down`[/]")
        raise
    ports = settings.local.ports
    out.print(f"[green]up[/] in {time.monotonic() - began:.0f} s", highlight=False)
    out.print(f"  Kafka     {settings.kafka.brokers}", highlight=False)
    out.print(f"  Flink     {settings.flink.rest}", highlight=False)
    out.print(f"  metrics   http://127.0.0.1:{ports.supervisor_metrics}/metrics and others: `headrace status`")
    say(f"  data      {settings.data_dir}")
    out.print("Publish with `headrace publish`, look with `headrace status`, end with `headrace down`.")


def _line(name: str, phase: str, restarts: int) -> Table | Spinner:
    again = f" ({restarts} restarts)" if restarts else ""
    text = Text.assemble(f"{name:12}", (f"{phase}{again}", COLOURS.get(phase, "")))
    if phase in ("starting", "restarting"):
        return Spinner("dots", text)
    mark = {"running": "✓", "failed": "✗"}.get(phase, " ")
    line = Table.grid()
    line.add_row(Text(f"{mark} ", COLOURS.get(phase, "")), text)
    return line


def with_ranks(settings: Settings, ranks: int) -> Settings:
    """The same settings with another number of ranks."""
    return settings.model_copy(update={"trainer": settings.trainer.model_copy(update={"ranks": ranks})})


def warn_of_size(settings: Settings, stack_to_come: bool) -> None:
    """Say where the machine is too small; raise DependencyError where it can never hold the stack."""
    from headrace.local import size

    for said in size.warnings(settings, stack_to_come):
        say(f"[yellow]warning:[/] {said}", err)


def _resize(settings: Settings, wanted: int | None, timeout_s: float) -> None:
    """Give the running trainer another number of ranks and wait until they train."""
    from headrace.local import parts, ports, stack, state, status

    now = settings.trainer.ranks
    if (running := state.running(settings.data_dir)) and parts.TRAINER not in status.names(running):
        raise SettingsError(f"run {settings.trainer.run} was ended: `headrace runs start {settings.trainer.run}` first")
    if wanted is None or wanted == now:
        out.print(f"[green]up[/] already, in {settings.data_dir}: see `headrace status`", soft_wrap=True)
        return
    ports.check_ranks(settings, range(now, wanted))
    warn_of_size(with_ranks(settings, wanted), stack_to_come=False)
    began = time.monotonic()
    with err.status(f"the trainer saves, ends, and starts again with {wanted} ranks"):
        for _ in stack.order(settings, timeout_s, parts.TRAINER, do="ranks", ranks=wanted):
            pass
    say(
        f"the trainer has {wanted} ranks instead of {now} and goes on from where it was, after"
        f" {time.monotonic() - began:.0f} s. So it stays until `headrace down`; for good: trainer.ranks = {wanted}"
        " in headrace.toml"
    )


def _stay(settings: Settings) -> None:
    """Block until Ctrl-C or until the stack is gone; then take it down."""
    from headrace.cli.down import show_stopping
    from headrace.local import state

    out.print("[dim]Ctrl-C takes it down[/]")
    try:
        while state.running(settings.data_dir) is not None:
            time.sleep(1)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the way down is short; let it finish
    show_stopping(settings)
