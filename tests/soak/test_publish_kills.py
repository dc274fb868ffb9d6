"""A publisher that is killed again and again, at random moments, publishes every document of its files once."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from headrace.contract.settings import Settings
from headrace.contract.topics import RAW
from headrace.kafka import Cluster

COUNT = 60_000
KILLS = 12


@pytest.mark.timeout(900)
def test_nothing_is_lost_or_repeated_whenever_it_is_killed(settings: Settings, tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"text {number}", "id": number}) + "\n" for number in range(COUNT)]
    (tmp_path / "a.jsonl").write_text("".join(lines[: COUNT // 2]))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress("".join(lines[COUNT // 2 :]).encode()))
    command = [sys.executable, "-m", "headrace.cli.main", "publish", str(tmp_path), "--rate", str(COUNT // 20)]
    environment = {**os.environ, "HEADRACE_CONFIG": "/dev/null", **settings.environment()}
    cluster, dice, seen = Cluster(settings), random.Random(1), 0
    for _ in range(KILLS):
        with subprocess.Popen(command, env=environment) as running:
            while sum(cluster.end_offsets(RAW, committed=False).values()) <= seen:
                assert running.poll() is None, "it ended before it was killed: make COUNT larger"
                time.sleep(0.02)
            time.sleep(1.5 * dice.random())
            running.kill()
        seen = sum(cluster.end_offsets(RAW, committed=False).values())
    assert len(ids(cluster)) < COUNT, "it was killed before the end each time"
    subprocess.run(command[:-2], env=environment, check=True)
    assert Counter(ids(cluster)) == Counter(range(COUNT))


def ids(cluster: Cluster) -> list[int]:
    return [json.loads(message.value() or b"")["id"] for message in cluster.read_all(RAW, {}, cluster.end_offsets(RAW))]
