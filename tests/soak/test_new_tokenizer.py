"""Another tokenizer: refused in place; the way that the refusal names is a new deployment, filled from the old one."""

from __future__ import annotations

from pathlib import Path

import pytest
from upgrading import Load, ensured, headrace, wait_for

from headrace import jobs
from headrace.audit.verify import verify_once
from headrace.contract import topics
from headrace.contract.blocks import Block
from headrace.contract.digests import file_sha256
from headrace.contract.settings import ROOT, Settings, load
from headrace.flink import FlinkRest
from headrace.kafka import Cluster, coordinate

__all__ = ["ensured"]  # a fixture
TINY = ROOT / "flink_jobs/tokenizer/tiny"


def left(settings: Settings) -> list[int]:
    """Documents that have passed the clean and the tokenize job; everything holds."""
    found = verify_once(Cluster(settings), ["main"], 60, lambda _: lambda _: None).report
    assert found.holds, found.wrong()
    return [stage.left for stage in found.stages[:2]]


@pytest.mark.timeout(900)
def test_a_new_deployment_takes_over_with_another_tokenizer(ensured: Settings, tmp_path: Path) -> None:
    old = ensured
    prefix = f"next.{old.kafka.topic_prefix}"
    assignments = [f"kafka.topic_prefix={prefix}", f"local.data_dir={tmp_path / 'next'}", f"tokenizer.path={TINY}"]
    new = load(environment=old.environment(), assignments=assignments).settings
    with Load(old) as coming:
        jobs.ensure(old)
        wait_for(lambda: sum(Cluster(old).end_offsets(topics.BLOCKS).values()) > 0, "blocks of the old deployment")
        in_place = load(environment=old.environment(), assignments=[f"tokenizer.path={TINY}"]).settings
        refused = headrace(ROOT, in_place, "jobs", "upgrade")
        assert refused.returncode == 4, refused.stdout
        both = file_sha256(str(old.tokenizer_file)), file_sha256(str(new.tokenizer_file))
        assert all(one in refused.stderr for one in (*both, "kafka.topic_prefix", "headrace publish --from-topic"))

        # The old one goes on, the new one is filled beside it and catches up.
        assert headrace(ROOT, new, "topics", "create").returncode == 0
        jobs.ensure(new)
        copied = headrace(ROOT, new, "publish", "--from-topic", old.topic(topics.RAW))
        assert copied.returncode == 0, copied.stderr
    # Publishers have gone over; what came meanwhile follows, and nothing a second time.
    copied = headrace(ROOT, new, "publish", "--from-topic", old.topic(topics.RAW))
    assert copied.returncode == 0, copied.stderr
    try:
        for settings in (old, new):
            wait_for(lambda one=settings: left(one) == [coming.sent] * 2, f"{coming.sent} documents in blocks")
        cluster = Cluster(new)
        for message in cluster.read_all(topics.BLOCKS, {}, cluster.end_offsets(topics.BLOCKS)):
            assert Block.decode(message.value(), coordinate(message)).tokenizer == both[1]
    finally:
        rest = FlinkRest(new.flink.rest)
        for job in jobs.JOBS:
            if running := jobs.active(new, job, rest.jobs()):
                rest.cancel(running.id)
