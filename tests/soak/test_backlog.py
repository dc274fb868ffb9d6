"""200,000 documents wait before the jobs start: memory stays bounded, windows too, nothing is lost.

SOAK_DOCUMENTS=20000 makes it short; SOAK_OUT=DIR keeps samples and picture.
"""

from __future__ import annotations

import os
import time
from itertools import islice
from pathlib import Path

import pytest
from plot import draw
from sampler import Sampler, table, write

from benchmarks.texts import texts
from headrace.audit.report import Report
from headrace.audit.verify import verify_deployment
from headrace.client import Publisher
from headrace.contract.blocks import Seal
from headrace.contract.settings import Ports, Settings, load
from headrace.contract.topics import WINDOWS
from headrace.kafka import Cluster, coordinate
from headrace.local import parts
from headrace.local.stack import Stack

DOCUMENTS = int(os.environ.get("SOAK_DOCUMENTS", "200000"))
ZEROS = [f"local.ports.{name}=0" for name in Ports.model_fields]
NO_TRAINER = (parts.BROKER, parts.JOBMANAGER, parts.TASKMANAGER, parts.JOBS, parts.PLANNER)


@pytest.mark.timeout(2400)
def test_a_backlog_is_worked_off_in_bounded_memory(jars_there: None, tmp_path: Path) -> None:
    settings = load(
        environment={"HEADRACE_CONFIG": os.devnull}, assignments=[*ZEROS, f"local.data_dir={tmp_path / 'data'}"]
    ).settings
    with Stack(settings, (parts.BROKER,)) as stack:
        stack.wait_running()
        publish(stack.settings)
    with Stack(settings, NO_TRAINER) as stack:
        stack.wait_running(300)
        sampler = Sampler(stack.settings)
        follow_until_worked_off(stack, sampler)
        keep(sampler, Path(os.environ.get("SOAK_OUT", tmp_path)))
        assert all(part.restarts == 0 for part in stack.state().parts), "nothing ran out of memory"
        stack.wait_until(lambda: not verified(stack.settings).stages[1].in_flight, 120, "the last window is sealed")
        report, found = verified(stack.settings), seals(stack.settings)
    assert report.holds, report.as_json()
    assert (report.lost, report.duplicated) == (0, 0)
    clean, tokenize = report.stages[:2]
    assert clean.entered == clean.left == DOCUMENTS
    assert tokenize.entered == tokenize.left == sum(seal.documents for seal in found)
    print(
        f"largest window of a shard: {max(s.documents for s in found)} documents, {max(s.tokens for s in found)} tokens"
    )


def publish(settings: Settings) -> None:
    """The backlog."""
    with Publisher(settings) as publisher:
        for text in islice(texts(settings), DOCUMENTS):
            publisher.publish(text, source="soak")


def follow_until_worked_off(stack: Stack, sampler: Sampler) -> None:
    """Sample until both jobs have committed all of it; fails with the part that fails."""
    begun, last = time.monotonic(), sampler.take()
    while last["lag.clean"] or last["lag.tokenize"]:
        sampler.follow(5)
        last = sampler.samples[-1]
        stack.wait_until(lambda: True, 1, "a part that failed is an error")
    print(f"{DOCUMENTS} documents in {time.monotonic() - begun:.0f} s")


def keep(sampler: Sampler, folder: Path) -> None:
    """Samples, picture and table."""
    write(folder / "backlog.csv", sampler.samples)
    draw(sampler.samples, folder / "backlog.png")
    print(f"\n{table(sampler.samples)}")


def verified(settings: Settings) -> Report:
    """What `headrace verify` says now."""
    return verify_deployment(settings, "main", 0, lambda records: lambda more: None)


def seals(settings: Settings) -> list[Seal]:
    """Every seal of a window."""
    cluster = Cluster(settings)
    records = cluster.read_all(WINDOWS, {}, cluster.settled_ends(WINDOWS, 60))
    return [Seal.decode(message.value(), coordinate(message)) for message in records]
