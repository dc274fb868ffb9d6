"""When a job must not be started, each with what to do about it."""

from __future__ import annotations

from pathlib import Path

from headrace.contract import errors, topics
from headrace.contract.documents import RejectedHeaders
from headrace.contract.errors import ContractError
from headrace.contract.settings import Settings
from headrace.flink import SavedState
from headrace.jobs.counting import NOTHING, Counted, reached
from headrace.jobs.job import TOKENIZE, Job, Pinned
from headrace.jobs.notes import COUNTED, Begun, Lost, Replaced, Stopped
from headrace.kafka import Cluster, coordinate


def check_may_begin(cluster: Cluster, job: Job) -> None:
    """Raise ContractError unless the job has never worked, or an upgrade emptied it and nothing has moved since."""
    begun = Begun.read(job.folder(cluster.settings) / Begun.FILE)
    if begun is None:
        check_untouched(cluster, job)
        return
    now = has_come_to(cluster, job)
    if any(now.get(partition, 0) != at for partition, at in begun.positions.items()):
        raise ContractError(
            f"job {job.name} has no state; it may begin at {begun.positions} of {job.input}, where it was upgraded,"
            f" but has come to {now} since: restore the state of job {job.name} in its folder"
        )


def check_current(cluster: Cluster, job: Job) -> None:
    """Raise ContractError when the state was set aside by an upgrade, and the job that replaced it has worked since."""
    replaced = Replaced.read(job.folder(cluster.settings) / Replaced.FILE)
    if replaced is None:
        return
    now = has_come_to(cluster, job)
    if any(now.get(partition, 0) != at for partition, at in replaced.positions.items()):
        raise ContractError(
            f"the state of job {job.name} is of before an upgrade, at {replaced.positions} of {job.input}; the job that"
            f" replaced it has read up to {now}, so all between would be written twice: put the newer folder back"
        )
    (job.folder(cluster.settings) / Replaced.FILE).unlink()


def has_come_to(cluster: Cluster, job: Job) -> dict[int, int]:
    """Up to where a job that does not run has worked: its outcomes say it at once, its group with some delay."""
    committed = cluster.committed(job.name, job.input)
    before = Counted.read(job.folder(cluster.settings) / COUNTED) or NOTHING
    outcomes_to = reached(cluster, job, before)
    return {p: max(committed.get(p, 0), outcomes_to.get(p, 0)) for p in {*committed, *outcomes_to}}


def check_shards(job: Job, pinned: Pinned, settings: Settings) -> None:
    """Raise ContractError when the documents of an open window were dealt into another number of shards."""
    if job == TOKENIZE and pinned.shards not in (0, settings.tokenize.shards):
        raise ContractError(
            f"state of job {job.name} was made with tokenize.shards={pinned.shards}, now it is"
            f" {settings.tokenize.shards}: go back, or run `headrace jobs upgrade`"
        )


def check_accepted(settings: Settings, job: Job, accept_loss: bool) -> None:
    """Raise ContractError when records were found to be lost; with `accept_loss` that is noted as accepted."""
    path = job.folder(settings) / Lost.FILE
    if (lost := Lost.read(path)) is None:
        return
    if not accept_loss:
        raise ContractError(
            f"job {job.name} was stopped: {lost}. `headrace verify` names them all; go on without them with"
            " `headrace jobs ensure --accept-loss`"
        )
    path.rename(path.with_name(f"accepted-{round(lost.time)}.json"))


def check_untouched(cluster: Cluster, job: Job) -> None:
    """Raise ContractError if the job has worked before: what it wrote would be written a second time."""
    name = job.name
    advice = f"restore the state of job {name} in its folder, or begin with empty topics"
    first = cluster.first_offsets(job.input)
    beyond = {p: at for p, at in cluster.committed(name, job.input).items() if at > first.get(p, 0)}
    if beyond:
        partition, offset = min(beyond.items())
        raise ContractError(
            f"job {name} has no state, but its group has read up to"
            f" {errors.Coordinate(job.input, partition, offset)}: {advice}"
        )
    for output in job.outputs:
        for message in cluster.read_all(output):
            at = coordinate(message)
            if output != topics.REJECTED or RejectedHeaders.decode(message.headers(), at).stage == name:
                raise ContractError(f"job {name} has no state, but wrote {at}: {advice}")


def transactions_live_s(settings: Settings) -> float:
    """How old state may be: what it prepared was begun up to a checkpoint interval earlier."""
    return (settings.kafka.transaction_timeout_ms - settings.flink.checkpoint_interval_ms) / 1000


def stopped_with(settings: Settings, job: Job, state: SavedState) -> bool:
    """Whether the job ended with this savepoint: then nothing in it waits to be committed, however old it is."""
    stopped = Stopped.read(job.folder(settings) / Stopped.FILE)
    return stopped is not None and Path(stopped.state) == state.path


def check_age(state: SavedState, limit_s: float, now: float, accept_loss: bool) -> None:
    """Raise ContractError if the broker may have aborted what the state holds as prepared."""
    if (age := now - state.time) > limit_s and not accept_loss:
        raise ContractError(
            f"state {state.path} is {length(age)} old, transactions live {length(limit_s)}"
            " (kafka.transaction_timeout_ms): the broker may have aborted records that this state counts as written,"
            " and Flink would only log that. Go on with `headrace jobs ensure --accept-loss`, then `headrace verify`"
        )


def length(seconds: float) -> str:
    """A span of time for a message."""
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 3600:.1f} hours"
