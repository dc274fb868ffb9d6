"""Where the next verify may begin: the latest verified cut that leaves a given record of the plan still to come.

    plan      the records with seq below the one given are past
    blocks    of each partition the longest beginning in which every window of a shard is whole, sealed and planned
    raw       of each partition the documents before the first that is neither rejected nor in those blocks
    others    of each partition the records before the first that belongs to what is not past; what is past and lies
              above is listed (`skipped`), as are documents that stand in past blocks and are not past (`early`)

Why that is enough: docs/decisions/0011-where-verify-goes-on.md. It is worked out in a second pass over logs that hold.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from headrace.audit.blockview import BlockView
from headrace.audit.cut import Positions
from headrace.audit.findings import Findings
from headrace.audit.logs import Logs, Message, partitions
from headrace.audit.outcomes import Ledger, Raw, read_accepted, read_published, read_rejected
from headrace.audit.planlog import Planned, decode_records
from headrace.audit.seals import Seals, read_seals
from headrace.audit.windows import WindowCheck, decode_blocks
from headrace.contract.audit import Counts, VerifiedCut
from headrace.contract.digests import shard_of
from headrace.contract.documents import RejectedHeaders
from headrace.contract.errors import Coordinate
from headrace.contract.plan import PlanRecord, Step
from headrace.contract.topics import BLOCKS, CLEAN, PLAN, RAW, REJECTED, STEPS, WINDOWS
from headrace.contract.training import decode_report

Pairs = tuple[tuple[int, int], ...]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


class Reread:
    """The same logs once more, up to the same ends; not progress. `start`: from another verified cut on.

    Notes how large records are, by topic.
    """

    def __init__(self, logs: Logs, start: VerifiedCut | None = None) -> None:
        self.logs = logs
        self.cut = replace(logs.cut, start=start or logs.cut.start)
        self.bytes: dict[str, int] = {}
        self.records: dict[str, int] = {}

    @property
    def sizes(self) -> dict[str, float]:
        """The mean size of a record's value, uncompressed."""
        return {name: self.bytes[name] / records for name, records in self.records.items()}

    def read(self, name: str, partition: int) -> Iterator[Message]:
        for message in self.again(name, partition, self.cut.begin(name, partition), self.cut.end[name][partition] - 1):
            self.bytes[name] = self.bytes.get(name, 0) + len(message.value() or b"")
            self.records[name] = self.records.get(name, 0) + 1
            yield message

    def again(self, name: str, partition: int, first: int, last: int) -> Iterator[Message]:
        return self.logs.again(name, partition, first, last)


def next_cut(logs: Logs, planned: Planned, seq: int, planned_before_ms: int, shards: int) -> VerifiedCut | None:
    """The latest cut behind which the plan's record `seq`, and all steps planned since `planned_before_ms`, lie.

    `logs` must hold (they are read once more, see Reread), and `planned` be what verify found in them. Never before the
    cut that they begin with; None while there is no plan. Whose cluster, and when, the caller fills in. `shards` is
    tokenize.shards.
    """
    start = logs.cut.start
    found = last_past(logs, seq, planned_before_ms)
    if found is None:
        return None
    at, last = found
    step = last.step + 1 if isinstance(last, Step) else 0
    place = planned.place(step)
    assert place is not None, "verify has walked the plan"
    ahead = dict(last.next) if isinstance(last, Step) else {}
    past = Past(logs, ahead, shards)
    return VerifiedCut(
        positions={
            **{name: place.positions for name, place in past.places.items()},
            BLOCKS: past.blocks,
            RAW: past.raw,
            PLAN: {0: at.offset},
            STEPS: {part: _past_reports(logs, part, step) for part in partitions(logs.cut, STEPS)},
        },
        skipped={name: place.skipped for name, place in past.places.items()},
        early=past.early(),
        latest=past.latest,
        edges=past.edges,
        seq=last.seq + 1,
        step=step,
        tokens=place.tokens,
        next=ahead,
        fed=place.fed,
        counts=past.counts(start.counts, sum(planned.documents[: step - start.step])),
    )


