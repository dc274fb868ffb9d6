"""`headrace sample`: what the newest checkpoint writes."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

from headrace.cli.options import OfRun, of_run, with_settings
from headrace.contract.settings import ROOT, Settings


@with_settings
def sample(
    settings: Settings,
    run: OfRun = None,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="How the texts begin.")] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many texts.")] = 3,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="Most new tokens in each.")] = 40,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds, equal texts.")] = 1,
) -> None:
    """Let the newest checkpoint of a run go on from a prompt."""
    settings = of_run(settings, run)
    asked = {"prompt": prompt, "count": count, "tokens": tokens, "seed": seed}
    command = [sys.executable, "-m", "trainer.sample", *(f"--{name}={value}" for name, value in asked.items())]
    environment = settings.absolute.child_environment()
    if code := subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        raise typer.Exit(code)
