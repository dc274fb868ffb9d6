"""`headrace doctor`: does this machine have what a stack needs? Works before an installation as `headrace.doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace import doctor as examination
from headrace.cli.options import with_settings
from headrace.contract.settings import Settings


@with_settings
def doctor(
    settings: Settings, json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False
) -> None:
    """Check platform, Python, tools, disk, memory, ports, Java, jars and data; exit code 3 names what is missing.

    Below each line that does not hold stands the command that mends it.
    """
    from headrace.local import checks, size

    ports = settings.local.ports.model_dump(exclude={"trainer_metrics"})
    first = settings.local.ports.trainer_metrics
    ports |= {f"trainer_metrics+{rank}": first + rank for rank in range(settings.trainer.ranks if first else 0)}
    found = examination.examine(settings.data_dir, ports, size.needed(settings)) + checks.examine(settings)
    raise typer.Exit(examination.show(found, json))
