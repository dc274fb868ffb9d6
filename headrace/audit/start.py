"""Where verify goes on: the newest record of `audit.cuts`, and whether it can be believed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from headrace.audit.findings import Findings
from headrace.audit.logs import Logs
from headrace.audit.planlog import decode_records
from headrace.contract.audit import BEGINNING, VerifiedCut
from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.plan import Origin, PlanRecord, Step
from headrace.contract.topics import CUTS, PLAN
from headrace.kafka import Cluster, coordinate

Records = Iterator[tuple[Coordinate, PlanRecord]]


def newest_cut(cluster: Cluster, findings: Findings, timeout_s: float) -> VerifiedCut:
    """The newest verified cut, BEGINNING if there is none or no topic for it; one that is not whole is named."""
    if not cluster.partitions([CUTS]):
        return BEGINNING
    first, end = cluster.first_offsets(CUTS)[0], cluster.settled_ends(CUTS, timeout_s)[0]
    newest = deque(cluster.read(CUTS, 0, first, end), maxlen=1)
    if not newest:
        return BEGINNING
    at = Coordinate(CUTS, 0, coordinate(newest[0]).offset)
    try:
        cut = VerifiedCut.decode(newest[0].value(), at)
    except RecordError as error:
        findings.add("wrong_cut", str(error), documents=0)
        return BEGINNING
    if not cut.intact:
        findings.add("wrong_cut", f"{at} was changed after it was written: its digest is of other content", documents=0)
    return cut


def read_past_plan(logs: Logs, records: Records, findings: Findings) -> Origin | None:
    """Take the last past record from `records` and compare the cut with it; returns the plan's origin.

    The plan is kept for ever, so the cut's word need not be taken for where the plan stands at it.
    """
    start = logs.cut.start
    if start.seq == 0:
        return None
    at, last = next(records, (None, None))
    said = (start.seq, start.step, start.tokens, start.next)
    if isinstance(last, Step):
        expected = (last.seq + 1, last.step + 1, last.tokens_before + last.tokens, last.next)
    else:
        expected = (1, 0, 0, {})
    if last is None or said != expected:
        text = f"it stands at seq, step, tokens and next {said}, the record before it, {at}, says {expected}"
        findings.add("wrong_cut", text, documents=0)
    _, origin = next(decode_records(logs.again(PLAN, 0, 0, 0), Findings()), (None, None))
    return origin if isinstance(origin, Origin) else None


def check_counts(logs: Logs, between: int, findings: Findings) -> None:
    """Whether the cut's counts fit each other, and its positions the logs.

    `between`: documents that end in blocks which are planned before the cut and lie above its positions.
    """
    start, counts = logs.cut.start, logs.cut.start.counts
    early = sum(map(len, start.early.values()))
    for what, said, expected in (
        ("published documents", counts.published, counts.accepted + counts.rejected),
        ("planned documents", counts.planned, counts.accepted - counts.refused + early + between),
    ):
        if said != expected:
            findings.add("wrong_cut", f"it counts {said} {what}, by its other counts {expected}", documents=0)
    for name, positions in start.positions.items():
        for partition, position in positions.items():
            if position > (end := logs.cut.end.get(name, {}).get(partition, 0)):
                text = f"it has read up to {Coordinate(name, partition, position)}, the log ends at {end}"
                findings.add("wrong_cut", text, documents=0)
