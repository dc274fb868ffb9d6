"""The process that owns a stack: starts the parts in order, watches them, ends them. `headrace up` starts it detached.

    python -m headrace.local.supervisor [--parts a,b] [--owner PID:STARTED]     settings from HEADRACE_*

Whoever starts it has made the lock of the data directory, has claimed the free ports, and hands both down, open; they
live and end with this process. It stops on SIGTERM, and when its owner, if it has one, is gone.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace

import psutil

from headrace import jobs
from headrace.checkpoints import is_ended
from headrace.contract import fleet
from headrace.contract.errors import ContractError, DependencyError, HeadraceError
from headrace.contract.metrics import DISK_FREE, PART_RESTARTS, PART_UP
from headrace.contract.settings import Settings, load
from headrace.local import disk, logfiles, parts, process, state, trainers
from headrace.local.process import Part
from headrace.local.state import PartState, Phase, State
from headrace.local.watched import Moment, Watched
from headrace.observe import Pulse, register, serve_metrics, start_logging

TICK_S = 0.2
HOUSEKEEPING_S = 10.0
"""How often logs are bounded and free space is measured."""
LIMIT_S = 60.0
"""A loop that has not come round for so long hangs: it ends parts one by one, and asks each broker for seconds."""
STOP_ORDER = (parts.TASKMANAGER, parts.WORKERS, parts.JOBMANAGER, parts.BROKER)
"""After the exporter, the planner and all trainers."""
GRACE_S = {parts.TRAINER: 90.0, parts.PLANNER: 30.0, parts.BROKER: 30.0}
OTHER_GRACE_S = 15.0
log = logging.getLogger("headrace")


class Supervisor:
    """All parts of one stack."""

    def __init__(self, settings: Settings, names: tuple[str, ...], owner: psutil.Process | None, pulse: Pulse) -> None:
        self.settings = settings
        self.data_dir = settings.data_dir
        self.owner = owner
        self.pulse = pulse
        self.phase: Phase = "starting"
        self.since = time.time()
        self.up, self.restarts, self.free = register(PART_UP), register(PART_RESTARTS), register(DISK_FREE)
        self.tidied = float("-inf")
        self.short: list[str] = []
        self.written: State | None = None
        self.watched: dict[str, Watched] = {}
        self.own: dict[str, Settings] = {}
        """The settings of each part; a trainer of another run has its own."""
        self.names = names

    def run(self, stopping: threading.Event) -> None:
        """Keep the parts running until `stopping` is set or the owner is gone; then end them all."""
        try:
            self.publish()
            self.prepare()
            while not stopping.wait(TICK_S):
                self.pulse.beat()
                self.tick(Moment.now())
                if not self.owned():
                    break
        finally:
            self.stop()

    def prepare(self) -> None:
        """Write the configurations and say where the broker will be."""
        shutil.rmtree(state.run_dir(self.data_dir) / "requests", ignore_errors=True)
        there = parts.build(self.settings, self.names)
        if is_ended(self.settings.checkpoint_dir / self.settings.trainer.run):
            there.pop(parts.TRAINER, None)
        for part in there.values():
            self.watch(part, self.settings)
        for run in trainers.kept(self.data_dir) if parts.TRAINER in self.names else ():
            self.train(run)
        (state.run_dir(self.data_dir) / "brokers").write_text(self.settings.kafka.brokers)

    def watch(self, part: Part, settings: Settings) -> None:
        """From now on a part belongs to the stack. `settings`: its own."""
        shown = PartState(part.name, since=time.time(), url=parts.url(part.name, settings))
        final = parts.FINAL.get(parts.kind_of(part.name), ())
        self.watched[part.name] = Watched(part, self.data_dir, shown, final)
        self.own[part.name] = settings
        self.restarts.labels(part.name)  # shown as 0: Prometheus does not see that a counter rose which begins at 1

    def train(self, run: str) -> None:
        """Watch the trainer of a run; one that is there starts again with what the run was told since."""
        name = parts.trainer_of(run, self.settings)
        known = self.watched.get(name)
        try:
            own = self.settings if name == parts.TRAINER else trainers.settings_of(self.settings, run)
        except HeadraceError as error:
            log.warning("a run cannot be trained", extra={"run": run, "why": str(error)})
            if known is None:
                self.watch(Part(name, ()), self.settings)
                self.watched[name].refuse(Moment.now(), error)
            return
        if known is None:
            self.watch(parts.trainer(own, name), own)
        else:
            known.part, self.own[name] = parts.trainer(own, name), own
            known.ask_to_end(Moment.now(), grace_s(name))
            known.state = replace(known.state, url=parts.url(name, own))

    def tick(self, now: Moment) -> None:
        """Look at every part once, and at what was ordered."""
        if now.steady - self.tidied >= HOUSEKEEPING_S:
            self.tidied = now.steady
            self.keep_house()
        for order in state.take_requests(self.data_dir):
            self.obey(order, now)
        for part in list(self.watched.values()):
            before = part.state.state
            self.look(part, now)
            if part.state.state != before:
                log.info(part.state.state, extra={"child": part.name, "pid": part.state.pid, "was": before})
        if self.phase == "starting" and all(part.state.state == "running" for part in self.watched.values()):
            self.phase = "running"
        self.publish()

    def keep_house(self) -> None:
        """Bound the logs, measure the disks, and say once when one of them has become full."""
        logfiles.bound(self.data_dir)
        for name, path in disk.directories(self.settings).items():
            self.free.labels(name).set(disk.free(path))
        short = disk.short(self.settings)
        for said in short if not self.short else ():
            log.warning(said)
        self.short = short

    def look(self, part: Watched, now: Moment) -> None:
        """One part: notice its end, start it when its time has come, see whether it runs."""
        if part.state.state == "stopping":
            if part.gone(now):
                self.drop(part) if part.leaves else part.again(now)
        elif part.process is not None and not part.alive:
            part.ended(now)
            log.warning("ended", extra={"child": part.name, "code": part.state.exit_code, "last": part.state.error})
            if part.state.state == "restarting":
                self.restarts.labels(part.name).inc()
        elif part.state.state in ("waiting", "restarting") and now.steady >= part.not_before and self.served(part):
            try:
                part.start(now)
            except OSError as error:  # no room for its log, no memory for a process
                part.not_started(now, str(error))
        elif parts.kind_of(part.name) == parts.TRAINER and (again := self.ranks_again(part, now)):
            self.restarts.labels(part.name).inc(again)
        elif part.state.state == "starting":
            try:
                if parts.ready(part.name, self.own.get(part.name, self.settings)):
                    part.runs(now)
            except ContractError as error:
                part.fail(now, str(error))

    def ranks_again(self, part: Watched, now: Moment) -> int:
        """How often the fleet has started its ranks again since the last look: shown as the restarts that they are."""
        said = fleet.read(self.data_dir, parts.run_of(part.name, self.settings))
        if said is None or said.pid != part.state.pid:
            return 0
        return part.restarted_inside(now, said.restarts, said.why, whole=bool(said.ranks))

    def drop(self, part: Watched) -> None:
        """It has ended for good, as was ordered."""
        del self.watched[part.name]
        self.own.pop(part.name, None)
        self.up.remove(part.name)

    def served(self, part: Watched) -> bool:
        """Whether all that the part needs runs."""
        needs = [self.watched[name] for name in parts.NEEDS.get(parts.kind_of(part.name), ()) if name in self.watched]
        return all(need.state.state == "running" for need in needs)

    def obey(self, order: dict[str, object], now: Moment) -> None:
        """Do what a command asked for."""
        log.info("ordered", extra={"order": order})
        match order:
            case {"do": "keep"}:
                self.owner = None
            case {"do": "restart", "part": str(name)} if name in self.watched:
                self.watched[name].ask_to_end(now, grace_s(name))
            case {"do": "train", "run": str(run)}:
                self.train(run)
            case {"do": "end", "part": str(name)} if name in self.watched:
                self.watched[name].leaves = True
                self.watched[name].ask_to_end(now, grace_s(name))
            case {"do": "ranks", "ranks": int(ranks)} if parts.TRAINER in self.watched:
                trainer = self.settings.trainer.model_copy(update={"ranks": ranks})
                self.settings = self.own[parts.TRAINER] = self.settings.model_copy(update={"trainer": trainer})
                self.watched[parts.TRAINER].part = parts.trainer(self.settings)
                self.watched[parts.TRAINER].ask_to_end(now, grace_s(parts.TRAINER))
            case _:
                log.warning("not understood", extra={"order": order})

    def owned(self) -> bool:
        """Whether whoever wanted this stack is still there."""
        if self.owner is None or self.owner.is_running():
            return True
        log.warning("the owner is gone")
        return False

    def stop(self) -> None:
        """End everything so that nothing is repeated later: jobs with savepoint, trainer with checkpoint."""
        self.phase = "stopping"
        self.publish()
        self.stop_part(parts.JOBS)
        if {parts.JOBMANAGER, parts.TASKMANAGER} <= {
            p.name for p in self.watched.values() if p.state.state == "running"
        }:
            self.stop_jobs()
        self.stop_part(parts.EXPORTER)
        self.stop_part(parts.PLANNER)
        training = [name for name in self.watched if parts.kind_of(name) == parts.TRAINER]
        for name in training:  # they save at the same time
            self.watched[name].ask_to_end(Moment.now(), grace_s(name))
        for name in (*training, *STOP_ORDER):
            self.stop_part(name)
        process.end(process.marked(self.data_dir), grace_s=5)
        (state.run_dir(self.data_dir) / "brokers").unlink(missing_ok=True)
        self.phase = "down"
        self.publish()

    def stop_jobs(self) -> None:
        """Savepoints, as far as Flink can take them; a job without one goes on from its last checkpoint."""
        try:
            for name, path in jobs.stop_all(self.settings).items():
                log.info("job stopped", extra={"job": name, "savepoint": path})
        except HeadraceError as error:
            log.warning("jobs not stopped with savepoint", extra={"error": str(error)})

    def stop_part(self, name: str) -> None:
        """End one part, if it is one of this stack."""
        if name in self.watched:
            self.watched[name].stop(Moment.now(), grace_s(name))
            self.publish()

    def publish(self) -> None:
        """Write the state, if it has changed, and set the metrics; on a full disk it is tried again the next time."""
        shown = tuple(part.state for part in self.watched.values())
        now = State(os.getpid(), self.phase, self.since, self.settings.environment(), shown)
        for part in shown:
            self.up.labels(part.name).set(part.state == "running")
        if now != self.written:
            try:
                state.write(now, self.data_dir)
            except OSError as error:
                log.warning("state not written", extra={"error": str(error)})
            else:
                self.written = now


def grace_s(name: str) -> float:
    """How long a part may take to end."""
    return GRACE_S.get(parts.kind_of(name), OTHER_GRACE_S)


def owner_of(argument: str | None) -> psutil.Process | None:
    """The process that `PID:STARTED` names; raises psutil.NoSuchProcess when it is gone."""
    if argument is None:
        return None
    pid, started = argument.split(":")
    owner = psutil.Process(int(pid))
    if owner.create_time() != float(started):
        raise psutil.NoSuchProcess(int(pid))
    return owner


def main() -> int:
    """Run a stack until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m headrace.local.supervisor")
    parser.add_argument("--parts", default=",".join(parts.ALL))
    parser.add_argument("--owner")
    arguments = parser.parse_args()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    settings = load().settings
    start_logging("supervisor", settings.log.level)
    pulse = Pulse(LIMIT_S)
    serve_metrics(settings.local.ports.supervisor_metrics, settings.local.bind, pulse)
    names = tuple(arguments.parts.split(","))
    try:
        Supervisor(settings, names, owner_of(arguments.owner), pulse).run(stopping)
    except HeadraceError as error:
        log.error(str(error), extra={"exit_code": error.exit_code})
        return error.exit_code
    except OSError as error:
        log.error(str(error), extra={"exit_code": DependencyError.exit_code})
        return DependencyError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
