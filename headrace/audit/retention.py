"""Move the verified cut forward, and delete what lies before it.

    verify holds ─▶ next cut ─▶ verify from it says the same ─▶ cut written ─▶ records deleted

A crash between any two of these loses nothing: without the new cut the old one holds and all its records are there;
with it verify needs none of the records that are still to be deleted, and the next retention deletes them. One writer
of cuts at a time: a second one fences off the first, so that no older cut is ever written behind a newer one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaException, Producer, TopicPartition

from headrace.audit.findings import Findings
from headrace.audit.logs import Logs
from headrace.audit.needs import Need, Row, needs_of_runs, rows, runs_in
from headrace.audit.past import Reread, next_cut
from headrace.audit.planlog import Planned
from headrace.audit.report import Report
from headrace.audit.verify import CUT_TIMEOUT_S, Begin, check_training, verify, verify_once
from headrace.checkpoints import is_ended
from headrace.contract.audit import CUT_KEY, VerifiedCut
from headrace.contract.errors import DependencyError, HeadraceError
from headrace.contract.settings import Settings
from headrace.contract.topics import CUTS, LARGEST_OUTPUT_BYTES, REJECTED, RETENTION_TRANSACTIONAL_ID, TOPICS
from headrace.contract.training import Manifest
from headrace.kafka import Cluster, transactional_producer
from headrace.topics import create_topics

TIMEOUT_S = 30.0
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Keep:
    """What is kept though nobody needs it: steps planned since so many hours, rejects published since so many.

    `newest`: so many checkpoints of each run, besides pinned ones, may be trained on; None: trainer.keep_checkpoints.
    """

    hours: float = 0.0
    rejected_hours: float = 0.0
    newest: int | None = None


@dataclass(frozen=True)
class Outlook:
    """What verify found, and where it may begin from now on; `cut` is None where it found something wrong, or no plan.

    `rows` is what nobody needs any more, `needs` who needs what, the one that holds back most first.
    """

    report: Report
    cut: VerifiedCut | None = None
    rows: Sequence[Row] = ()
    needs: Sequence[Need] = ()


class CutWriter:
    """The only writer of `audit.cuts`. Opening it fences off every older one. Blocks; raises DependencyError."""

    def __init__(self, cluster: Cluster) -> None:
        if not cluster.partitions([CUTS]):
            create_topics(cluster, [topic for topic in TOPICS if topic.name == CUTS])
        self.topic = cluster.settings.topic(CUTS)
        try:
            self.producer: Producer = transactional_producer(cluster.settings, RETENTION_TRANSACTIONAL_ID)
        except KafkaException as error:
            raise DependencyError(f"no transaction on {cluster.brokers}: {error.args[0].str()}") from error

    def write(self, cut: VerifiedCut) -> None:
        """Write a cut; when this returns it is committed. Raises HeadraceError if that is not certain."""
        value = cut.sealed().encode()
        if len(value) > LARGEST_OUTPUT_BYTES:
            raise HeadraceError(
                f"the cut takes {len(value):,} bytes, {LARGEST_OUTPUT_BYTES:,} fit into {CUTS}: the parts are too far"
                " apart; try again when the tokenize job and the planner have caught up"
            )
        try:
            self.producer.begin_transaction()
            self.producer.produce(self.topic, value, key=CUT_KEY, partition=0)
            self.producer.commit_transaction(TIMEOUT_S)
        except KafkaException as error:
            raise HeadraceError(
                f"{CUTS}: whether the cut was written is unclear, or another retention took over"
                f" ({error.args[0].str()}): nothing was deleted; do it again"
            ) from error


def look(cluster: Cluster, run: str, keep: Keep, begin: Begin, now_ms: int) -> Outlook:
    """Verify, for every run, and work out the next cut; then verify from that and compare. Writes nothing.

    Raises HeadraceError when the two verdicts differ, DependencyError as `verify_once` does.
    """
    settings = cluster.settings
    runs = runs_in(settings.checkpoint_dir, run)
    proof = verify_once(cluster, runs, CUT_TIMEOUT_S, begin)
    if not proof.report.holds or proof.logs is None or proof.planned is None:
        return Outlook(proof.report)
    trained = [name for name in runs if name == run or not is_ended(settings.checkpoint_dir / name)]
    needs = needs_of_runs(settings.checkpoint_dir, trained, keep.newest or settings.trainer.keep_checkpoints)
    since = now_ms - round(keep.hours * HOUR_MS) if keep.hours else now_ms + HOUR_MS
    again = Reread(proof.logs)
    cut = next_cut(again, proof.planned, min(needs).seq, since, settings.tokenize.shards)
    if cut is None:
        return Outlook(proof.report, needs=sorted(needs))
    cut = cut.model_copy(update={"cluster": cluster.id(), "topics": cluster.topic_ids(), "time": now_ms})
    _check_same(proof.report, proof.logs, proof.manifests, cut, settings)
    needs = sorted([*needs, *_other_needs(cut, proof.planned, keep)], key=lambda need: need.seq)
    rejected_from = cluster.offsets_since(REJECTED, now_ms - round(keep.rejected_hours * HOUR_MS))
    return Outlook(proof.report, cut, rows(proof.logs.cut, cut, needs[0], rejected_from, again.sizes), needs)


def delete(cluster: Cluster, wanted: Sequence[Row]) -> None:
    """Delete what lies below the targets; what is gone already stays gone. Raises DependencyError."""
    places = [
        TopicPartition(cluster.settings.topic(row.topic), row.partition, row.target) for row in wanted if row.records
    ]
    cluster.delete_records(places)


def _other_needs(cut: VerifiedCut, planned: Planned, keep: Keep) -> list[Need]:
    """Of the planner, which goes on behind the plan's end, and of who wants young steps to be kept."""
    end = planned.place(planned.start.step + len(planned.steps))
    assert end is not None, "the place behind the last step is known"
    return [Need(end.seq, "planner"), *([Need(cut.seq, f"younger than {keep.hours:g} hours")] if keep.hours else [])]


def _check_same(
    report: Report, logs: Logs, manifests: Mapping[str, Sequence[Manifest]], cut: VerifiedCut, settings: Settings
) -> None:
    """Verify from the new cut: it must say what verify has just said, or nothing is written, much less deleted."""
    findings = Findings()
    later = Reread(logs, cut)
    found, planned = verify(later, manifests[report.run], report.run, settings, findings)
    for run, of_run in manifests.items():
        if run != report.run:
            check_training(later, of_run, run, settings, planned, findings)
    same = [(one.rows(), one.planned, one.trained, one.saved, one.unsealed) for one in (report, found)]
    if same[0] != same[1] or not found.holds:
        raise HeadraceError(
            f"verify from the new cut would say {found.headline} {sorted(findings.tallies)}, not {report.headline}:"
            " nothing was written or deleted; this is a defect, please report it with the output of `headrace verify`"
        )
