"""`headrace demo`: all of it on this machine, from an empty directory to the proof."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console

from headrace.cli.options import err, out, say, with_settings
from headrace.contract.errors import ContractError, HeadraceError
from headrace.contract.settings import ROOT, Settings

if TYPE_CHECKING:
    from headrace.audit.report import Report
    from headrace.cli.demo_run import Sendable, Stream
    from headrace.local.stack import Stack


@with_settings
def demo(
    settings: Settings,
    data: Annotated[Path, typer.Option("--data", help="Directory for all of it; what a demo left is deleted.")] = Path(
        "demo"
    ),
    documents: Annotated[
        Path | None, typer.Option("--documents", metavar="FILE", help="JSONL to publish instead of the corpora.")
    ] = None,
    rate: Annotated[float, typer.Option("--rate", min=1, help="Documents published a second.")] = 70.0,
    seed: Annotated[int, typer.Option("--seed", help="Which documents are drawn from the corpora.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON; the rest to standard error.")
    ] = False,
) -> None:
    """See real text become a model, and the proof of it.

    Starts Kafka, Flink, the planner and the trainer in an empty directory and
    on free ports, publishes chat, film reviews and mail, waits until all of it
    is trained, verifies that each document was trained exactly once, lets the
    model write a few lines, and stops everything.

    The results are in [bold]result.json[/] and [bold]report.html[/] of the directory.
    The exit code is that of the verification: 0, or 4 when something is wrong.
    """
    from headrace.cli import demo_report, demo_run, verify
    from headrace.cli.report import Page
    from headrace.local.java import SHORT_LIVED
    from headrace.local.stack import Stack

    if not keep:
        os.environ.update(SHORT_LIVED)
    console = err if json else out
    folder = demo_run.fresh(data)
    seconds: dict[str, float] = {}
    with ended_by_signals(), took(seconds, "total"):
        own = demo_run.settings_of_demo(settings, folder)
        with took(seconds, "fetch"):
            texts = fetch(console, own, documents, seed)
        with Stack(own) as stack, announced(console, stack):
            with took(seconds, "start"):
                begin(console, stack)
            with took(seconds, "stream"):
                stream = flow(console, stack, texts, rate)
            with took(seconds, "verify"):
                report = prove(stack.settings)
            if json:
                console.print(report.headline, highlight=False)
            else:
                verify.show(report)
            seen = stream.watch.seen
            found = demo_report.learned(seen.frequencies, seen.steps)
            with took(seconds, "sample"):
                written = sample(stream.checkpoint)
            with took(seconds, "page"):
                Page(stack.settings, report.run).write(folder / demo_report.PAGE, report, written)
            if keep:
                stack.keep()
    result = demo_report.result(seen, found, report, stack.settings, stream.checkpoint, seconds)
    (folder / "result.json").write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    demo_report.tell(console, folder, result, written)
    if keep:
        explain_kept(console, folder, stack.settings)
    if json:
        typer.echo(orjson.dumps(result).decode())
    if not report.holds:
        raise typer.Exit(ContractError.exit_code)


def fetch(console: Console, settings: Settings, documents: Path | None, seed: int) -> list[Sendable]:
    """The documents, and every jar in the cache. Blocks for the downloads on first use."""
    from headrace.cli.demo_run import texts
    from headrace.local import jars

    console.print("fetching what is not in the cache yet")
    with console.status("documents"):
        found = texts(settings, documents, seed)
    locked = jars.locked()
    with console.status("jars") as status:
        for number, (jar, _) in enumerate(jars.fetch(locked, settings.cache_dir), 1):
            status.update(f"jars: {number} of {len(locked)}, {jar}")
    return found


def begin(console: Console, stack: Stack) -> None:
    """Block until all parts run; says of each when it does."""
    begun, up = time.monotonic(), set[str]()
    console.print("starting")
    with console.status("") as status:
        for state in stack.starting():
            for part in state.parts:
                if part.state == "running" and part.name not in up:
                    up.add(part.name)
                    where = f"  {part.url}" if part.url else ""
                    console.print(f"  {part.name} runs after {time.monotonic() - begun:.0f} s{where}", highlight=False)
            status.update(", ".join(part.name for part in state.parts if part.name not in up))


def flow(console: Console, stack: Stack, texts: list[Sendable], rate: float) -> Stream:
    """Publish everything and block until it is trained and saved."""
    from headrace.cli.demo_run import Stream
    from headrace.cli.demo_view import View

    console.print(f"publishing {len(texts):,} documents", highlight=False)
    with View(console, len(texts)) as view:
        stream = Stream(stack, texts, rate, view)
        stream.run()
    return stream


def prove(settings: Settings) -> Report:
    """What `headrace verify --settled` finds."""
    from headrace.audit.verify import verify_deployment

    report = verify_deployment(settings, settings.trainer.run, 0, lambda records: lambda more: None)
    report.settled = True
    return report


def sample(checkpoint: str) -> str:
    """A few lines that the model of a checkpoint writes."""
    command = [sys.executable, "-m", "trainer.sample", "--checkpoint", checkpoint]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HeadraceError(f"sampling ended with {done.returncode}:\n{done.stderr}")
    return done.stdout.strip()


def explain_kept(console: Console, folder: Path, settings: Settings) -> None:
    """How to look at what was left running, and how to end it."""
    here = f"--set local.data_dir={folder}"
    where = f"Flink's pages are at {settings.flink.rest}, the broker at {settings.kafka.brokers}"
    say(f"\nIt runs on: {where}", console)
    for command in ("status", "verify", "publish FILE", "sample", "logs trainer", "down"):
        say(f"  headrace {command} {here}", console)


@contextmanager
def announced(console: Console, stack: Stack) -> Iterator[None]:
    """Say that the stack is being stopped, which takes some seconds, however the block ends."""
    try:
        yield
    finally:
        if not stack.kept:
            console.print("stopping")


@contextmanager
def took(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Note how long the block took."""
    begun = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - begun, 1)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the block as Ctrl-C does, so that the stack is stopped.

    A signal that arrives inside a C extension can surface as an error of that extension: the Kafka client says that a
    configuration key is no string. After a signal any error means that the user wanted the end: KeyboardInterrupt.
    """
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.default_int_handler(number, frame)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    except Exception as error:
        if interrupted:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
