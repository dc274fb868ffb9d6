"""Two verdicts that know nothing of each other, and the reference: the same plan, trained without a fault."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from headrace.audit.verify import verify_deployment
from headrace.checkpoints import finished
from headrace.contract.settings import CONFIG_VARIABLE, ROOT, Settings
from headrace.kafka import brokers_of
from tests.fault.world import World

MAIN, REFERENCE = "main", "reference"
DRAIN_S = 300.0


def settle(world: World, documents: int) -> None:
    """End the stream after so many documents at least; blocks until all is trained and saved."""
    world.ledger.close(documents)
    report = verify_deployment(world.settings, MAIN, DRAIN_S, lambda records: lambda more: None)
    report.settled = True
    assert report.holds, report.as_json()
    main = world.settings.checkpoint_dir / MAIN
    world.wait(lambda: newest(main) == report.planned, 60, f"a checkpoint of step {report.planned}")


def newest(run: Path) -> int:
    """The step of the newest finished checkpoint of a run, -1 if there is none."""
    return max((checkpoint.manifest.step for checkpoint in finished(run)), default=-1)


def train_reference(settings: Settings, ranks: int) -> None:
    """A run of its own over the finished plan, from step 0 to its end; its checkpoints lie beside those of main."""
    with (settings.data_dir / "logs" / "reference.log").open("wb") as log:
        headrace(settings, "train", REFERENCE, "--ranks", str(ranks), "--until-end", stdout=log, stderr=log)


def verify(settings: Settings) -> None:
    """The product's own verdict on both runs, which are over."""
    for run in (MAIN, REFERENCE):
        headrace(settings, "verify", "--settled", "--full", "--run", run)


def headrace(settings: Settings, *arguments: str, **streams: object) -> None:
    """A command on this stack; raises CalledProcessError unless it exits with 0."""
    command = [sys.executable, "-m", "headrace.cli.main", *arguments]
    variables = {**os.environ, **settings.environment(), CONFIG_VARIABLE: os.devnull, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=ROOT, env=variables, check=True, **streams)  # type: ignore[call-overload]


def check_independently(world: World) -> None:
    """The verdict of a program that imports nothing of ours."""
    settings = world.settings
    command = [sys.executable, ROOT / "tests/independent_check.py", brokers_of(settings), settings.tokenizer_file]
    runs = [settings.checkpoint_dir / run for run in (MAIN, REFERENCE)]
    more = ["--acknowledged", world.acknowledged, "--runs", *runs]
    subprocess.run(list(map(str, [*command, *more])), env={**os.environ, "PYTHONPATH": ""}, check=True)
