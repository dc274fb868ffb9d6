"""Promise 1: every record of `text.raw` has exactly one outcome of stage clean."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
import orjson

from headrace.audit.cut import Positions
from headrace.audit.findings import Findings, Stage
from headrace.audit.logs import Logs, partitions
from headrace.contract.documents import RejectedHeaders
from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.topics import CLEAN, RAW, REJECTED

Raw = tuple[int, int]
Counts = dict[int, bytearray]


class Ledger:
    """What is known of each document, by its raw coordinate, in 8 bytes each.

    published   1 if `text.raw` holds it (a marker and a record of an aborted transaction take offsets too)
    accepted, rejected, tokenized   its records in `text.clean`, in `text.rejected` of stage clean, its outcomes of
                stage tokenize; they stop counting at 255
    window      start in seconds of the sealed window in which it stands in blocks, 0 if there is none yet
    """

    def __init__(self, end: Positions) -> None:
        self.published, self.accepted, self.rejected, self.tokenized = (
            {partition: bytearray(size) for partition, size in end.items()} for _ in range(4)
        )
        self.window = {partition: array("I", bytes(4 * size)) for partition, size in end.items()}

    def set_window(self, raw: Raw, start_ms: int) -> None:
        """Note in which sealed window a document stands."""
        if raw[0] in self.window and 0 <= raw[1] < len(self.window[raw[0]]):
            self.window[raw[0]][raw[1]] = start_ms // 1000

    def window_of(self, raw: Raw) -> int:
        """Start in seconds of the document's sealed window, 0 if there is none."""
        return self.window[raw[0]][raw[1]] if 0 <= raw[1] < len(self.window.get(raw[0], ())) else 0


def note(counts: Counts, raw: Raw) -> int:
    """Count one more for a document; returns how many there are now, 0 if there can be no such document."""
    row = counts.get(raw[0])
    if row is None or not 0 <= raw[1] < len(row):
        return 0
    if row[raw[1]] < 255:
        row[raw[1]] += 1
    return row[raw[1]]


def noted(counts: Counts, raw: Raw) -> int:
    """How many there are for a document."""
    row = counts.get(raw[0], b"")
    return row[raw[1]] if 0 <= raw[1] < len(row) else 0


def read_rejected(logs: Logs, ledger: Ledger, findings: Findings) -> None:
    """Note every record of `text.rejected` at its stage, and name the second outcome of a document."""
    for partition in partitions(logs.cut, REJECTED):
        for message in logs.read(REJECTED, partition):
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


def read_accepted(logs: Logs, ledger: Ledger, findings: Findings) -> Iterator[tuple[Coordinate, Raw]]:
    """Note every record of `text.clean`, and name the second outcome of a document; yields each with its raw place."""
    for partition in partitions(logs.cut, CLEAN):
        for message in logs.read(CLEAN, partition):
            at = Coordinate(CLEAN, partition, message.offset())
            try:
                raw = _raw_of(message.value(), at)
            except RecordError as error:
                findings.add("unreadable", str(error))
                continue
            _note_outcome(ledger, ledger.accepted, raw, at, findings)
            yield at, raw


def read_published(logs: Logs, ledger: Ledger) -> None:
    """Note every record of `text.raw`; only its offset is looked at."""
    for partition in partitions(logs.cut, RAW):
        row = ledger.published[partition]
        for message in logs.read(RAW, partition):
            row[message.offset()] = 1


def judge_clean(ledger: Ledger, passed: Positions, findings: Findings) -> Stage:
    """Compare outcomes with what was published.

    Without an outcome, a document below the position that the clean job has committed is lost, another in flight.
    """
    stage = Stage("clean")
    for partition, row in sorted(ledger.published.items()):
        published = np.frombuffer(row, np.uint8) > 0
        outcomes = np.frombuffer(ledger.accepted[partition], np.uint8).astype(np.uint16) + np.frombuffer(
            ledger.rejected[partition], np.uint8
        )
        missing = np.flatnonzero(published & (outcomes == 0))
        lost = missing[missing < passed.get(partition, 0)]
        for offset in lost.tolist():
            findings.add("no_outcome", f"{Coordinate(RAW, partition, offset)} has no outcome")
        for offset in np.flatnonzero(~published & (outcomes > 0)).tolist():
            findings.add("outcome_of_nothing", f"{Coordinate(RAW, partition, offset)} has an outcome and is no record")
        stage.entered += int(published.sum())
        stage.left += int((published & (outcomes > 0)).sum())
        stage.in_flight += len(missing) - len(lost)
    return stage


def note_tokenized(ledger: Ledger, raw: Raw, at: Coordinate, findings: Findings) -> None:
    """Note an outcome of stage tokenize that ends at the record `at`."""
    count = note(ledger.tokenized, raw)
    if count == 0:
        findings.add("span_of_nothing", f"{at} is of {Coordinate(RAW, *raw)}, which is no record")
    elif count > 1:
        findings.add("tokenized_twice", f"{Coordinate(RAW, *raw)} has another outcome of stage tokenize at {at}")


def _note_outcome(ledger: Ledger, counts: Counts, raw: Raw, at: Coordinate, findings: Findings) -> None:
    if note(counts, raw) == 0:
        findings.add("outcome_of_nothing", f"{at} is the outcome of {Coordinate(RAW, *raw)}, which is no record")
    elif noted(ledger.accepted, raw) + noted(ledger.rejected, raw) > 1:
        findings.add("two_outcomes", f"{Coordinate(RAW, *raw)} has another outcome at {at}")


def _raw_of(value: bytes | None, at: Coordinate) -> Raw:
    """`raw` of a record of text.clean; the rest is not looked at, which is several times cheaper."""
    try:
        partition, offset = orjson.loads(value or b"")["raw"]
        return int(partition), int(offset)
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(at, f"not a document: {error}") from None
