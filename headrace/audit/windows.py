"""Promise 2: every record of `text.clean` has exactly one outcome of stage tokenize; seals and blocks agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from headrace.audit.blockview import BlockView, view
from headrace.audit.cut import Cut
from headrace.audit.findings import Findings, Stage
from headrace.audit.logs import Message
from headrace.audit.outcomes import Accepted, Ledger, Raw
from headrace.audit.seals import Said, Seals
from headrace.audit.spans import Group, SpanCheck
from headrace.contract.audit import VerifiedCut
from headrace.contract.digests import block_digest, run_digest, shard_of
from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.topics import BLOCKS, CLEAN, RAW, WINDOWS


def decode_blocks(messages: Iterable[Message], partition: int, findings: Findings) -> Iterator[BlockView]:
    """Each block; one that cannot be read is named and comes without content, since the plan counts it too."""
    for message in messages:
        value = message.value()
        try:
            yield view(value, BLOCKS, partition, message.offset())
        except RecordError as error:
            findings.add("unreadable", str(error))
            yield BlockView(partition, message.offset(), block_digest(value or b""))


class WindowCheck:
    """Sees every block once, partition by partition or mixed, and follows the windows of each shard."""

    def __init__(self, ledger: Ledger, seals: Seals, start: VerifiedCut, findings: Findings) -> None:
        self.ledger = ledger
        self.seals = seals
        self.findings = findings
        self.spans = SpanCheck(ledger, findings, start.edges)
        self.groups: dict[tuple[int, int], Group] = {}
        self.unsealed: dict[int, list[str]] = {}

    def watch(self, blocks: Iterator[BlockView]) -> Iterator[BlockView]:
        """The same blocks, each checked before it is handed on."""
        for block in blocks:
            if block.shard >= 0:
                self._add(block)
            yield block

    def finish(self) -> None:
        """No more blocks come. The last window of a shard may be cut by the end of the log: then it has no seal."""
        self.close_all()
        for shard, window, offset, said in self.seals.left():
            self.findings.add(
                "wrong_seal",
                f"{Coordinate(WINDOWS, 0, offset)} seals window {window} of shard {shard} with {said}: no such blocks",
                said.documents,
            )

    def close_all(self) -> None:
        """Close the windows that are open, as far as they have come."""
        for group in self.groups.values():
            self._close(group, last=True)
        self.groups.clear()

    def unsealed_at_the_end(self) -> list[str]:
        """The last window of each shard that has no seal, in words; call it after `finish`."""
        return sorted(window for windows in self.unsealed.values() for window in windows)

    def _add(self, block: BlockView) -> None:
        key = (block.partition, block.shard)
        group = self.groups.get(key)
        if group is None or block.number == 0 or block.window != group.window:
            if group is not None:
                self._close(group)
            at = Coordinate(BLOCKS, block.partition, block.offset)
            group = self.groups[key] = Group(at, block.window, block.shard)
        if block.number != len(group.digests):
            at = Coordinate(BLOCKS, block.partition, block.offset)
            text = f"{at} has number {block.number}, {len(group.digests)} comes next; {group}"
            self.findings.add("block_number", text)
        group.digests.append(block.digest)
        group.tokens += block.tokens
        self.spans.add(group, block)

    def _close(self, group: Group, last: bool = False) -> None:
        found = self.seals.take(group.shard, group.window)
        if found is None:
            if not last:
                self.spans.close(group)
            self.unsealed.setdefault(group.shard, []).append(str(group))
            return
        self.spans.close(group)
        for missing in self.unsealed.pop(group.shard, ()):
            self.findings.add("no_seal", f"{missing}: no seal, though a later window of the shard has one")
        offset, said = found
        is_there = Said(group.documents, group.tokens, len(group.digests), run_digest(group.digests).hex())
        if said != is_there:
            self.findings.add(
                "wrong_seal", f"{Coordinate(WINDOWS, 0, offset)} says {said}, there is {is_there}; {group}"
            )
        self.ledger.set_window(group.finished, group.window)


@dataclass
class _Order:
    """One (partition of text.clean, shard): the latest window so far, and what came since without an outcome."""

    latest: int = 0
    missing: list[tuple[Coordinate, Raw]] = field(default_factory=list)


def judge_tokenize(accepted: Iterable[Accepted], ledger: Ledger, shards: int, cut: Cut, findings: Findings) -> Stage:
    """Compare what was accepted, in the order of `text.clean`, with what stands in blocks or was rejected.

    Records of one (partition of text.clean, shard) enter windows in order, and a window is sealed whole. So one
    without an outcome is lost when the tokenize job has committed a position beyond it and a later record of the same
    (partition, shard) stands in a sealed window that starts after those of all earlier ones. Else it is in flight: not
    read yet, or in a window that is open or being written. `shards` is tokenize.shards. What is past, and still lies
    between the others, has its place in that order and is not counted.
    """
    stage = Stage("tokenize")
    passed = cut.passed[CLEAN]
    past = {partition: cut.start.skips(CLEAN, partition) for partition in cut.end[CLEAN]}
    orders: dict[tuple[int, int], _Order] = defaultdict(_Order)
    for partition, shards_of in cut.start.latest.items():
        orders |= {(partition, shard): _Order(latest) for shard, latest in shards_of.items()}
    for partition, offset, raw in accepted:
        order = orders[partition, shard_of(*raw, shards)]
        window = past[partition].get(offset)
        if window is None:
            stage.entered += 1
            if ledger.tokenized.noted(raw) == 0:
                stage.in_flight += 1
                if offset < passed.get(partition, 0):
                    order.missing.append((Coordinate(CLEAN, partition, offset), raw))
                continue
            stage.left += 1
            window = ledger.window_of(raw)
        if window > order.latest:
            order.latest = window
            if order.missing:
                stage.in_flight -= len(order.missing)
                _name_lost(order.missing, Coordinate(CLEAN, partition, offset), findings)
                order.missing.clear()
    return stage


def _name_lost(missing: list[tuple[Coordinate, Raw]], later: Coordinate, findings: Findings) -> None:
    for at, raw in missing:
        text = f"{Coordinate(RAW, *raw)}, accepted at {at}, is in no block; {later} of the same shard is"
        findings.add("not_in_blocks", text)


def judge_unknown(ledger: Ledger, findings: Findings) -> None:
    """Name what stands in blocks, or was rejected by tokenize, without having been accepted. Call it last."""
    for partition, first in sorted(ledger.first.items()):
        unknown = (ledger.tokenized.of(partition) > 0) & (ledger.accepted.of(partition) == 0)
        for offset in (np.flatnonzero(unknown) + first).tolist():
            findings.add(
                "span_of_nothing", f"{Coordinate(RAW, partition, offset)} is not in {CLEAN}, but has been tokenized"
            )
