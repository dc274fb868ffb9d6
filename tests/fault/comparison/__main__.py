"""`python -m tests.fault.comparison --seed 1`: the same faults for systems as one writes them today, and for ours.

Prints what the final weights of each have lost and seen twice. Each stand-in has a broker of its own, and all of them
run beside each other: most of their time they wait for documents. Ours runs alone, after them.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from headrace.contract.settings import Settings, load
from headrace.kafka import Cluster
from headrace.local import jars, ports, process
from headrace.local.broker import NAME, broker
from headrace.topics import create_topics
from tests.conftest import with_values
from tests.fault.comparison import ours
from tests.fault.comparison.faults import Fault, draw
from tests.fault.comparison.stand_in import SYSTEMS, Result, compare
from tests.small_stack import make_settings

OURS = "ours"
ROW = "| {:<48} | {:>6} | {:>9} | {:>8} | {:>4} | {:>8} | {:<24} |"
TITLES = ("system", "faults", "published", "rejected", "lost", "repeated", "final state")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fault.comparison", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=10)
    parser.add_argument("--documents", type=int, default=2000, help="published at least")
    parser.add_argument("--systems", nargs="+", choices=(*SYSTEMS, OURS), default=[*SYSTEMS, OURS])
    given = parser.parse_args()
    for _ in jars.fetch(jars.locked(), load(environment={}).settings.cache_dir):
        pass
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # not without taking all down
    folder = Path(tempfile.mkdtemp(prefix="comparison-"))
    struck = list(draw(given.faults, given.seed))
    print(f"seed {given.seed}: {', '.join(f'{fault.kind} after {fault.gap}' for fault in struck)}; in {folder}")
    print(ROW.format(*TITLES), "|---|---:|---:|---:|---:|---:|---|", sep="\n", flush=True)
    for result in stand_ins(
        folder, [name for name in given.systems if name != OURS], struck, given.documents, given.seed
    ):
        print(row(result), flush=True)
    if OURS in given.systems:
        (folder / OURS).mkdir()
        print(row(ours.compare(folder / OURS, struck, given.documents, given.seed)), flush=True)
    shutil.rmtree(folder)
    return 0


def stand_ins(
    folder: Path, names: Sequence[str], struck: Sequence[Fault], documents: int, seed: int
) -> Iterator[Result]:
    """All of them, beside each other; raises what one has failed for after the results of the others."""
    with ExitStack() as held, ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
        settings = {name: held.enter_context(own_broker(folder / name / "data")) for name in names}
        runs = [
            pool.submit(compare, SYSTEMS[name], own, folder / name / "run", struck, documents, seed)
            for name, own in settings.items()
        ]
        yield from (run.result() for run in runs if run.exception() is None)
        for run in runs:
            run.result()


@contextmanager
def own_broker(data_dir: Path) -> Iterator[Settings]:
    """A real broker with all topics, for one system alone."""
    settings = make_settings(data_dir)
    chosen = ports.choose(settings).model_dump()
    values = [f"local.ports.{name}={port}" for name, port in chosen.items()]
    settings = with_values(settings, *values, f"kafka.brokers={ports.HOST}:{chosen['broker']}")
    running = process.start(broker(settings), settings.data_dir)
    try:
        Cluster(settings).wait(120)
        create_topics(Cluster(settings))
        yield settings
    finally:
        process.end(process.marked(settings.data_dir, NAME), grace_s=20)
        running.wait()


def row(result: Result) -> str:
    counted = result.tally
    assert not counted.unknown, f"{result.name} has seen {counted.unknown} documents that were never acknowledged"
    numbers = (result.faults, counted.published, counted.rejected, counted.lost, counted.repeated)
    return ROW.format(result.name, *numbers, result.state)


if __name__ == "__main__":
    sys.exit(main())
