"""Whether all that a job has read has its outcome. Only committed records count, as for every reader.

The connector only logs a transaction that could not be committed, so this is how a loss is noticed, and how an upgrade
knows that nothing is under way.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import orjson
from confluent_kafka import Message
from numpy.typing import NDArray
from pydantic import Field

from headrace.audit.blockview import view
from headrace.audit.findings import Findings
from headrace.audit.start import newest_cut
from headrace.contract.documents import CleanDocument, RejectedHeaders
from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.topics import BLOCKS, RAW, REJECTED, WINDOWS
from headrace.contract.topics import CLEAN as CLEAN_TOPIC
from headrace.jobs.job import CLEAN, Job, Note
from headrace.kafka import Cluster

Positions = Mapping[int, int]
SETTLE_S = 60.0
"""How long a transaction that is open now may take to be decided."""


class Counted(Note):
    """Up to where all has been counted: every record of the input below `input` has its outcome.

    The outcome of any other record stands at or behind `outputs`: these are the ends of the count before, and whatever
    had been written by then was of input below `input`. `ends`: those of this count.
    """

    input: dict[int, int]
    outputs: dict[str, dict[int, int]] = Field(default_factory=dict)
    ends: dict[str, dict[int, int]] = Field(default_factory=dict)


NOTHING = Counted(input={})


@dataclass(frozen=True)
class Count:
    """`missing`: records of the input below `counted.input` without an outcome, in order."""

    missing: list[Coordinate]
    counted: Counted


def count(
    cluster: Cluster, job: Job, before: Counted, passed: Positions, timeout_s: float = SETTLE_S, quick: bool = False
) -> Count:
    """Compare the input below `passed` with its outcomes, from where `before` ends.

    `passed` are positions that the job has committed. Blocks until the transactions that are open now are decided.
    What looks missing is looked for in all that is left of the outputs before it is called so, unless `quick`.
    """
    ends = {name: cluster.settled_ends(name, timeout_s) for name in job.outputs}
    missing = list(_missing(cluster, job, before, passed, ends))
    if missing and not quick:
        missing = list(_missing(cluster, job, Counted(input=before.input), passed, ends))
        missing = _without_verified(cluster, missing)
    counted = Counted(input=dict(passed), outputs=before.ends, ends={name: dict(end) for name, end in ends.items()})
    return Count([at for _, at in missing], counted)


def reached(cluster: Cluster, job: Job, before: Counted) -> dict[int, int]:
    """Position after the last record of each partition of the input that has an outcome by now, from `before` on.

    A job that was stopped has committed this or less: its last commit is not waited for.
    """
    ends = {name: cluster.settled_ends(name, SETTLE_S) for name in job.outputs}
    keys = outcomes(cluster, job, before.outputs, ends)
    if job == CLEAN:
        found = np.unique(keys)
        return {int(part): int(found[found >> 48 == part][-1] & OFFSET) + 1 for part in np.unique(found >> 48)}
    entered, places = _entered(cluster, before.input, cluster.end_offsets(job.input))
    done = places[np.isin(entered, keys)]
    return {int(part): int(done[done >> 48 == part].max() & OFFSET) + 1 for part in np.unique(done >> 48)}


def unread(cluster: Cluster, job: Job, passed: Positions) -> Coordinate | None:
    """The first committed record of the input that lies at or behind `passed`; None if all was read."""
    for partition, end in sorted(cluster.end_offsets(job.input).items()):
        for message in cluster.read(job.input, partition, passed.get(partition, 0), end):
            return _place(job.input, message)
    return None


OFFSET = (1 << 48) - 1
Keys = NDArray[np.int64]
"""Documents, each as partition << 48 | offset of its place in `text.raw`."""


def outcomes(cluster: Cluster, job: Job, starts: Mapping[str, Positions], ends: Mapping[str, Positions]) -> Keys:
    """Every document that has an outcome of this job between `starts` and `ends`."""
    found = array("q")
    for name in job.outputs:
        if name == WINDOWS:
            continue
        first = {p: max(at, starts.get(name, {}).get(p, 0)) for p, at in cluster.first_offsets(name).items()}
        for message in cluster.read_all(name, first, ends[name]):
            try:
                found.extend(p << 48 | o for p, o in _documents(job, name, message) if p >= 0)
            except RecordError:
                continue  # not the jobs' own; `headrace verify` names it
    return np.array(found, np.int64)


def _documents(job: Job, name: str, message: Message) -> list[tuple[int, int]]:
    """The documents of which this record is the outcome, or the end of it."""
    at, value = _place(name, message), message.value()
    if name == REJECTED:
        said = RejectedHeaders.decode(message.headers(), at)
        return [said.raw] if said.stage == job.name else []
    if name == BLOCKS:
        spans = view(value, name, at.partition, at.offset).spans
        return [span.raw for span in spans if span.start + span.length == span.total]
    return [raw_of(value, at)]


def _place(name: str, message: Message) -> Coordinate:
    """Where it stands, under the topic's name without prefix."""
    return Coordinate(name, int(message.partition() or 0), int(message.offset() or 0))


