"""`verify`: one pass over every log up to one cut, one check a promise.

In flight, by stage, in documents: what the next part may still take up.
  clean      published, without an outcome, at or above the position that the clean job has committed
  tokenize   accepted, without an outcome, and no later record of its (partition, shard) stands in a later sealed window
  plan       in blocks behind the last one that the plan names
  train      planned behind the position of the run's last report, or of its newest checkpoint if that is further
A document is in flight at one stage at most: at the last two it counts where its last token is.
What is missing and not in flight is lost. Settled, all that is in flight is lost, and every window has its seal.

Its limit: it proves what was fed; that the arithmetic is right, the fault tests prove. A run that crashed and was not
started again has trained what it reported, until it starts from its last checkpoint and trains the rest again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

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
from headrace.audit.windows import WindowCheck, decode_blocks, judge_tokenize, judge_unknown
from headrace.contract.errors import Coordinate
from headrace.contract.plan import Step
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, CLEAN, PLAN, RAW, STEPS
from headrace.contract.training import Manifest
from headrace.kafka import Cluster

CUT_TIMEOUT_S = 60.0
"""How long a transaction that is open at the cut may take to be decided: several checkpoints of the jobs."""

Begin = Callable[[int], Callable[[int], None]]
"""Told how many records a pass reads at most; returns what is told, every so often, how many more were read."""


def verify_deployment(settings: Settings, run: str, wait_s: float, begin: Begin) -> Report:
    """Verify what the broker and the checkpoint directory hold now.

    While something is on its way and nothing is wrong, does it again until `wait_s` are over. Raises DependencyError
    without a broker, without topics, or when a transaction stays open.
    """
    cluster = Cluster(settings)
    deadline = time.monotonic() + wait_s
    while True:
        report = verify_once(cluster, run, max(CUT_TIMEOUT_S, wait_s), begin)
        left = deadline - time.monotonic()
        if not report.holds or report.drained or left <= 0:
            return report
        time.sleep(min(left, max(1.0, report.seconds)))


def verify_once(cluster: Cluster, run: str, timeout_s: float, begin: Begin) -> Report:
    """One cut, one pass. Manifests are read before the cut, so that the plan in it holds all that they name."""
    started = time.monotonic()
    findings = Findings()
    run_dir = cluster.settings.checkpoint_dir / run
    manifests = read_manifests(run_dir, findings)
    if not check_pins(cluster, manifests, findings):
        return Report(run, findings)
    cut = take_cut(cluster, timeout_s)
    logs = KafkaLogs(cluster, cut, begin(cut.records))
    report = verify(logs, manifests, run, cluster.settings, findings)
    report.records, report.seconds = logs.records, time.monotonic() - started
    return report


def verify(logs: Logs, manifests: Sequence[Manifest], run: str, settings: Settings, findings: Findings) -> Report:
    """Check every promise on the logs up to their cut. `manifests`: all of the run, by step."""
    _check_whole(logs.cut, findings)
    ledger = Ledger(logs.cut.end[RAW])
    windows = WindowCheck(ledger, read_seals(logs, findings), findings)
    planned, plan = _check_plan(logs, windows, findings)
    windows.finish()
    read_rejected(logs, ledger, findings)
    accepted = read_accepted(logs, ledger, findings)
    tokenize = judge_tokenize(accepted, ledger, settings.tokenize.shards, logs.cut.passed[CLEAN], findings)
    read_published(logs, ledger)
    clean = judge_clean(ledger, logs.cut.passed[RAW], findings)
    judge_unknown(ledger, findings)
    position, train = _check_training(logs, manifests, run, settings, planned, findings)
    return Report(
        run=run,
        findings=findings,
        stages=[clean, tokenize, plan, train],
        unsealed=windows.unsealed_at_the_end(),
        planned=len(planned.steps),
        trained=position,
        saved=manifests[-1].step if manifests else None,
    )


def _check_whole(cut: Cut, findings: Findings) -> None:
    """Nothing but the reports of steps may have been deleted."""
    for name in READ:
        for partition, first in cut.first[name].items():
            if first > 0 and name != STEPS:
                text = (
                    f"{Coordinate(name, partition, first)} is the first record that is left: what was before it is gone"
                )
                findings.add("deleted", text, documents=0)


def _check_plan(logs: Logs, windows: WindowCheck, findings: Findings) -> tuple[Planned, Stage]:
    def again(partition: int, first: int, last: int) -> Iterator[BlockView]:
        return decode_blocks(logs.again(BLOCKS, partition, first, last), partition, findings)

    blocks = {
        partition: BlockLog(windows.watch(decode_blocks(logs.read(BLOCKS, partition), partition, findings)))
        for partition in partitions(logs.cut, BLOCKS)
    }
    return PlanCheck(blocks, again, findings).walk(decode_records(logs.read(PLAN, 0), findings))


def _check_training(
    logs: Logs, manifests: Sequence[Manifest], run: str, settings: Settings, planned: Planned, findings: Findings
) -> tuple[int, Stage]:
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
    check_manifests(manifests, planned, findings)
    if reports.reports and not manifests:
        findings.add("no_ancestry", f"run {run} reports steps, but has no manifest in {settings.checkpoint_dir / run}")
    position = max(reports.position, manifests[-1].step if manifests else 0)
    return position, judge_train(planned, position)


def _blocks_of(logs: Logs, number: int) -> list[BlockView]:
    """The blocks of a step in the plan's order, read once more; for a message, so it may take its time."""
    unread = Findings()
    last = logs.cut.end[PLAN][0]
    for _, record in decode_records(logs.again(PLAN, 0, logs.cut.first[PLAN][0], last), unread):
        if isinstance(record, Step) and record.step == number:
            return [
                block
                for run in record.blocks
                for block in decode_blocks(
                    logs.again(BLOCKS, run.partition, run.first, run.last), run.partition, unread
                )
            ]
    return []
