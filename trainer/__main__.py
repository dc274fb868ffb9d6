"""One rank: `torchrun … -m trainer`, `python -m trainer` for a fleet of one, or a fork of `trainer.fleet`."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

import torch.distributed as dist

from headrace.arguments import settings_of
from headrace.checkpoints import finished
from headrace.contract.errors import HeadraceError
from headrace.contract.events import GROUP_FORMED, IMPORTED, STATE_LOADED, TRAINING
from headrace.contract.settings import Settings
from headrace.kafka import Cluster
from headrace.observe import Pulse, serve_metrics, start_logging
from trainer.assemble import Assembler, Pins, Position, Share, Work
from trainer.board import START, Board, guard
from trainer.checkpoint import Checkpoints
from trainer.control import Commands, Control, Signals
from trainer.fingerprint import make_deterministic
from trainer.group import Group, PeerLost, Place, choose_device, join, place_from
from trainer.identity import Identity
from trainer.loop import Run, leave, train
from trainer.report import Metrics, Reporter, Stopwatch, announced, make_producer
from trainer.saver import Saver
from trainer.scalars import FOLDER, Scalars, check_library
from trainer.schedule import Schedule
from trainer.start import Source, begin, resume
from trainer.state import State
from trainer.stream import TICK_S, Stream

log = logging.getLogger("headrace")

LOCK_S = 30.0
"""How long a rank 0 waits for the one before it to end."""


def run_rank(settings: Settings, place: Place) -> None:
    """Join the fleet, resume the run or begin it, train until told to stop, save, and leave."""
    check_library(settings)
    log.info(IMPORTED, extra={"pid": os.getpid()})
    place.board.write(place.rank, -1, START)
    signals = Signals(place.launcher)
    guard(settings.trainer.watchdog_s)
    make_deterministic(settings.trainer.threads)
    serve(settings, place)
    device = choose_device(settings.trainer.device, place.local_rank, place.local_size)
    shared = settings.trainer.device == "cuda_shared"
    group = join(place, device, settings.trainer.collective_timeout_s, shared)
    log.info(GROUP_FORMED)
    with closing(Control(group, signals, Commands(settings) if group.leads else None)) as control:
        run, state = prepare(settings, group, control)
        log.info(STATE_LOADED, extra={"step": state.step})
        if wait_until_allowed(run, state):
            with closing(Stream(settings, assembler(settings, group, run.saver.identity, state))) as steps:
                extra = {"run": settings.trainer.run, "step": state.step, "ranks": place.size, "pid": os.getpid()}
                log.info(TRAINING, extra=extra)
                try:
                    train(run, state, before(settings.trainer.until_step, state, steps))
                except PeerLost:  # what is trained already need not be trained again
                    leave(run, state)
                    raise
                if settings.trainer.until_step:
                    leave(run, state)
    run.reporter.close()
    faulthandler.cancel_dump_traceback_later()
    log.info("left", extra={"run": settings.trainer.run, "step": state.step})
    dist.destroy_process_group()


def before(end: int, state: State, steps: Iterable[Work | None]) -> Iterable[Work | None]:
    """The steps up to step `end`, which is not taken any more; all of them where that is 0."""
    return takewhile(lambda _: not end or state.step < end, steps)


def serve(settings: Settings, place: Place) -> None:
    """Serve this rank's /metrics; it is healthy while it stays in no part of a step for half the watchdog's time."""
    first, board, rank = settings.local.ports.trainer_metrics, place.board, place.rank
    pulse = Pulse(settings.trainer.watchdog_s / 2, lambda: board.of(rank).since)
    serve_metrics(first and first + rank, settings.local.bind, pulse)


def prepare(settings: Settings, group: Group, control: Control) -> tuple[Run, State]:
    """Everything that the loop needs, and the state to go on from."""
    checkpoints = Checkpoints.of(settings)
    attempt = None
    if group.leads:
        checkpoints.lock(LOCK_S)
        cluster = Cluster(settings)
        attempt = begin(settings, checkpoints, Source(cluster.id(), cluster.topic_ids()), group.device, time.time)
    identity, checkpoint, state = resume(settings, group, checkpoints, group.from_leader(attempt))
    producer = make_producer(settings) if group.leads else None
    scalars = None
    if group.leads and settings.trainer.tensorboard:
        scalars = Scalars(checkpoints.directory / FOLDER / identity.attempt)
    reporter = Reporter(settings, identity, Metrics(settings.trainer.run), producer, time.time, scalars)
    if group.leads:
        announce_all(reporter, checkpoints.directory, Cluster(settings))
    background = settings.trainer.checkpoint_async
    saver = Saver(
        checkpoints, identity, settings.tokenizer_file, time.time, checkpoint, background, flush=reporter.flush
    )
    schedule = Schedule(settings.trainer.checkpoint_s, time.monotonic)
    watch = Stopwatch(time.monotonic, group.board, group.rank)
    return Run(settings, group, saver, schedule, reporter, control, watch, time.time), state


def announce_all(reporter: Reporter, directory: Path, cluster: Cluster) -> None:
    """Let `train.checkpoints` say what is on the disk: a crash can have come between the two."""
    there = {checkpoint.manifest.step: checkpoint for checkpoint in finished(directory)}
    reporter.retract(announced(cluster, reporter.identity.run) - there.keys())
    for checkpoint in there.values():
        reporter.announce(checkpoint)


def assembler(settings: Settings, group: Group, identity: Identity, state: State) -> Assembler:
    """What this rank takes out of the stream."""
    return Assembler(
        Position(state.seq, state.step, state.tokens),
        Share(group.rank, group.size, settings.trainer.leaf_blocks),
        Pins(identity.cluster, identity.topics, identity.tokenizer),
    )


def wait_until_allowed(run: Run, state: State) -> bool:
    """Whether to train; blocks while an operator has halted the run, without a collective. False: told to end."""
    while not run.control.may_go():
        guard(run.settings.trainer.watchdog_s)
        if run.control.stop_idle:
            leave(run, state)
            return False
        run.watch.enter("halt", state.step)
        run.reporter.idle(state)
        time.sleep(TICK_S)
        run.control.look()
    return True


def end(code: int) -> NoReturn:
    """End this process without any destructor: after an error, none of them may touch the other ranks."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def as_process(rank: Callable[[], None]) -> NoReturn:
    """Be one rank; the exit code of this process says what happened."""
    try:
        rank()
    except HeadraceError as error:
        log.error(str(error), extra={"exit_code": error.exit_code})
        end(error.exit_code)
    except BaseException:  # not to be swallowed: the process ends here
        log.exception("failed")
        end(HeadraceError.exit_code)
    end(0)


def of_fleet(settings: Settings, rank: int, meeting: str, launcher: int, board: Board) -> NoReturn:
    """One rank of a fleet on this machine, which has forked this process and holds the board."""
    start_logging(f"trainer-{rank}", settings.log.level)
    place = Place(rank, board.ranks, rank, board.ranks, meeting, launcher, board)
    as_process(lambda: run_rank(settings, place))


def main() -> NoReturn:
    """One rank from the environment."""
    place = place_from(os.environ)
    start_logging(f"trainer-{place.rank}", "INFO")

    def rank() -> None:
        settings = settings_of("trainer", "One rank of a fleet; torchrun says which.")
        log.setLevel(settings.log.level)
        run_rank(settings, place)

    as_process(rank)


if __name__ == "__main__":
    main()