def raw_of(value: bytes | None, at: Coordinate) -> tuple[int, int]:
    """`raw` of a record of `text.clean`; raises RecordError if it has none."""
    try:
        partition, offset = orjson.loads(value or b"")["raw"]
        return int(partition), int(offset)
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(at, f"not a document: {error}") from None


Missing = tuple[tuple[int, int], Coordinate]
"""A document, by its place in `text.raw`, and the record of the input that has no outcome."""


def _missing(
    cluster: Cluster, job: Job, before: Counted, passed: Positions, ends: Mapping[str, Positions]
) -> Iterator[Missing]:
    there = cluster.first_offsets(job.input)
    first = {p: max(there[p], before.input.get(p, 0)) for p in passed}
    keys = outcomes(cluster, job, before.outputs, ends)
    return _missing_raw(cluster, keys, first, passed) if job == CLEAN else _missing_clean(cluster, keys, first, passed)


def _missing_raw(cluster: Cluster, keys: Keys, first: Positions, passed: Positions) -> Iterator[Missing]:
    """Only the gaps are read: markers and aborted records take offsets too."""
    for partition, end in sorted(passed.items()):
        own = keys[keys >> 48 == partition] & OFFSET
        gaps = np.setdiff1d(np.arange(first[partition], end), own)
        for run in np.split(gaps, np.flatnonzero(np.diff(gaps) > 1) + 1) if len(gaps) else ():
            for message in cluster.read(RAW, partition, int(run[0]), int(run[-1]) + 1):
                at = _place(RAW, message)
                yield (at.partition, at.offset), at


def _missing_clean(cluster: Cluster, keys: Keys, first: Positions, passed: Positions) -> Iterator[Missing]:
    entered, places = _entered(cluster, first, passed)
    for index in np.flatnonzero(~np.isin(entered, keys)):
        raw, place = int(entered[index]), int(places[index])
        at = Coordinate(CLEAN_TOPIC, place >> 48, place & OFFSET)
        if _is_document(cluster, at):
            yield (raw >> 48, raw & OFFSET), at


def _is_document(cluster: Cluster, at: Coordinate) -> bool:
    """Whether a record of `text.clean` is what its job writes: anything else is rejected without a document's name."""
    for message in cluster.read(CLEAN_TOPIC, at.partition, at.offset, at.offset + 1):
        try:
            CleanDocument.decode(message.value(), at)
        except RecordError:
            return False
    return True


def _without_verified(cluster: Cluster, missing: list[Missing]) -> list[Missing]:
    """Without what `headrace retention` has verified: outcomes of that it may have deleted."""
    cut = newest_cut(cluster, Findings(), SETTLE_S)
    early = {(partition, offset) for partition, pairs in cut.early.items() for offset, _ in pairs}
    return [(raw, at) for raw, at in missing if raw[1] >= cut.position(RAW, raw[0]) and raw not in early]


def _entered(cluster: Cluster, first: Positions, end: Positions) -> tuple[Keys, Keys]:
    """Every document of `text.clean` from `first` to `end` in order, and where it stands there, in the same form.

    In 16 bytes each: after ten minutes there may be millions.
    """
    there = cluster.first_offsets(CLEAN_TOPIC)
    found, places = array("q"), array("q")
    for message in cluster.read_all(CLEAN_TOPIC, {p: max(there[p], first.get(p, 0)) for p in end}, end):
        at = _place(CLEAN_TOPIC, message)
        try:
            partition, offset = raw_of(message.value(), at)
        except RecordError:
            continue  # rejected as bad_record, without a document's name
        found.append(partition << 48 | offset)
        places.append(at.partition << 48 | at.offset)
    return np.array(found, np.int64), np.array(places, np.int64)
