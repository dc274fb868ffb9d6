"""How the stack came back from a fault, in seconds since it fired: from the logs, and from what a reader saw."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from headrace.contract import events
from headrace.local.parts import TRAINER
from tests.fault.plan import Fault
from tests.fault.strikes import Struck, part_of, strike
from tests.fault.world import World

BACK_S = 240.0
"""Longer than any part takes to come back on a slow machine."""
FLINK = ("jobmanager", "taskmanager", "broker")
EVENTS = {
    "detected": ("ended", events.RANK_ENDED),
    "group": (events.GROUP_FORMED,),
    "loaded": (events.STATE_LOADED,),
}
"""By part of the recovery, the events that are logged when it is there."""
PARTS = (*EVENTS, "restored", "block", "gradient")
"""`restored`: where Flink or the broker was hit, all parts and jobs run again. Then `block`: a reader sees the first
one since, and `gradient`: the first step that was planned since is trained."""


class Logs:
    """The log lines that are written from now on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.folder = world.settings.data_dir / "logs"
        self.sizes = {path: path.stat().st_size for path in self.folder.glob("*.log")}

    def lines(self) -> Iterator[dict[str, Any]]:
        for path in self.folder.glob("*.log"):
            with path.open("rb") as file:
                begin = self.sizes.get(path, 0)
                file.seek(begin if begin <= path.stat().st_size else 0)
                for line in file:
                    if line.startswith(b"{") and line.endswith(b"}\n"):
                        yield json.loads(line)

    def times(self, names: Collection[str]) -> list[float]:
        """When these events were logged, in seconds of the monotonic clock: the logs have the clock of the stack."""
        behind = time.time() - time.monotonic() + self.world.clock_s
        written = (line["time"] for line in self.lines() if line.get("event") in names)
        return sorted(datetime.fromisoformat(one).timestamp() - behind for one in written)


Recovery = dict[str, float]
"""Seconds since the fault by part."""


def recovered(world: World, fault: Fault) -> tuple[Struck, Recovery]:
    """Make a fault happen, and wait until all works again."""
    logs = Logs(world)
    struck = strike(world, fault)
    return struck, recover(world, fault, struck, logs)


def recover(world: World, fault: Fault, struck: Struck, logs: Logs) -> Recovery:
    """Block until everything works again; when each part of it was there, in seconds since the fault."""
    wait_until_back(world, fault, struck)
    witness, found = world.witness, Recovery()
    since, planned = struck.at.time, struck.planned
    if part_of(fault.victim) in FLINK:
        since, planned = time.monotonic(), witness.planned
        found["restored"] = since
    found["block"] = world.first(lambda: (at for at in witness.blocks if at > since), "a new block")
    found["gradient"] = world.first(
        lambda: (at for at, report in witness.reports if at > since and report["step"] > planned),
        "a step trained that was planned since",
    )
    for name, said in EVENTS.items():
        passed = [at for at in logs.times(said) if struck.at.time < at < found["gradient"]]
        if passed:
            found[name] = passed[0 if name == "detected" else -1]
    assert not witness.differ, witness.differ
    return {name: at - struck.at.time for name, at in found.items()}


def wait_until_back(world: World, fault: Fault, struck: Struck) -> None:
    """Block until what the fault has ended was started again, and all parts and jobs run."""
    part, witness = part_of(fault.victim), world.witness
    if fault.deed in ("kill", "tear"):
        if part == TRAINER:
            world.wait(lambda: witness.attempt != struck.attempt, BACK_S, "another attempt reports a step")
        else:
            world.wait(lambda: world.restarts(part) > struck.restarts, BACK_S, f"{part} is started again")
    if fault.ranks:
        world.wait(lambda: witness.reports[-1][1]["ranks"] == fault.ranks, BACK_S, f"{fault.ranks} ranks train")
    world.wait(world.well, BACK_S, "all parts run again")
