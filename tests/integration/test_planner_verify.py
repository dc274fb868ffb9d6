"""The real planner process and `headrace verify` on a real broker, on logs that are written with transactions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from headrace.audit.cut import take_cut
from headrace.contract.digests import FED_START, fed_next, file_sha256
from headrace.contract.errors import DependencyError
from headrace.contract.plan import PlanRecord, Step, decode_plan
from headrace.contract.settings import ROOT, Settings
from headrace.contract.topics import BLOCKS, CLEAN, CLEAN_GROUP, PLAN, RAW, REJECTED, STEPS, TOKENIZE_GROUP, WINDOWS
from headrace.contract.training import Manifest
from headrace.kafka import Cluster, consumer_config, coordinate, producer_config, transactional_producer
from headrace.topics import create_topics
from tests.unit.audit.pieces import RUN, all_of, encoded, manifest_of, report_of, transactions
from tests.unit.audit.world import World

STEP_BLOCKS = 5


@pytest.fixture
def planned(settings: Settings, tmp_path: Path) -> Settings:
    return small_steps(settings, tmp_path)


def small_steps(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a tokenizer file and small steps."""
    (tmp_path / "tokenizer.json").write_text("{}")
    changes = {
        "tokenizer": settings.tokenizer.model_copy(update={"path": str(tmp_path / "tokenizer.json")}),
        "planner": settings.planner.model_copy(update={"step_blocks": STEP_BLOCKS, "linger_s": 0.5}),
        "local": settings.local.model_copy(
            update={"ports": settings.local.ports.model_copy(update={"planner_metrics": 0})}
        ),
    }
    return settings.model_copy(update=changes)


class PlannerProcess:
    """`python -m services.planner`, its log lines kept."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.log = log
        environment = {**os.environ, **settings.environment(), "HEADRACE_CONFIG": os.devnull}
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.planner"], cwd=ROOT, env=environment, stdout=file, stderr=file
            )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def wait_for(self, event: str) -> dict[str, Any]:
        return until(
            lambda: next((line for line in self.lines() if event in line["event"]), None), f"{event}: {self.log}"
        )

    def metric(self, name: str) -> float:
        port = self.wait_for("metrics")["port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            text = page.read().decode()
        return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def start(planned: Settings, tmp_path: Path) -> Iterator[Callable[[], PlannerProcess]]:
    """Starts planners; whatever still runs at the end is killed."""
    started: list[PlannerProcess] = []

    def one() -> PlannerProcess:
        started.append(PlannerProcess(planned, tmp_path / f"planner-{len(started)}.log"))
        return started[-1]

    yield one
    for running in started:
        running.process.kill()
        running.process.wait(20)


def until(ask: Callable[[], Any], what: str, timeout_s: float = 40.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return answer


def upload(settings: Settings, logs: dict[str, dict[int, list[Any]]]) -> None:
    """Write logs so that each record gets the offset that it has in its list, aborted transactions included."""
    producer = transactional_producer(settings, "test")
    for name, partitions in logs.items():
        for partition, log in partitions.items():
            for records in transactions(log):
                producer.begin_transaction()
                for record in encoded(records):
                    producer.produce(
                        settings.topic(name), record.value(), partition=partition, headers=record.headers()
                    )
                if records:
                    producer.commit_transaction(10)
                else:
                    producer.produce(settings.topic(name), b"never committed", partition=partition)
                    producer.flush(10)
                    producer.abort_transaction(10)


def upload_world(settings: Settings, world: World) -> None:
    """All that the jobs write, and the positions that they commit."""
    upload(settings, {RAW: world.raw, CLEAN: world.clean_log, REJECTED: world.rejected})
    upload(settings, {BLOCKS: world.blocks, WINDOWS: {0: world.windows}})
    commit(settings, CLEAN_GROUP, RAW)
    commit(settings, TOKENIZE_GROUP, CLEAN)


def commit(settings: Settings, group: str, name: str) -> None:
    """Commit the end of a topic to a job's group."""
    cluster = Cluster(settings)
    consumer = Consumer(consumer_config(cluster.brokers, settings.topic(group)))
    ends = cluster.settled_ends(name, 10)
    offsets = [TopicPartition(settings.topic(name), partition, end) for partition, end in ends.items()]
    until(lambda: committed(consumer, offsets), "the group's coordinator")
    consumer.close()


def committed(consumer: Consumer, offsets: list[TopicPartition]) -> bool:
    try:
        consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        assert error.args[0].retriable() or "WAIT" in error.args[0].name(), error
        return False
    return True


def read_plan(settings: Settings) -> list[PlanRecord]:
    cluster = Cluster(settings)
    end = cluster.end_offsets(PLAN)[0]
    return [decode_plan(message.value(), coordinate(message)) for message in cluster.read(PLAN, 0, 0, end)]


