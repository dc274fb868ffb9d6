"""`headrace sample`: what the newest checkpoint writes."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

from headrace.cli.options import with_settings
from headrace.contract.errors import DependencyError, HeadraceError
from headrace.contract.settings import ROOT, Settings
from headrace.contract.training import MANIFEST


@with_settings
def sample(
    settings: Settings,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="How the texts begin.")] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many texts.")] = 3,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="Most new tokens in each.")] = 40,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds, equal texts.")] = 1,
) -> None:
    """Let the newest checkpoint of the run (trainer.run) go on from a prompt."""
    run = settings.checkpoint_dir / settings.trainer.run
    found = max(run.glob(f"step-*/{MANIFEST}"), default=None)
    if found is None:
        raise DependencyError(f"no checkpoint in {run}: start a trainer with `headrace up`, or set trainer.run")
    typer.echo(f"{found.parent.name} of run {settings.trainer.run}:\n", err=True)
    asked = {"checkpoint": found.parent, "prompt": prompt, "count": count, "tokens": tokens, "seed": seed}
    command = [sys.executable, "-m", "trainer.sample", *(f"--{name}={value}" for name, value in asked.items())]
    if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise HeadraceError(f"trainer.sample ended with {code}; its own message stands above")
