"""`train.checkpoints` says what is on the disk, on librdkafka's mock of a cluster; and operators get their answer."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from fleet_of_tests import make_settings, write_tokenizer
from prometheus_client import REGISTRY
from test_saving import move, new_run

from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings, load
from headrace.contract.topics import CHECKPOINTS, CONTROL, STEPS
from headrace.contract.training import StepReport
from headrace.control import command, wait_for_checkpoint
from headrace.kafka import Cluster
from headrace.runs import all_told, chosen_run, last_report
from services.planner.throttle import ReportReader, last_step
from trainer.__main__ import announce_all
from trainer.report import Metrics, Reporter, announced, make_producer
from trainer.saver import Failed, Saver
from trainer.state import State


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A run whose broker is a mock, which lives as long as its producer."""
    write_tokenizer(tmp_path / "tokenizer.json")
    cluster = Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1})
    for topic in (STEPS, CHECKPOINTS, CONTROL):
        brokers = cluster.list_topics(topic, timeout=10).brokers
    broker = next(iter(brokers.values()))
    own = make_settings(tmp_path, keep_checkpoints=2)
    yield load(environment=own.environment(), assignments=[f"kafka.brokers={broker.host}:{broker.port}"]).settings
    del cluster


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return Metrics("main")


def saved(saver: Saver, state: State, reporter: Reporter) -> None:
    move(state)
    outcome = saver.save(state)
    assert outcome is not None
    reporter.saved(outcome)
    reporter.idle(state)
    reporter.flush()


def test_what_is_told_is_what_is_there(settings: Settings, metrics: Metrics) -> None:
    cluster = Cluster(settings)
    saver, state = new_run(settings)
    reporter = Reporter(settings, saver.identity, metrics, make_producer(settings), time.time)
    run = saver.checkpoints.directory
    announce_all(reporter, run, cluster)
    planner = ReportReader(cluster)
    heard: list[int] = []
    for _ in range(4):
        saved(saver, state, reporter)
    assert announced(cluster, "main") == {30, 40}
    shutil.rmtree(run / "step-0000000040")
    announce_all(reporter, run, cluster)
    reporter.flush()
    assert announced(cluster, "main") == {30}
    while 39 not in heard:
        heard += [last_step(told) for told in planner.read(10)]
    planner.close()
    assert announced(cluster, "mai") == set(), "the name of another run may begin alike"


def test_the_planner_learns_of_the_main_run_when_it_starts_and_when_it_changes(settings: Settings) -> None:
    cluster = Cluster(settings)
    for run, what in (("a", "promote"), ("b", "promote"), ("b", "stop"), ("a", "checkpoint")):
        command(settings, run, what, time.time())
    planner = ReportReader(cluster)
    assert planner.main == all_told(cluster).main == chosen_run(settings, None) == "b"
    assert chosen_run(settings, "c") == "c"
    asked = command(settings, "main", "promote", time.time())
    heard: list[object] = []
    while not heard:
        heard += planner.read(10)
    planner.close()
    assert heard == [asked]
    assert all_told(cluster).main == "main"


def test_who_asks_for_a_checkpoint_is_told_which_one_or_why_not(settings: Settings, metrics: Metrics) -> None:
    cluster = Cluster(settings)
    saver, state = new_run(settings)
    reporter = Reporter(settings, saver.identity, metrics, make_producer(settings), time.time)
    saved(saver, state, reporter)
    before, asked = last_report(cluster, "main"), command(settings, "main", "checkpoint", time.time())
    assert wait_for_checkpoint(cluster, asked, before, 0).step == 10, "nothing was trained since"
    state.step = 11
    reporter.idle_at = 0
    reporter.idle(state, "No space left on device")
    reporter.saved(Failed(11, "No space left on device"))
    reporter.flush()
    with pytest.raises(DependencyError, match=r"at step 11 after 0 s: No space left on device: free the disk"):
        wait_for_checkpoint(cluster, asked, last_report(cluster, "main"), 0)
    saved(saver, state, reporter)
    assert wait_for_checkpoint(cluster, asked, last_report(cluster, "main"), 10).step == 21


def test_what_is_not_known_yet_is_not_shown(metrics: Metrics) -> None:
    """A loss of 0 before the first step would be a lie."""
    values = {"run": "main", "attempt": "a", "fed": "", "tokens_total": 5, "grad_norm": 1.0, "learning_rate": 0.1}
    more = {"skipped": False, "seconds": {"wait": 2.0}, "age_s": 1.5, "sources": {}, "ranks": 2, "time": 0}
    assert shown("headrace_trainer_loss_nats") is None
    metrics.step(StepReport(seq=1, step=0, loss=3.5, tokens=5, **values, **more))  # type: ignore[arg-type]
    assert shown("headrace_trainer_loss_nats") == 3.5
    assert shown("headrace_trainer_steps_total") == 1
    assert shown("headrace_trainer_seconds_total", part="wait") == 2


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"run": "main", **labels})
