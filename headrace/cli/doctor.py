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
    """Check platform, Python, tools, disk, memory, ports and Java; exit code 3 names what is missing and mends it."""
    checks = examination.examine(settings.data_dir, settings.local.ports.model_dump())
    raise typer.Exit(examination.show(checks, json))
