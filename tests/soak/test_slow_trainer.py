"""A fast publisher against a slow trainer: what is not trained yet waits in Kafka, and no process grows.

SOAK_MINUTES=2 makes it short; SOAK_OUT=DIR keeps samples and picture.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from plot import draw
from sampler import Sampler, grown, table, thirds, write

from headrace.audit.verify import verify_deployment
from headrace.contract.settings import ROOT, Ports, Settings, load
from headrace.local.stack import Stack

MINUTES = float(os.environ.get("SOAK_MINUTES", "20"))
RATE = 500
"""Documents a second, some 60,000 tokens: one rank of the default model on one thread trains a fifteenth of that."""
ZEROS = [f"local.ports.{name}=0" for name in Ports.model_fields]


@pytest.mark.timeout(60 * MINUTES + 1200)
def test_what_a_slow_trainer_has_not_trained_waits_in_kafka_alone(jars_there: None, tmp_path: Path) -> None:
    slow = ["trainer.ranks=1", "trainer.threads=1", f"local.data_dir={tmp_path / 'data'}"]
    settings = load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=[*ZEROS, *slow]).settings
    with Stack(settings) as stack:
        stack.wait_running(300)
        with publisher(stack.settings) as feed:
            sampler = Sampler(stack.settings, {"publisher": feed.pid})
            sampler.follow(60 * MINUTES)
            assert feed.poll() is None, "it published until now"
        keep(sampler, Path(os.environ.get("SOAK_OUT", tmp_path)))
        restarts = {part.name: part.restarts for part in stack.state().parts if part.restarts}
        report = verify_deployment(stack.settings, "main", 0, lambda records: lambda more: None)
    print(report.headline, report.rows())
    assert restarts == {}
    assert report.holds, report.as_json()
    assert (report.lost, report.duplicated) == (0, 0)
    assert report.in_flight > 0
    first, second, last = (sum(thirds(sampler.samples, lag)[third] for lag in lags(sampler)) for third in range(3))
    assert first < second < last, "the trainer is slower than the stream"
    assert grown(sampler.samples) == {}


@contextmanager
def publisher(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A process that publishes RATE documents a second during the block; all of them are confirmed at its end."""
    command = [sys.executable, str(Path(__file__).with_name("feed.py")), str(RATE)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HEADRACE_CONFIG": os.devnull, **settings.environment()}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as feed:
        try:
            yield feed
            feed.terminate()
            assert feed.wait(60) == 0
        finally:
            feed.kill()


def lags(sampler: Sampler) -> list[str]:
    return [name for name in sampler.samples[-1] if name.startswith("lag.") and name != "lag.trainer"]


def keep(sampler: Sampler, folder: Path) -> None:
    """Samples, picture and table."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "slow-trainer.csv", sampler.samples)
    draw(sampler.samples, folder / "slow-trainer.png")
    print(f"\n{table(sampler.samples)}")
