"""Promise 1: every record of `text.raw` has exactly one outcome of stage clean."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson

from headrace.audit.cut import Positions
from headrace.audit.findings import Findings, Stage
from headrace.audit.logs import Logs, partitions
from headrace.contract.audit import VerifiedCut
from headrace.contract.documents import RejectedHeaders
from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.topics import CLEAN, RAW, REJECTED

Raw = tuple[int, int]
Accepted = tuple[int, int, Raw]
"""Partition and offset of a record of `text.clean`, and the raw coordinate in it."""

MOST = 255
"""Counts of a document stop here."""


class Counts:
    """How many records of one kind each document has, a byte each. Those below `first` are past: they have theirs."""

    def __init__(self, first: Positions, end: Positions) -> None:
        self.first = first
        self.rows = {partition: bytearray(max(0, size - first[partition])) for partition, size in end.items()}

    def note(self, raw: Raw) -> int:
        """Count one more for a document; returns how many there are now, 0 if there can be no such document."""
        index = self._index(raw)
        if index is None:
            return 0
        if index < 0:
            return 2
        row = self.rows[raw[0]]
        row[index] = min(MOST, row[index] + 1)
        return row[index]

    def first_one(self, raw: Raw) -> bool:
        """Count one for a document that has none yet; False, and nothing counted, if it has one or cannot be."""
        row = self.rows.get(raw[0])
        index = raw[1] - self.first.get(raw[0], 0)
        if row is None or not 0 <= index < len(row) or row[index]:
            return False
        row[index] = 1
        return True

    def noted(self, raw: Raw) -> int:
        """How many there are for a document; of one that is past always one."""
        index = self._index(raw)
        return 0 if index is None else 1 if index < 0 else self.rows[raw[0]][index]

    def of(self, partition: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Those of a partition, from its `first` on."""
        return np.frombuffer(self.rows[partition], np.uint8)

    def _index(self, raw: Raw) -> int | None:
        """The place in its row, below 0 for a past one; None if there can be no such document."""
        row = self.rows.get(raw[0])
        if row is None or raw[1] < 0:
            return None
        index = raw[1] - self.first[raw[0]]
        return index if index < len(row) else None


class Ledger:
    """What is known of each document that is not past, by its raw coordinate, in 8 bytes each.

    first       by partition: documents below are past
    published   1 if `text.raw` holds it (a marker and a record of an aborted transaction take offsets too)
    accepted, rejected, tokenized   its records in `text.clean`, in `text.rejected` of stage clean, its outcomes of
                stage tokenize
    window      start in seconds of the sealed window in which it stands in blocks, 0 if there is none yet
    """

    def __init__(self, end: Positions, start: VerifiedCut) -> None:
        self.first = {partition: start.position(RAW, partition) for partition in end}
        self.published, self.accepted, self.rejected, self.tokenized = (Counts(self.first, end) for _ in range(4))
        self.window = {
            partition: array("I", bytes(4 * max(0, size - self.first[partition]))) for partition, size in end.items()
        }
        for partition, documents in start.early.items():
            for offset, window in documents:
                self.tokenized.note((partition, offset))
                self.set_window([(partition, offset)], window * 1000)

    def set_window(self, raws: Sequence[Raw], start_ms: int) -> None:
        """Note in which sealed window documents stand; those that cannot be, or are past, are passed over."""
        places = np.array(raws, np.int64).reshape(-1, 2)
        for partition in set(places[:, 0].tolist()) & self.window.keys():
            row = np.frombuffer(self.window[partition], np.uint32)
            index = places[places[:, 0] == partition, 1] - self.first[partition]
            row[index[(index >= 0) & (index < len(row))]] = start_ms // 1000

    def window_of(self, raw: Raw) -> int:
        """Start in seconds of the document's sealed window, 0 if there is none."""
        index = raw[1] - self.first.get(raw[0], 0)
        return self.window[raw[0]][index] if 0 <= index < len(self.window.get(raw[0], ())) else 0


