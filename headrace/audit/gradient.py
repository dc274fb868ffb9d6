"""Promise 4, as far as logs can show it: what a run reports to have fed, at any attempt, is the plan, step by step."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

from headrace.audit.blockview import BlockView
from headrace.audit.explain import explain
from headrace.audit.findings import Findings, Stage
from headrace.audit.logs import Message
from headrace.audit.planlog import Planned
from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.topics import STEPS
from headrace.contract.training import IdleReport, Manifest, Report, StepReport, decode_report

BlocksOf = Callable[[int], Sequence[BlockView]]
"""A step's number to its blocks, read once more, in the plan's order."""


def decode_reports(
    messages: Iterable[Message], partition: int, run: str, findings: Findings
) -> Iterator[tuple[Coordinate, Report]]:
    """The reports of one run; a record that cannot be read is named and left out."""
    for message in messages:
        at = Coordinate(STEPS, partition, message.offset())
        try:
            report = decode_report(message.value(), at)
        except RecordError as error:
            findings.add("unreadable", str(error))
            continue
        if report.run == run:
            yield at, report


class ReportCheck:
    """Compares every report of one run with the plan.

    `position` is the step that the run's last report leads to: what is trained, unless the run crashed since then.
    `same_bits`: in canonical reduction on machines of one fingerprint a step that is trained again has the same loss.
    An attempt whose `fed` once went wrong cannot be right again, since `fed` is a chain: it is named once.
    """

    def __init__(
        self, planned: Planned, same_bits: bool, leaf_blocks: int, blocks_of: BlocksOf, findings: Findings
    ) -> None:
        self.planned = planned
        self.same_bits = same_bits
        self.leaf_blocks = leaf_blocks
        self.blocks_of = blocks_of
        self.findings = findings
        self.position = 0
        self.reports = 0
        self.attempt = ""
        self.last_step = -1
        self.wrong: set[str] = set()
        self.losses = array("d", bytes(8 * len(planned.steps)))
        self.seen = bytearray(len(planned.steps))

    def walk(self, reports: Iterable[tuple[Coordinate, Report]]) -> None:
        """Check all reports of the run that are not past, in the order in which they were written."""
        for at, report in reports:
            if report.step < self.planned.start.step:
                continue  # past
            self.reports += 1
            if report.attempt != self.attempt:
                self.attempt, self.last_step = report.attempt, -1
            if isinstance(report, IdleReport):
                self.position = report.step
                self._check_idle(at, report)
            else:
                self.position = report.step + 1
                self._check_step(at, report)

    def _check_step(self, at: Coordinate, report: StepReport) -> None:
        where = f"{at}, step {report.step} of attempt {report.attempt}"
        if report.step <= self.last_step:
            self.findings.add("step_twice", f"{where}: the attempt had applied step {self.last_step} before")
        self.last_step = max(self.last_step, report.step)
        index = self.planned.find(report.step)
        if index is None:
            self.findings.add("wrong_report", f"{where}: the plan has no such step")
            return
        tokens = self.planned.tokens[index]
        said = (report.seq, report.tokens_total)
        if said != (self.planned.seqs[index], tokens):
            text = f"{where}: seq and tokens_total {said}, planned {(self.planned.seqs[index], tokens)}"
            self.findings.add("wrong_report", text)
        self._check_fed(where, report, index)
        self._check_loss(where, report, index)

    def _check_fed(self, where: str, report: StepReport, index: int) -> None:
        if report.fed == self.planned.fed_after(index + 1).hex() or report.attempt in self.wrong:
            return
        self.wrong.add(report.attempt)
        before = self.planned.fed_after(index)
        blocks = self.blocks_of(report.step)
        kind, text, documents = explain(before, report.seq, blocks, self.leaf_blocks, report.fed)
        planned = self.planned.fed_after(index + 1).hex()
        self.findings.add(kind, f"{where}: fed {report.fed}, planned {planned}: {text}", documents)

    def _check_idle(self, at: Coordinate, report: IdleReport) -> None:
        place = self.planned.place(report.step)
        expected = place.fed if place else None
        if report.fed != expected and report.attempt not in self.wrong:
            self.wrong.add(report.attempt)
            text = f"{at}, idle before step {report.step} of attempt {report.attempt}"
            self.findings.add("wrong_fed", f"{text}: fed {report.fed}, planned {expected}")

    def _check_loss(self, where: str, report: StepReport, index: int) -> None:
        """A step that was trained again had the same loss, to the bit; not a number equals itself here."""
        if not self.seen[index]:
            self.seen[index] = 1
            self.losses[index] = report.loss
        elif self.same_bits and struct.pack("d", report.loss) != struct.pack("d", self.losses[index]):
            self.findings.add("other_loss", f"{where}: loss {report.loss!r}, before it was {self.losses[index]!r}")


def check_manifests(
    manifests: Sequence[Manifest],
    planned: Planned,
    findings: Findings,
    others: Callable[[str], Sequence[Manifest]] = lambda run: (),
) -> None:
    """Compare every manifest of a run with the plan, and walk from the newest one by its parents to the first.

    `others`: the manifests of another run, by whose checkpoint this one may have begun.
    """
    for manifest in manifests:
        for what, said, expected in _facts(manifest, planned):
            if said != expected:
                text = f"manifest {_name(manifest)} of run {manifest.run}: {what} {said}, by the plan {expected}"
                findings.add("wrong_fed" if what == "fed" else "wrong_manifest", text)
    _check_ancestry(manifests, findings, others)


def _facts(manifest: Manifest, planned: Planned) -> Iterator[tuple[str, object, object]]:
    """(what, as the manifest says it, as it must be)."""
    if (origin := planned.origin) is not None:
        yield "cluster", manifest.cluster, origin.cluster
        yield "topics", manifest.topics, origin.topics
        yield "tokenizer", manifest.tokenizer, origin.tokenizer
    if manifest.step < planned.start.step:
        return  # past
    if (place := planned.place(manifest.step)) is None:
        yield "last step", manifest.step - 1, "not there"
        return
    yield "seq", manifest.seq, place.seq
    yield "tokens", manifest.tokens, place.tokens
    yield "fed", manifest.fed, place.fed


def _check_ancestry(
    manifests: Sequence[Manifest], findings: Findings, others: Callable[[str], Sequence[Manifest]]
) -> None:
    """From the newest manifest by its parents to one of step 0, perhaps by way of other runs."""
    if not manifests:
        return
    manifest = max(manifests, key=lambda one: one.step)
    family, runs = {_name(one): one for one in manifests}, {manifest.run}
    while manifest.parent is not None:
        run, _, name = manifest.parent.rpartition("/")
        if run:
            family = {} if run in runs else {_name(one): one for one in others(run)}
            runs.add(run)
        if wrong := _not_the_parent(family.get(name), manifest, copied=bool(run)):
            findings.add("no_ancestry", f"the parent {manifest.parent} of {_name(manifest)} {wrong}")
            return
        manifest = family[name]
    if manifest.step != 0:
        findings.add("no_ancestry", f"{_name(manifest)} names no parent and is not the first checkpoint of the run")


def _not_the_parent(parent: Manifest | None, child: Manifest, copied: bool) -> str:
    """Why it cannot be; empty if it can. `copied`: the child is a copy of another run's checkpoint."""
    if parent is None:
        return "is not there"
    if copied and (parent.step, parent.weights) != (child.step, child.weights):
        return f"is of step {parent.step} with weights {parent.weights}, not {child.step} with {child.weights}"
    if not copied and parent.step >= child.step:
        return f"is of step {parent.step}, not before step {child.step}"
    return ""


def _name(manifest: Manifest) -> str:
    """The name of the checkpoint, by which its children call it."""
    return f"step-{manifest.step:010d}"


def judge_train(planned: Planned, position: int) -> Stage:
    """What is planned and not yet trained by a run that has come to `position` is in flight."""
    stage = Stage("train", entered=sum(planned.documents))
    stage.in_flight = sum(
        documents for step, documents in zip(planned.steps, planned.documents, strict=True) if step >= position
    )
    stage.left = stage.entered - stage.in_flight
    return stage