def planned_steps(settings: Settings) -> list[Step]:
    return [record for record in read_plan(settings) if isinstance(record, Step)]


class FakeTrainer:
    """Reports steps as a trainer would, from the blocks of the world."""

    def __init__(self, settings: Settings, world: World) -> None:
        self.settings = settings
        self.world = world
        self.fed = FED_START
        self.steps: list[Step] = []
        self.producer = Producer(producer_config(Cluster(settings).brokers))
        self.save(self.manifest(1, 0, 0, None))

    def train(self, steps: list[Step]) -> None:
        """Report each step that was not reported yet."""
        for step in steps[len(self.steps) :]:
            self.fed = fed_next(self.fed, step.seq, self.world.digests(step))
            self.steps.append(step)
            self.producer.produce(self.settings.topic(STEPS), report_of(step, "a", self.fed).encode())
        assert self.producer.flush(10) == 0

    def train_until(self, blocks: int) -> None:
        """Follow the planner until it has planned so many blocks."""

        def done() -> bool:
            self.train(planned_steps(self.settings))
            return sum(step.block_count for step in self.steps) >= blocks

        until(done, "the planner plans all blocks")

    def finish(self) -> None:
        """Write the checkpoint behind the last step."""
        last = self.steps[-1]
        tokens = last.tokens_before + last.tokens
        self.save(self.manifest(last.seq + 1, last.step + 1, tokens, "step-0000000000"))

    def save(self, manifest: Manifest) -> None:
        folder = self.settings.checkpoint_dir / RUN / f"step-{manifest.step:010d}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_bytes(manifest.encode())

    def manifest(self, seq: int, step: int, tokens: int, parent: str | None) -> Manifest:
        cluster = Cluster(self.settings)
        here = {"cluster": cluster.id(), "topics": cluster.topic_ids(), "tokenizer": self.world.tokenizer}
        return manifest_of("a", seq, step, tokens, self.fed, parent).model_copy(update=here)


def a_world(settings: Settings) -> World:
    world = World(tokenizer=file_sha256(str(settings.tokenizer_file)))
    world.publish()
    world.clean()
    world.pack()
    world.seal()
    return world


def count(world: World) -> int:
    return sum(packed is not None for log in world.blocks.values() for packed in log)