def last_past(logs: Logs, seq: int, planned_before_ms: int) -> tuple[Coordinate, PlanRecord] | None:
    """The last record of the plan that is past; the one that the logs' own cut names is so in any case."""
    found = None
    for at, record in decode_records(
        logs.again(PLAN, 0, logs.cut.begin(PLAN, 0), logs.cut.end[PLAN][0] - 1), Findings()
    ):
        if record.seq >= max(seq, logs.cut.start.seq):
            break
        if record.seq >= logs.cut.start.seq and isinstance(record, Step) and record.time >= planned_before_ms:
            break
        found = at, record
    return found


def _past_reports(logs: Logs, partition: int, step: int) -> int:
    """The first report of a step that is not past, in whichever run."""
    end = logs.cut.end[STEPS][partition]
    for message in logs.again(STEPS, partition, logs.cut.begin(STEPS, partition), end - 1):
        if decode_report(message.value(), Coordinate(STEPS, partition, message.offset())).step >= step:
            return message.offset()
    return end


def whole_before(position: int, limit: int, blocks: Iterable[BlockView], seals: Seals) -> int:
    """The last position from `position` to `limit` that divides no window of a shard, and has none unsealed before it.

    `blocks` are those of a partition from `position` on, past `limit` too; `seals` are taken. 8 bytes a window.
    """
    whole = array("q", [position])
    reached = False
    open_groups: dict[int, tuple[int, int]] = {}

    def not_beyond(first: int) -> None:
        while whole[-1] > first:
            whole.pop()

    def no_seal_at(first: int) -> None:
        nonlocal limit, reached
        limit, reached = min(limit, first), True
        not_beyond(limit)

    for block in blocks:
        if not reached and block.offset >= limit:
            whole.append(limit)
            reached = True
        first, window = open_groups.get(block.shard, (-1, -1))
        if window == block.window and block.number > 0:
            not_beyond(first)
            continue
        if first >= 0 and seals.take(block.shard, window) is None:
            no_seal_at(first)
        if block.offset < limit:
            whole.append(block.offset)
        open_groups[block.shard] = block.offset, block.window
    for shard, (first, window) in open_groups.items():
        if seals.take(shard, window) is None:
            no_seal_at(first)
    if not reached:
        whole.append(limit)
    return whole[-1]


class Prefix:
    """The past of one topic: by partition the next offset to read, and what is past above it."""

    def __init__(self, end: Positions) -> None:
        self.positions = dict(end)
        self.above: dict[int, list[tuple[int, int]]] = {}

    def note(self, partition: int, offset: int, past: bool, window: int = 0) -> bool:
        """Take the next record of a partition; returns whether it is below the position to which all is past."""
        if not past:
            self.positions[partition] = min(self.positions[partition], offset)
        elif offset > self.positions[partition]:
            self.above.setdefault(partition, []).append((offset, window))
        return offset < self.positions[partition]

    @property
    def skipped(self) -> dict[int, Pairs]:
        return {partition: tuple(pairs) for partition, pairs in self.above.items()}


