"""Partitions are added to each topic that may grow, while documents come: all of them go through, none twice."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from upgrading import Load, ensured, headrace, wait_for

from headrace import jobs
from headrace.audit.verify import verify_once
from headrace.contract import topics
from headrace.contract.settings import ROOT, Settings, load
from headrace.kafka import Cluster

__all__ = ["ensured"]  # a fixture


@pytest.mark.timeout(900)
def test_documents_in_added_partitions_go_all_the_way_to_the_plan(ensured: Settings) -> None:
    # No trainer: so many steps may lie ahead of it.
    settings = load(environment=ensured.environment(), assignments=["planner.ahead=100000"]).settings
    cluster = Cluster(settings)
    planner = subprocess.Popen(
        [sys.executable, "-m", "services.planner"],
        cwd=ROOT,
        env={**os.environ, **settings.environment(), "HEADRACE_CONFIG": os.devnull},
        stdout=subprocess.DEVNULL,
    )
    try:
        with Load(settings) as coming:
            jobs.ensure(settings)
            wait_for(lambda: sum(cluster.end_offsets(topics.BLOCKS).values()) > 0, "blocks")
            for topic, partitions in ((topics.RAW, 6), (topics.CLEAN, 5), (topics.REJECTED, 3), (topics.BLOCKS, 6)):
                grown = headrace(ROOT, settings, "topics", "grow", topic, str(partitions))
                assert grown.returncode == 0, grown.stderr
                assert cluster.partitions([topic]) == {topic: partitions}
            coming.partitions = 6
            for topic in (topics.RAW, topics.BLOCKS):
                wait_for(lambda name=topic: cluster.end_offsets(name)[5] > 0, f"a record in {topic}[5]")
            group = {topics.RAW: "clean", topics.CLEAN: "tokenize"}
            for topic, name in group.items():
                wait_for(lambda t=topic, g=name: len(cluster.committed(g, t)) == cluster.partitions([t])[t], topic)

        def left() -> list[int]:
            found = verify_once(cluster, ["main"], 60, lambda _: lambda _: None).report
            assert found.holds, found.wrong()
            return [stage.left for stage in found.stages[:3]]

        wait_for(lambda: left() == [coming.sent] * 3, f"{coming.sent} documents accepted, in blocks and planned")
    finally:
        planner.terminate()
        planner.wait(60)