def start_command(settings: Settings, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **settings.environment(), "HEADRACE_CONFIG": os.devnull}
    return subprocess.Popen(
        [sys.executable, "-m", "headrace.cli.main", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_verify(settings: Settings, *options: str) -> subprocess.Popen[str]:
    return start_command(settings, "verify", "--json", *options)


def answer(running: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    """Exit code, report and messages of a command."""
    printed, message = running.communicate(timeout=150)
    return running.returncode, json.loads(printed) if printed.startswith("{") else {}, message


def command(settings: Settings, *words: str) -> tuple[int, dict[str, Any], str]:
    """The same of any `headrace …`; no report unless it prints JSON."""
    return answer(start_command(settings, *words))


def verify(settings: Settings, *options: str) -> tuple[int, dict[str, Any], str]:
    return answer(start_verify(settings, *options))


def kinds(report: dict[str, Any]) -> set[str]:
    return {finding["kind"] for finding in report["findings"]}


def test_a_planner_that_is_killed_and_replaced_plans_every_block_once(
    planned: Settings, start: Callable[[], PlannerProcess]
) -> None:
    world = a_world(planned)
    upload_world(planned, world)
    first = start()
    until(
        lambda: len(planned_steps(planned)) == planned.planner.ahead, "the first steps, as far as the throttle lets it"
    )
    until(lambda: first.metric("headrace_planner_throttled") == 1, "the planner shows that it waits")
    assert first.metric("headrace_planner_steps_total") == 4
    code, report, _ = verify(planned)
    assert (code, report["holds"], report["trained"]) == (0, True, 0)
    assert report["in_flight"] == 67
    assert verify(planned, "--settled")[0] == 4

    waiting = start_verify(planned, "--settled", "--wait", "120")

    trainer = FakeTrainer(planned, world)
    trainer.train_until(30)
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    second = start()
    second.wait_for("ready")
    trainer.train_until(50)

    third = start()
    third.wait_for("ready")
    trainer.train_until(count(world))
    trainer.finish()
    fenced = until(lambda: second.process.poll() is not None, "the second planner is fenced off")
    assert fenced
    assert second.process.returncode == 1
    assert "another planner took over" in second.lines()[-1]["event"]
    assert third.end(signal.SIGTERM) == 0

    code, report, message = answer(waiting)
    assert (code, report["findings"]) == (0, []), message
    assert (report["lost"], report["duplicated"], report["in_flight"]) == (0, 0, 0)
    assert [row["left"] for row in report["stages"]] == [84, 72, 67, 67]
    assert report["trained"] == report["planned"] == len(planned_steps(planned))
    _, later, message = verify(planned, "--settled")  # the one that waited may have looked before the last checkpoint
    assert later["saved"] == later["trained"] == report["trained"], message


def test_a_planner_that_is_told_to_stop_plans_what_it_holds(
    planned: Settings, start: Callable[[], PlannerProcess]
) -> None:
    settings = planned.model_copy(update={"planner": planned.planner.model_copy(update={"linger_s": 3600.0})})
    world = a_world(settings)
    upload(settings, {BLOCKS: {0: [packed for packed in world.blocks[0] if packed][:3]}})
    planner = PlannerProcess(settings, settings.data_dir / "planner.log")
    try:
        planner.wait_for("ready")
        time.sleep(1.0)
        assert planned_steps(settings) == []
        assert planner.end(signal.SIGTERM) == 0
    finally:
        planner.process.kill()
    (step,) = planned_steps(settings)
    assert step.block_count == 3


def test_a_block_of_another_tokenizer_stops_the_planner(planned: Settings, start: Callable[[], PlannerProcess]) -> None:
    planner = start()
    planner.wait_for("ready")
    world = World(tokenizer="u" * 64)
    world.publish()
    world.clean()
    world.pack()
    upload(planned, {BLOCKS: {1: world.blocks[1][:1]}})
    assert planner.process.wait(20) == 4
    said = planner.lines()[-1]["event"]
    assert "tokens.blocks[1]@0" in said
    assert "u" * 64 in said
    assert file_sha256(str(planned.tokenizer_file)) in said


def test_a_record_that_is_no_block_stops_the_planner(planned: Settings, start: Callable[[], PlannerProcess]) -> None:
    upload(planned, {BLOCKS: {2: [b"no block"]}})
    planner = start()
    assert planner.process.wait(20) == 4
    assert "tokens.blocks[2]@0: not a block" in planner.lines()[-1]["event"]


def test_another_tokenizer_file_stops_the_planner(planned: Settings, start: Callable[[], PlannerProcess]) -> None:
    first = start()
    first.wait_for("ready")
    assert first.end(signal.SIGTERM) == 0
    planned.tokenizer_file.write_text("{ }")
    second = start()
    assert second.process.wait(20) == 4
    assert "tokenizer" in second.lines()[-1]["event"]


def test_a_topic_that_was_made_again_is_named_by_planner_and_verify(
    planned: Settings, start: Callable[[], PlannerProcess]
) -> None:
    planner = start()
    planner.wait_for("ready")
    assert planner.end(signal.SIGTERM) == 0
    assert verify(planned)[0] == 0
    cluster = Cluster(planned)
    (deletion,) = cluster.admin.delete_topics([planned.topic(CLEAN)]).values()
    deletion.result()
    until(lambda: CLEAN not in cluster.partitions([CLEAN]), "the topic is gone")
    assert kinds(verify(planned)[1]) == {"pinned"}
    create_topics(cluster)
    code, report, _ = verify(planned)
    assert (code, kinds(report)) == (4, {"pinned"})
    assert "pins topic text.clean with id" in report["findings"][0]["examples"][0]
    again = start()
    assert again.process.wait(20) == 4
    assert "pins topic text.clean" in again.lines()[-1]["event"]


def test_logs_that_are_broken_on_the_broker_are_named(planned: Settings, start: Callable[[], PlannerProcess]) -> None:
    """A document accepted twice, and a document whose last tokens are in no block."""
    world = World(tokenizer=file_sha256(str(planned.tokenizer_file)))
    world.publish()
    world.clean()
    twice = next(one for one in world.clean_log[0] if one)
    world.clean_log[1].append(twice)
    world.pack(keep=lambda raw: all_of(raw)[:-1] if raw == world.accepted()[30] else all_of(raw))
    world.seal()
    upload_world(planned, world)
    code, report, _ = verify(planned)
    assert code == 4
    assert {"two_outcomes", "cut_document"} <= kinds(report)
    assert report["lost"] == 1


def test_the_cut_waits_until_open_transactions_are_decided(settings: Settings) -> None:
    cluster = Cluster(settings)
    producer = transactional_producer(settings, "test")
    producer.begin_transaction()
    producer.produce(settings.topic(CLEAN), b"{}", partition=1)
    producer.flush(10)
    with pytest.raises(DependencyError, match=r"text\.clean\[1\]@0: a transaction is open"):
        take_cut(cluster, timeout_s=1.0)
    producer.abort_transaction(10)
    cut = take_cut(cluster, timeout_s=10.0)
    assert cut.end[CLEAN][1] == 2, "the record and the marker"
    assert list(cluster.read(CLEAN, 1, 0, 2)) == []


def test_without_topics_or_broker_verify_says_what_is_missing(settings: Settings) -> None:
    code, _, message = verify(
        settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"topic_prefix": "none."})})
    )
    assert code == 3
    assert "does not exist: make it with `headrace topics create`" in message
