"""Near dedup is switched on by `jobs upgrade` on a running stream: nothing is lost, and from then on it finds."""

from __future__ import annotations

import pytest
from upgrading import Load, ensured, headrace, plan_of, wait_for

from headrace import jobs
from headrace.audit.verify import verify_once
from headrace.contract import topics
from headrace.contract.documents import CleanDocument, RejectedHeaders
from headrace.contract.settings import ROOT, Settings
from headrace.jobs import CLEAN, TOKENIZE
from headrace.jobs.notes import Begun
from headrace.kafka import Cluster, coordinate
from tests.conftest import with_values

__all__ = ["ensured"]  # a fixture


@pytest.mark.timeout(1200)
def test_near_dedup_is_switched_on_while_documents_come(ensured: Settings) -> None:
    """All documents of `Load` differ in a number alone, so to near dedup they are one."""
    cluster, near = Cluster(ensured), with_values(ensured, "clean.near_dedup=true")
    with Load(ensured) as coming:
        jobs.ensure(ensured)
        wait_for(lambda: sum(cluster.end_offsets(topics.BLOCKS).values()) > 0, "blocks without near dedup")
        before = {job: plan_of(job.folder(ensured)) for job in (CLEAN, TOKENIZE)}
        done = headrace(ROOT, near, "jobs", "upgrade")
        assert done.returncode == 0, done.stdout + done.stderr
        upgraded_at = coming.sent
        wait_for(lambda: coming.sent > upgraded_at + 200, "documents after the upgrade")

    assert plan_of(CLEAN.folder(near)) != before[CLEAN]
    assert plan_of(TOKENIZE.folder(near)) == before[TOKENIZE], "what does not change goes on"
    begun = Begun.read(CLEAN.folder(near) / Begun.FILE)
    assert begun is not None

    def left() -> int:
        found = verify_once(cluster, ["main"], 60, lambda _: lambda _: None).report
        assert found.holds, found.wrong()
        return found.stages[0].left

    wait_for(lambda: left() == coming.sent, f"an outcome of each of {coming.sent} documents")
    accepted = [document.raw for document in clean(cluster)]
    rejected = list(duplicates(cluster))
    assert sum(offset < begun.positions[partition] for partition, offset in accepted) == len(accepted) - 1
    assert len(accepted) + len(rejected) == coming.sent
    assert {headers.reason for headers in rejected} == {"near_duplicate"}


def clean(cluster: Cluster) -> list[CleanDocument]:
    read = cluster.read_all(topics.CLEAN, {}, cluster.end_offsets(topics.CLEAN))
    return [CleanDocument.decode(record.value(), coordinate(record)) for record in read]


def duplicates(cluster: Cluster) -> list[RejectedHeaders]:
    read = cluster.read_all(topics.REJECTED, {}, cluster.end_offsets(topics.REJECTED))
    return [RejectedHeaders.decode(record.headers(), coordinate(record)) for record in read]