class Past:
    """What is past when the plan leads to the positions `ahead` in the blocks."""

    def __init__(self, logs: Logs, ahead: Mapping[int, int], shards: int) -> None:
        self.logs = logs
        self.cut = logs.cut
        self.places = {name: Prefix(self.cut.end[name]) for name in (WINDOWS, REJECTED, CLEAN)}
        self.latest = {part: dict(of_shards) for part, of_shards in self.cut.start.latest.items()}
        self.accepted = 0
        self.ledger = Ledger(self.cut.end[RAW], self.cut.start)
        self.blocks = self._divide_blocks(ahead)
        self.edges = self._read_blocks()
        self.in_blocks = {part: self.ledger.tokenized.of(part).copy() > 0 for part in self.ledger.first}
        read_rejected(self.logs, self.ledger, Findings())
        read_published(self.logs, self.ledger)
        self.raw = {part: self._first_open(part) for part in self.ledger.first}
        self._divide_rejected()
        self._divide_clean(shards)

    def is_past(self, raw: Raw) -> bool:
        """Whether all records of a document are past."""
        return raw[1] < self.raw[raw[0]]

    def early(self) -> dict[int, Pairs]:
        """Documents that are not past, though their blocks are."""
        found = {}
        for part, in_blocks in self.in_blocks.items():
            first, position = self.ledger.first[part], self.raw[part]
            offsets = (np.flatnonzero(in_blocks[position - first :]) + position).tolist()
            if offsets:
                found[part] = tuple((offset, self.ledger.window_of((part, offset))) for offset in offsets)
        return found

    def counts(self, before: Counts, planned: int) -> Counts:
        """All that is past, in documents; `planned` of them since `before`."""
        more = {"published": 0, "rejected": 0, "refused": 0}
        for part, first in self.ledger.first.items():
            past = slice(0, self.raw[part] - first)
            published, rejected = self.ledger.published.of(part)[past] > 0, self.ledger.rejected.of(part)[past] > 0
            refused = (self.ledger.tokenized.of(part)[past] > 0) & ~self.in_blocks[part][past]
            for name, mask in (("published", published), ("rejected", rejected), ("refused", refused)):
                more[name] += int(mask.sum())
        return Counts(
            published=before.published + more["published"],
            rejected=before.rejected + more["rejected"],
            accepted=before.accepted + self.accepted,
            refused=before.refused + more["refused"],
            planned=before.planned + planned,
        )

    def _divide_blocks(self, ahead: Mapping[int, int]) -> dict[int, int]:
        """Where the blocks of each partition are divided."""
        seals = read_seals(self.logs, Findings())
        divided = {}
        for part in partitions(self.cut, BLOCKS):
            start = self.cut.start.position(BLOCKS, part)
            blocks = decode_blocks(self.logs.read(BLOCKS, part), part, Findings())
            divided[part] = whole_before(start, max(start, ahead.get(part, 0)), blocks, seals)
        return divided

    def _read_blocks(self) -> tuple[int | None, int | None]:
        """Note the documents in past blocks, their windows and seals; returns the tokens that begin and end them."""
        seals = read_seals(self.logs, Findings())
        windows = WindowCheck(self.ledger, seals, self.cut.start, Findings())
        for part, position in self.blocks.items():
            again = self.logs.again(BLOCKS, part, self.cut.begin(BLOCKS, part), position - 1)
            for _ in windows.watch(decode_blocks(again, part, Findings())):
                pass
        windows.close_all()
        self._divide_seals(seals)
        return windows.spans.begin, windows.spans.end

    def _divide_seals(self, seals: Seals) -> None:
        """The seals that no past block has taken are not past."""
        ahead = {offset for _, _, offset, _ in seals.left()}
        for message in self.logs.read(WINDOWS, 0):
            self.places[WINDOWS].note(0, message.offset(), message.offset() not in ahead)

    def _first_open(self, part: int) -> int:
        """The first published document that is neither rejected nor in past blocks, else the end."""
        ledger = self.ledger
        done = (ledger.rejected.of(part) > 0) | (ledger.tokenized.of(part) > 0)
        still_open: Mask = (ledger.published.of(part) > 0) & ~done
        return ledger.first[part] + (int(still_open.argmax()) if still_open.any() else len(still_open))

    def _divide_rejected(self) -> None:
        for part in partitions(self.cut, REJECTED):
            for message in self.logs.read(REJECTED, part):
                said = RejectedHeaders.decode(message.headers(), Coordinate(REJECTED, part, message.offset()))
                self.places[REJECTED].note(part, message.offset(), self.is_past(said.raw))

    def _divide_clean(self, shards: int) -> None:
        """Where `text.clean` is divided; counts what becomes past there, and follows its windows."""
        before = {part: self.cut.start.skips(CLEAN, part) for part in partitions(self.cut, CLEAN)}
        for partition, offset, raw in read_accepted(self.logs, self.ledger, Findings()):
            was_past = offset in before[partition]
            window = before[partition].get(offset, self.ledger.window_of(raw))
            past = self.is_past(raw)
            self.accepted += past and not was_past
            if self.places[CLEAN].note(partition, offset, past, window):
                row, shard = self.latest.setdefault(partition, {}), shard_of(*raw, shards)
                row[shard] = max(row.get(shard, 0), window)
