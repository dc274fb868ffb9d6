"""A planner that does not know whether its record was committed: it ends, and whoever comes next goes on rightly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from headrace.contract.digests import run_digest
from headrace.contract.plan import Run, Step
from headrace.contract.settings import Settings
from headrace.kafka import Cluster
from services.planner.log import PlanLog, PlanWriteError, ensure_origin
from services.planner.planner import Tail
from tests.integration.test_planner_verify import read_plan, small_steps


class Unclear:
    """A producer whose last answer is lost: the transaction was committed, or was not, and the client times out."""

    def __init__(self, producer: Producer, committed: bool) -> None:
        self.producer = producer
        self.committed = committed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.producer, name)

    def commit_transaction(self, timeout_s: float) -> None:
        if self.committed:
            self.producer.commit_transaction(timeout_s)
        else:
            self.producer.flush(timeout_s)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def step_after(log: PlanLog) -> Step:
    """Some next record of the plan; nothing here looks at its blocks."""
    assert log.last is not None
    tail = Tail.after(log.last)
    run = Run(0, tail.step, tail.step, 1, run_digest([b""]).hex())
    return Step(seq=tail.seq, step=tail.step, blocks=(run,), tokens=1, tokens_before=tail.tokens, next={}, time=0)


@pytest.mark.parametrize("committed", [True, False])
def test_after_an_unclear_commit_the_next_planner_finds_out(
    settings: Settings, tmp_path: Path, committed: bool
) -> None:
    settings = small_steps(settings, tmp_path)
    cluster = Cluster(settings)
    log = PlanLog(cluster)
    ensure_origin(cluster, log, 0)
    log.append(step_after(log))
    log.producer = Unclear(log.producer, committed)  # type: ignore[assignment]
    with pytest.raises(PlanWriteError, match=r"seq 2, step 1 was committed is unclear.*start again") as ended:
        log.append(step_after(log))
    assert ended.value.exit_code == 1, "the supervisor starts it again"

    again = PlanLog(cluster)
    assert again.last is not None
    assert again.last.seq == (2 if committed else 1)
    again.append(step_after(again))
    seqs = [record.seq for record in read_plan(settings)]
    assert seqs == list(range(4 if committed else 3)), "dense, and every record once"
