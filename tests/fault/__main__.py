"""`python -m tests.fault -n 50 --seed 7`: breaks a running stack with faults drawn from a seed, and counts.

One row a fault: in seconds since it fired, when each part of the recovery was there. Then two verdicts that know
nothing of each other, and a reference that trained the same plan without a fault. Exits 1 when anything is wrong, and
keeps all data then.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from headrace.contract.settings import load
from headrace.local import jars
from tests.clock import build_clock
from tests.disks import mounted
from tests.fault.plan import Fault, draw
from tests.fault.recovery import PARTS, Recovery, recovered
from tests.fault.strikes import Struck
from tests.fault.verdict import check_independently, settle, train_reference, verify
from tests.fault.world import DATA, World

ROW = "| {:>3} | {:<26} | {:<16} | {:>5} |" + " {:>8} |" * len(PARTS) + " {:<9} |"
REFERENCE_RANKS = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-n", "--faults", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--documents", type=int, default=5000, help="published at least")
    given = parser.parse_args()
    for _ in jars.fetch(jars.locked(), load(environment={}).settings.cache_dir):
        pass
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # not without taking all down
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"{given.faults} faults, seed {given.seed}, in {folder}", flush=True)
    try:
        with ExitStack() as held:
            run(folder, given.faults, given.seed, given.documents, held)
    except BaseException:
        print(f"FAILED with seed {given.seed}; everything is left in {folder}", flush=True)
        raise
    shutil.rmtree(folder)
    return 0


def run(folder: Path, faults: int, seed: int, documents: int, held: ExitStack) -> None:
    """One stack through all faults, then both verdicts; raises what is wrong."""
    without = []
    try:
        held.enter_context(mounted(folder / DATA / "checkpoints", "96m"))
    except PermissionError as error:
        print(f"no full disk: {error}")
        without.append("fill")
    if (clock := build_clock(folder)) is None:
        print("no clock that is set: needs a C compiler (cc)")
        without.append("clock")
    with World(folder, seed, clock) as world:
        begun, passed = time.monotonic(), defaultdict[str, list[float]](list)
        print(ROW.format("", "fault", "point", "step", *PARTS, "verdict"))
        print("|---" * (len(PARTS) + 5) + "|", flush=True)
        for number, fault in enumerate(draw(faults, seed, without), 1):
            struck, recovery = recovered(world, fault)
            print(row(number, fault, struck, recovery), flush=True)
            passed[f"{fault.kind} at {fault.point}"].append(recovery["gradient"])
        print(f"{faults} faults in {time.monotonic() - begun:.0f} s", *summary(passed), sep="\n", flush=True)
        settle(world, documents)
        train_reference(world.settings, REFERENCE_RANKS)
        verify(world.settings)
        check_independently(world)


def row(number: int, fault: Fault, struck: Struck, recovery: Recovery) -> str:
    """One fault of the table; the verdict says in which try it met work."""
    times = [f"{recovery[part]:.1f}" if part in recovery else "" for part in PARTS]
    verdict = "fired" if struck.tries == 1 else f"fired, {struck.tries}."
    return ROW.format(number, fault.subject, fault.point, struck.at.step, *times, verdict)


def summary(passed: dict[str, list[float]]) -> Iterator[str]:
    """By kind: how often, and how long until a step was trained that was planned after the fault."""
    for kind, seconds in sorted(passed.items()):
        yield f"{kind}: {len(seconds)} times, new gradient after {median(seconds):.1f} s, {max(seconds):.1f} s at most"


if __name__ == "__main__":
    sys.exit(main())
