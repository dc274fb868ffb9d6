"""From the jobs of this version to changed ones, by the real command of the changed version, while documents come."""

from __future__ import annotations

from pathlib import Path

import pytest
from upgrading import Load, changed, ensured, headrace, plan_of, start, wait_for

from headrace import jobs
from headrace.audit.verify import verify_once
from headrace.contract import topics
from headrace.contract.errors import ContractError
from headrace.contract.settings import Settings
from headrace.jobs import CLEAN, JOBS
from headrace.jobs.notes import Begun, Replaced
from headrace.kafka import Cluster

__all__ = ["changed", "ensured"]  # fixtures


@pytest.mark.timeout(600)
def test_an_upgrade_under_load_loses_nothing_and_doubles_nothing(ensured: Settings, changed: Path) -> None:
    settings, cluster = ensured, Cluster(ensured)
    with Load(settings) as coming:
        jobs.ensure(settings)
        wait_for(lambda: sum(cluster.end_offsets(topics.BLOCKS).values()) > 0, "blocks of the old jobs")
        before = {job: plan_of(job.folder(settings)) for job in JOBS}
        done = headrace(changed, settings, "jobs", "upgrade")
        assert done.returncode == 0, done.stdout + done.stderr
        upgraded_at = coming.sent
        wait_for(lambda: coming.sent > upgraded_at + 100, "documents after the upgrade")

    for job in JOBS:
        folder = job.folder(settings)
        assert plan_of(folder) != before[job]
        assert f"state was made by plan {before[job]}, the program is now plan {plan_of(folder)}" in done.stdout
        begun = Begun.read(folder / Begun.FILE)
        assert begun is not None
        assert sum(begun.positions.values()) > 0
        assert plan_of(folder.with_name(begun.before)) == before[job]
        assert (folder.with_name(begun.before) / Replaced.FILE).exists()
    assert "with an empty memory of duplicates" in done.stdout

    def report() -> tuple[int, ...]:
        found = verify_once(cluster, ["main"], 60, lambda _: lambda _: None).report
        assert found.holds, found.wrong()
        return tuple(stage.left for stage in found.stages[:2])

    wait_for(lambda: report() == (coming.sent, coming.sent), f"{coming.sent} documents accepted and in blocks")

    # Where the state fits there is nothing to do, and what was set aside does not fit any more.
    again = headrace(changed, settings, "jobs", "upgrade", "clean")
    assert (again.returncode, "clean: its state fits, nothing to upgrade" in again.stdout) == (0, True), again.stderr
    jobs.stop_all(settings)
    begun = Begun.read(CLEAN.folder(settings) / Begun.FILE)
    assert begun is not None
    CLEAN.folder(settings).rename(settings.data_dir / "of-the-new-version")
    CLEAN.folder(settings).with_name(begun.before).rename(CLEAN.folder(settings))
    with pytest.raises(ContractError, match="of before an upgrade"):
        start(settings, CLEAN)
