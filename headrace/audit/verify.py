"""`verify`: one pass over every log up to one cut, one check a promise.

In flight, by stage, in documents: what the next part may still take up.
  clean      published, without an outcome, at or above the position that the clean job has committed
  tokenize   accepted, without an outcome, and no later record of its (partition, shard) stands in a later sealed window
  plan       in blocks behind the last one that the plan names
  train      planned behind the position of the run's last report, or of its newest checkpoint if that is further
A document is in flight at one stage at most: at the last two it counts where its last token is.
What is missing and not in flight is lost. Settled, all that is in flight is lost, and every window has its seal.

Its limit: it proves what was fed; that the arithmetic is right, the fault tests prove, and `--replay` for the steps
between two checkpoints. A run that crashed and was not started again has trained what it reported, until it starts from
its last checkpoint and trains the rest again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from headrace.audit.blockview import BlockView
from headrace.audit.cut import READ, Cut, take_cut
from headrace.audit.findings import Findings, Stage
from headrace.audit.gradient import ReportCheck, check_manifests, decode_reports, judge_train
from headrace.audit.logs import KafkaLogs, Logs, partitions
from headrace.audit.manifests import read_manifests
from headrace.audit.outcomes import Ledger, judge_clean, read_accepted, read_published, read_rejected
from headrace.audit.pins import check_pins
from headrace.audit.planlog import BlockLog, PlanCheck, Planned, decode_records
from headrace.audit.report import Report
from headrace.audit.seals import read_seals
from headrace.audit.start import check_counts, newest_cut, read_past_plan
from headrace.audit.windows import WindowCheck, decode_blocks, judge_tokenize, judge_unknown
from headrace.contract.audit import BEGINNING
from headrace.contract.errors import Coordinate
from headrace.contract.plan import Step
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, PLAN, RAW, STEPS
from headrace.contract.training import Manifest
from headrace.kafka import Cluster

CUT_TIMEOUT_S = 60.0
"""How long a transaction that is open at the cut may take to be decided: several checkpoints of the jobs."""

Begin = Callable[[int], Callable[[int], None]]
"""Told how many records a pass reads at most; returns what is told, every so often, how many more were read."""


def verify_deployment(settings: Settings, run: str, wait_s: float, begin: Begin, full: bool = False) -> Report:
    """Verify what the broker and the checkpoint directory hold now, from the newest verified cut on.

    `full`: from the first record that is left, whatever was verified before. While something is on its way and nothing
    is wrong, does it again until `wait_s` are over. Raises DependencyError without a broker, without topics, or when a
    transaction stays open.
    """
    cluster = Cluster(settings)
    deadline = time.monotonic() + wait_s
    while True:
        report = verify_once(cluster, [run], max(CUT_TIMEOUT_S, wait_s), begin, full).report
        left = deadline - time.monotonic()
        if not report.holds or report.drained or left <= 0:
            return report
        time.sleep(min(left, max(1.0, report.seconds)))


@dataclass(frozen=True)
class Proof:
    """A report, and what it was made from; without `logs` and `planned` nothing was worth reading."""

    report: Report
    manifests: Mapping[str, Sequence[Manifest]]
    logs: Logs | None = None
    planned: Planned | None = None


def verify_once(cluster: Cluster, runs: Sequence[str], timeout_s: float, begin: Begin, full: bool = False) -> Proof:
    """One cut, one pass; the report is of the first of `runs`, what is wrong is named for all of them.

    Manifests are read before the cut, so that the plan in it holds all that they name.
    """
    started = time.monotonic()
    findings = Findings()
    settings = cluster.settings
    manifests = {run: read_manifests(settings.checkpoint_dir / run, findings) for run in runs}
    start = BEGINNING if full else newest_cut(cluster, findings, timeout_s)
    newest = [one for of_run in manifests.values() for one in of_run[-1:]]
    if not check_pins(cluster, newest, start, findings) or findings.tallies.get("wrong_cut"):
        return Proof(Report(runs[0], findings), manifests)
    cut = take_cut(cluster, timeout_s, start)
    logs = KafkaLogs(cluster, cut, begin(cut.records))
    report, planned = verify(logs, manifests[runs[0]], runs[0], settings, findings)
    for run in runs[1:]:
        check_training(logs, manifests[run], run, settings, planned, findings)
    report.records, report.seconds = logs.records, time.monotonic() - started
    return Proof(report, manifests, logs, planned)


def verify(
    logs: Logs, manifests: Sequence[Manifest], run: str, settings: Settings, findings: Findings
) -> tuple[Report, Planned]:
    """Check every promise on the logs, from where their cut begins to where it ends. `manifests`: all of the run."""
    start = logs.cut.start
    _check_whole(logs.cut, findings)
    ledger = Ledger(logs.cut.end[RAW], start)
    windows = WindowCheck(ledger, read_seals(logs, findings), start, findings)
    planned, plan = _check_plan(logs, windows, findings)
    windows.finish()
    read_rejected(logs, ledger, findings)
    accepted = read_accepted(logs, ledger, findings)
    tokenize = judge_tokenize(accepted, ledger, settings.tokenize.shards, logs.cut, findings)
    read_published(logs, ledger)
    clean = judge_clean(ledger, logs.cut.passed[RAW], findings)
    judge_unknown(ledger, findings)
    position, train = check_training(logs, manifests, run, settings, planned, findings)
    report = Report(
        run=run,
        findings=findings,
        stages=[clean, tokenize, plan, train],
        unsealed=windows.unsealed_at_the_end(),
        planned=start.step + len(planned.steps),
        trained=position,
        saved=manifests[-1].step if manifests else None,
        start=start,
    )
    return report, planned


def _check_whole(cut: Cut, findings: Findings) -> None:
    """Nothing but the reports of steps, and what was verified before, may have been deleted."""
    for name in READ:
        for partition, first in cut.first[name].items():
            needed = 0 if name == PLAN else cut.start.position(name, partition)
            if first > needed and name != STEPS:
                text = f"{Coordinate(name, partition, first)} is the first record that is left: {needed} was needed"
                findings.add("deleted", text, documents=0)


def _check_plan(logs: Logs, windows: WindowCheck, findings: Findings) -> tuple[Planned, Stage]:
    def again(partition: int, first: int, last: int) -> Iterator[BlockView]:
        return decode_blocks(logs.again(BLOCKS, partition, first, last), partition, findings)

    start = logs.cut.start
    blocks = {
        partition: BlockLog(
            windows.watch(decode_blocks(logs.read(BLOCKS, partition), partition, findings)),
            start.position(BLOCKS, partition),
        )
        for partition in partitions(logs.cut, BLOCKS)
    }
    records = decode_records(logs.read(PLAN, 0), findings)
    check = PlanCheck(blocks, again, start, findings)
    check.planned.origin = read_past_plan(logs, records, findings)
    between = sum(
        block.ending for partition, log in blocks.items() for block in log.until(start.next.get(partition, 0))
    )
    check_counts(logs, between, findings)
    return check.walk(records)


def check_training(
    logs: Logs, manifests: Sequence[Manifest], run: str, settings: Settings, planned: Planned, findings: Findings
) -> tuple[int, Stage]:
    """Check reports and manifests of one run; returns the step that it comes to next, and its stage."""
    said = manifests[-1].settings if manifests else settings.trainer.model_dump()
    machines = [one.fingerprint for one in manifests]
    reports = ReportCheck(
        planned,
        same_bits=said["reduction"] == "canonical" and all(one == machines[0] for one in machines),
        leaf_blocks=said["leaf_blocks"],
        blocks_of=lambda step: _blocks_of(logs, step),
        findings=findings,
    )
    for partition in partitions(logs.cut, STEPS):
        reports.walk(decode_reports(logs.read(STEPS, partition), partition, run, findings))
    check_manifests(
        manifests, planned, findings, lambda other: read_manifests(settings.checkpoint_dir / other, findings)
    )
    if reports.reports and not manifests:
        findings.add("no_ancestry", f"run {run} reports steps, but has no manifest in {settings.checkpoint_dir / run}")
    position = max(reports.position, manifests[-1].step if manifests else 0)
    return position, judge_train(planned, position)


def _blocks_of(logs: Logs, number: int) -> list[BlockView]:
    """The blocks of a step in the plan's order, read once more; for a message, so it may take its time."""
    unread = Findings()
    last = logs.cut.end[PLAN][0]
    for _, record in decode_records(logs.again(PLAN, 0, logs.cut.begin(PLAN, 0), last), unread):
        if isinstance(record, Step) and record.step == number:
            return [
                block
                for run in record.blocks
                for block in decode_blocks(
                    logs.again(BLOCKS, run.partition, run.first, run.last), run.partition, unread
                )
            ]
    return []
