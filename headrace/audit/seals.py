"""The seals of all windows, kept small, to be compared with the blocks that they speak of."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from headrace.audit.findings import Findings
from headrace.audit.logs import Logs, partitions
from headrace.contract.blocks import Seal
from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.topics import WINDOWS

_SEAL = struct.Struct("<qqqqq16s")
_SEAL_FIELDS = ("window", "offset", "documents", "tokens", "blocks", "digest")


class Said(NamedTuple):
    """What a seal says of its window's blocks, or what they are."""

    documents: int
    tokens: int
    blocks: int
    digest: str


class Seals:
    """All seals by shard, 56 bytes each. A (window, shard) may be sealed again: the n-th is of its n-th blocks."""

    def __init__(self) -> None:
        self.packed: dict[int, bytearray] = {}
        self.sorted: dict[int, np.ndarray[Any, Any]] = {}
        self.taken: dict[int, bytearray] = {}

    def add(self, seal: Seal, offset: int) -> None:
        """Keep one; all are added before the first is taken."""
        row = self.packed.setdefault(seal.shard, bytearray())
        row += _SEAL.pack(seal.start, offset, seal.documents, seal.tokens, seal.blocks, bytes.fromhex(seal.digest))

    def take(self, shard: int, window: int) -> tuple[int, Said] | None:
        """The next seal of a (window, shard) that was not taken yet, with its offset; None if there is none."""
        rows, taken = self._rows(shard)
        index = int(np.searchsorted(rows["window"], window))
        while index < len(rows) and rows["window"][index] == window:
            if not taken[index]:
                taken[index] = 1
                return int(rows["offset"][index]), _said(rows[index])
            index += 1
        return None

    def left(self) -> Iterator[tuple[int, int, int, Said]]:
        """(shard, window, offset, what it says) of each seal that was not taken and speaks of blocks."""
        for shard in sorted(self.packed):
            rows, taken = self._rows(shard)
            for row, used in zip(rows, taken, strict=True):
                if not used and row["blocks"]:
                    yield shard, int(row["window"]), int(row["offset"]), _said(row)

    def _rows(self, shard: int) -> tuple[np.ndarray[Any, Any], bytearray]:
        if shard not in self.sorted:
            dtype = np.dtype([(name, "V16" if name == "digest" else "<i8") for name in _SEAL_FIELDS])
            rows = np.frombuffer(bytes(self.packed.get(shard, b"")), dtype)
            self.sorted[shard] = rows[np.argsort(rows["window"], kind="stable")]
            self.taken[shard] = bytearray(len(rows))
        return self.sorted[shard], self.taken[shard]


def _said(row: Any) -> Said:
    return Said(int(row["documents"]), int(row["tokens"]), int(row["blocks"]), row["digest"].tobytes().hex())


def read_seals(logs: Logs, findings: Findings) -> Seals:
    """All of `tokens.windows` but the seals of windows that are past."""
    seals = Seals()
    for partition in partitions(logs.cut, WINDOWS):
        skipped = logs.cut.start.skips(WINDOWS, partition)
        for message in logs.read(WINDOWS, partition):
            if message.offset() in skipped:
                continue
            at = Coordinate(WINDOWS, partition, message.offset())
            try:
                seals.add(Seal.decode(message.value(), at), message.offset())
            except (RecordError, ValueError, struct.error) as error:
                findings.add("unreadable", str(error))
    return seals