def read_rejected(logs: Logs, ledger: Ledger, findings: Findings) -> None:
    """Note every record of `text.rejected` at its stage, and name the second outcome of a document."""
    for partition in partitions(logs.cut, REJECTED):
        skipped = logs.cut.start.skips(REJECTED, partition)
        for message in logs.read(REJECTED, partition):
            if message.offset() in skipped:
                continue
            at = Coordinate(REJECTED, partition, message.offset())
            try:
                said = RejectedHeaders.decode(message.headers(), at)
            except RecordError as error:
                findings.add("unreadable", str(error))
                continue
            if said.stage == "clean":
                _note_outcome(ledger, ledger.rejected, said.raw, at, findings)
            else:
                note_tokenized(ledger, said.raw, at, findings)


def read_accepted(logs: Logs, ledger: Ledger, findings: Findings) -> Iterator[Accepted]:
    """Note every record of `text.clean`, and name the second outcome of a document; yields each with its raw place.

    Those that are past are not noted again.
    """
    for partition in partitions(logs.cut, CLEAN):
        skipped = logs.cut.start.skips(CLEAN, partition)
        for message in logs.read(CLEAN, partition):
            offset = message.offset()
            try:
                raw_partition, raw_offset = orjson.loads(message.value() or b"")["raw"]
                raw = int(raw_partition), int(raw_offset)
            except (ValueError, KeyError, TypeError) as error:
                findings.add("unreadable", f"{Coordinate(CLEAN, partition, offset)}: not a document: {error}")
                continue
            if offset not in skipped and (ledger.rejected.noted(raw) or not ledger.accepted.first_one(raw)):
                _note_outcome(ledger, ledger.accepted, raw, Coordinate(CLEAN, partition, offset), findings)
            yield partition, offset, raw


def read_published(logs: Logs, ledger: Ledger) -> None:
    """Note every record of `text.raw`; only its offset is looked at."""
    for partition in partitions(logs.cut, RAW):
        row, first = ledger.published.rows[partition], ledger.first[partition]
        for message in logs.read(RAW, partition):
            row[message.offset() - first] = 1


def judge_clean(ledger: Ledger, passed: Positions, findings: Findings) -> Stage:
    """Compare outcomes with what was published.

    Without an outcome, a document below the position that the clean job has committed is lost, another in flight.
    """
    stage = Stage("clean")
    for partition, first in sorted(ledger.first.items()):
        published = ledger.published.of(partition) > 0
        outcomes = ledger.accepted.of(partition).astype(np.uint16) + ledger.rejected.of(partition)
        missing = np.flatnonzero(published & (outcomes == 0)) + first
        lost = missing[missing < passed.get(partition, 0)]
        for offset in lost.tolist():
            findings.add("no_outcome", f"{Coordinate(RAW, partition, offset)} has no outcome")
        for offset in (np.flatnonzero(~published & (outcomes > 0)) + first).tolist():
            findings.add("outcome_of_nothing", f"{Coordinate(RAW, partition, offset)} has an outcome and is no record")
        stage.entered += int(published.sum())
        stage.left += int((published & (outcomes > 0)).sum())
        stage.in_flight += len(missing) - len(lost)
    return stage


def note_tokenized(ledger: Ledger, raw: Raw, at: Coordinate, findings: Findings) -> None:
    """Note an outcome of stage tokenize that ends at the record `at`."""
    count = ledger.tokenized.note(raw)
    if count == 0:
        findings.add("span_of_nothing", f"{at} is of {Coordinate(RAW, *raw)}, which is no record")
    elif count > 1:
        findings.add("tokenized_twice", f"{Coordinate(RAW, *raw)} has another outcome of stage tokenize at {at}")


def _note_outcome(ledger: Ledger, counts: Counts, raw: Raw, at: Coordinate, findings: Findings) -> None:
    if counts.note(raw) == 0:
        findings.add("outcome_of_nothing", f"{at} is the outcome of {Coordinate(RAW, *raw)}, which is no record")
    elif ledger.accepted.noted(raw) + ledger.rejected.noted(raw) > 1:
        findings.add("two_outcomes", f"{Coordinate(RAW, *raw)} has another outcome at {at}")
