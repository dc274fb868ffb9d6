"""The options that every command shares, and how a command gets its settings from them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings, load
from headrace.runs import chosen_run

out = Console()
err = Console(stderr=True)

Config = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file with settings; else ./headrace.toml.", rich_help_panel="Settings"),
]
Assign = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting; may be repeated.", rich_help_panel="Settings"),
]
OfRun = Annotated[str | None, typer.Option("--run", metavar="RUN", help="Else trainer.run, else the main run.")]
NewRun = Annotated[str, typer.Argument(metavar="RUN", help="Its name: a new one begins, one that there is goes on.")]
Ranks = Annotated[int | None, typer.Option("--ranks", min=1, help="Processes; else trainer.ranks.")]
BeginFrom = Annotated[
    str | None, typer.Option("--from", metavar="RUN:STEP", help="Begin a new run from a checkpoint of another.")
]
Brokers = Annotated[
    str | None,
    typer.Option(
        "--brokers", help="Bootstrap servers; else kafka.brokers, else the running stack.", rich_help_panel="Settings"
    ),
]


def say(line: str, console: Console = out) -> None:
    """Print a line of markup: no colours but its own, no line ends but its own."""
    console.print(line, highlight=False, soft_wrap=True)


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the shared options; it receives the resolved Settings as its first argument `settings`.

    One that has a parameter `assignments` is also told what was said by --set, word for word.
    """
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(*args: Any, config: Path | None, assign: list[str] | None, brokers: str | None, **kwargs: Any) -> Any:
        assignments = [*(assign or ()), *([f"kafka.brokers={brokers}"] if brokers else ())]
        settings: Settings = load(config, assignments).settings
        if "assignments" in signature.parameters:
            kwargs["assignments"] = tuple(assign or ())
        return command(settings, *args, **kwargs)

    own = [one for name, one in signature.parameters.items() if name not in ("settings", "assignments")]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in (("config", Config), ("assign", Assign), ("brokers", Brokers))
    ]
    run.__signature__ = signature.replace(parameters=own + shared)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in own + shared}
    del run.__wrapped__
    return run


def told(assignments: Sequence[str], **options: Any) -> list[str]:
    """What a run is told: by --set, and by options that are settings of the trainer."""
    return [*assignments, *(f"trainer.{key}={value}" for key, value in options.items() if value)]


def of_run(settings: Settings, named: str | None) -> Settings:
    """The settings with the run that is meant as trainer.run: see `headrace.runs.chosen_run`.

    Where no broker answers, which knows the main run, it is trainer.run, and the operator is told.
    """
    try:
        run = chosen_run(settings, named)
    except DependencyError as error:
        run = settings.trainer.run
        say(f"[yellow]taking run {run}, for {escape(str(error))}[/]", err)
    return settings.model_copy(update={"trainer": settings.trainer.model_copy(update={"run": run})})
