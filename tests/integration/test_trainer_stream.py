"""Real ranks on a real broker: the same plan gives the same weights, whatever is killed, stopped or resized."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from conftest import with_values
from forked_fleet import ForkedFleet
from tokenizers import Tokenizer, models
from typer.testing import CliRunner

from headrace.checkpoints import pin, read
from headrace.cli import replaying
from headrace.cli.main import app
from headrace.contract.blocks import Block
from headrace.contract.digests import block_digest, file_sha256, run_digest
from headrace.contract.errors import ContractError, DependencyError, RecordError, SettingsError
from headrace.contract.events import RANK_ENDED, TRAINING
from headrace.contract.fleet import read as read_fleet
from headrace.contract.plan import Origin, Run, Step
from headrace.contract.settings import Settings, flatten
from headrace.contract.topics import BLOCKS, CHECKPOINTS, PLAN, STEPS
from headrace.contract.training import IdleReport, Manifest, Replayed, StepReport, decode_report
from headrace.control import command, wait_for_checkpoint
from headrace.kafka import Cluster, coordinate, transactional_producer
from headrace.runs import RunView, add_reports, last_report, look_at_disk, shelf
from trainer.assemble import Assembler, Pins, Position, Share, Work
from trainer.model import load_model
from trainer.report import announced
from trainer.state import State
from trainer.stream import Stream

VOCABULARY = 256
STEP_BLOCKS = 6


@dataclass
class Log:
    """Writes blocks and the plan as the tokenize job and the planner do, from a table of what it has written."""

    settings: Settings
    tokenizer: str
    blocks: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    """Partition, offset, tokens and digest of every block, in plan order."""
    planned: int = 0
    tail: Step | None = None

    def write_blocks(self, count: int, seed: int) -> None:
        """Blocks of 8 to 64 tokens on all partitions, in several transactions, an aborted one before each."""
        producer = transactional_producer(self.settings, f"blocks-{seed}")
        dice = np.random.default_rng(seed)
        topic = self.settings.topic(BLOCKS)
        before = Cluster(self.settings).end_offsets(BLOCKS)
        for first in range(0, count, 20):
            for abort in (True, False):
                producer.begin_transaction()
                for number in range(first, min(first + 20, count)):
                    producer.produce(topic, make_block(dice, self.tokenizer).encode(), partition=number % 4)
                producer.flush(30)
                producer.abort_transaction(30) if abort else producer.commit_transaction(30)
        cluster = Cluster(self.settings)
        new = list(cluster.read_all(BLOCKS, before, cluster.settled_ends(BLOCKS, 30)))
        assert len(new) == count, "the aborted ones are not read"
        found = [
            (at.partition, at.offset, len(Block.decode(message.value(), at).tokens), block_digest(message.value()))
            for message in new
            if (at := coordinate(message))
        ]
        self.blocks += sorted(found, key=lambda one: one[1])

    def write_plan(self, steps: int, **changes: object) -> None:
        """Plan `steps` more steps, of 1 to STEP_BLOCKS blocks each."""
        producer = transactional_producer(self.settings, "planner")
        producer.begin_transaction()
        if self.tail is None:
            cluster = Cluster(self.settings)
            self._send(producer, Origin(cluster=cluster.id(), topics=cluster.topic_ids(), tokenizer=self.tokenizer,
                                        time=0))  # fmt: skip
        for _ in range(steps):
            size = 1 + (self.tail.step + 1 if self.tail else 0) * 5 % STEP_BLOCKS
            self.tail = self._step(sorted(self.blocks[self.planned : self.planned + size]))
            self.planned += size
            self._send(producer, self.tail.model_copy(update=changes))
        producer.commit_transaction(30)

    def _step(self, blocks: list[tuple[int, int, int, bytes]]) -> Step:
        last = self.tail
        runs = []
        for partition in sorted({block[0] for block in blocks}):
            own = [block for block in blocks if block[0] == partition]
            digest = run_digest(block[3] for block in own).hex()
            runs.append(Run(partition, own[0][1], own[-1][1], len(own), digest))
        return Step(
            seq=last.seq + 1 if last else 1,
            step=last.step + 1 if last else 0,
            blocks=tuple(runs),
            tokens=sum(block[2] for block in blocks),
            tokens_before=last.tokens_before + last.tokens if last else 0,
            next={**(last.next if last else {}), **{run.partition: run.last + 1 for run in runs}},
            time=0,
        )

    def _send(self, producer: Producer, record: Origin | Step) -> None:
        producer.produce(self.settings.topic(PLAN), record.encode(), partition=0)


def make_block(dice: np.random.Generator, tokenizer: str) -> Block:
    length = int(dice.integers(8, 65))
    start = np.array([0, length // 3], np.int32)
    return Block(
        tokens=(dice.zipf(1.3, length) % VOCABULARY).astype(np.uint16),
        doc_raw=np.array([[0, 1], [1, 2]]),
        doc_start=start,
        doc_from=np.zeros(2, np.int32),
        doc_tokens=np.diff(start, append=length).astype(np.int32),
        doc_before=np.zeros(2, np.int32),
        doc_source=np.array([0, 1], np.int32),
        sources=("chat", "mail"),
        tokenizer=tokenizer,
        window=0,
        shard=0,
        number=0,
    )


@pytest.fixture
def log(settings: Settings, tmp_path: Path) -> Log:
    """Empty topics, a tokenizer of numbers, and a tiny model that saves every 10 steps."""
    file = tmp_path / "tokenizer.json"
    Tokenizer(models.WordLevel({str(number): number for number in range(VOCABULARY)}, "0")).save(str(file))
    values = {"model": "tiny", "leaf_blocks": 2, "checkpoint_steps": 10, "warmup_tokens": 1000, "fetch_timeout_s": 20}
    own = with_values(
        settings,
        f"tokenizer.path={file}",
        "tokenize.block_tokens=64",
        "local.ports.trainer_metrics=0",
        *(f"trainer.{name}={value}" for name, value in values.items()),
    )
    return Log(own, file_sha256(str(file)))


class Trainer:
    """A running fleet."""

    def __init__(self, settings: Settings, output: Path) -> None:
        self.settings = settings
        self.output = output
        environment = {**os.environ, "HEADRACE_CONFIG": "/dev/null", **settings.environment()}
        self.process = ForkedFleet(environment, output)

    def wait_for_step(self, step: int) -> None:
        """Until the run has reported that it applied a step, in this attempt or an earlier one."""
        self.wait_until(lambda: any(report.step >= step for report in reports(self.settings)), f"step {step}")

    def wait_until(self, done: Callable[[], Any], what: str) -> None:
        """Until it is so, while the fleet lives."""
        try:
            wait_until(lambda: done() or self.process.exit_code is not None, what)
            assert self.process.exit_code is None, f"the fleet ended with {self.process.exit_code}"
        except AssertionError as error:
            error.add_note(self.output.read_text())
            raise

    def rank_pids(self) -> tuple[int, ...]:
        """The ranks' processes, by rank."""
        said = read_fleet(self.settings.data_dir, self.settings.trainer.run)
        assert said is not None
        assert said.pid == self.process.pid
        return said.ranks

    def logged(self, event: str) -> list[dict[str, Any]]:
        """What fleet and ranks have logged of one kind."""
        lines = (line for line in self.output.read_text().splitlines() if line.startswith("{"))
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def wait_until(done: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.1)


@contextmanager
def fleet(log: Log, run: str, ranks: int) -> Iterator[Trainer]:
    """A fleet of its own run; whatever is left of it at the end is killed."""
    settings = with_values(log.settings, f"trainer.run={run}", f"trainer.ranks={ranks}")
    trainer = Trainer(settings, log.settings.data_dir / f"{run}-{ranks}-{time.monotonic_ns()}.log")
    try:
        yield trainer
    finally:
        trainer.process.send_signal(signal.SIGKILL)
        trainer.process.wait(60)


def reports(settings: Settings, kind: type = StepReport) -> list[StepReport]:
    """What a run has reported so far."""
    cluster = Cluster(settings)
    found = [
        decode_report(message.value(), coordinate(message))
        for message in cluster.read_all(STEPS, {}, cluster.end_offsets(STEPS))
    ]
    return [report for report in found if isinstance(report, kind) and report.run == settings.trainer.run]


def newest(settings: Settings) -> Manifest:
    file = max((settings.checkpoint_dir / settings.trainer.run).glob("step-*/manifest.json"))
    return Manifest.model_validate_json(file.read_bytes())


@pytest.mark.timeout(300)
def test_killed_and_resized_runs_end_with_the_weights_of_uninterrupted_ones(log: Log) -> None:
    """2 ranks, one killed in mid-run; resumed by 1, stopped; resumed by 3: against 1, 2 and 3 ranks in one go."""
    log.write_blocks(150, seed=1)
    log.write_plan(15)
    with fleet(log, "broken", 2) as trainer:
        trainer.wait_for_step(10)
        os.kill(trainer.rank_pids()[1], signal.SIGKILL)
        trainer.wait_until(lambda: len(trainer.logged(TRAINING)) == 4, "second attempt")
        log.write_plan(3)
        trainer.wait_for_step(17)
        assert trainer.end() == 0
    settings = trainer.settings
    assert newest(settings).step == 18
    assert len(all_attempts(settings)) == 2, "the fleet has lived on"
    log.write_plan(12)
    with fleet(log, "broken", 1) as trainer:
        trainer.wait_for_step(24)
        assert trainer.end() == 0
    assert 25 <= newest(settings).step <= 30
    log.write_plan(10)
    whole = {ranks: f"whole{ranks}" for ranks in (1, 2, 3)}
    with ExitStack() as open_fleets:
        fleets = [open_fleets.enter_context(fleet(log, run, ranks)) for ranks, run in [*whole.items(), (3, "broken")]]
        for trainer in fleets:
            trainer.wait_for_step(39)
            assert trainer.end() == 0

    manifests = [newest(trainer.settings) for trainer in fleets]
    assert [manifest.step for manifest in manifests] == [40] * 4
    assert len({manifest.weights for manifest in manifests}) == 1
    assert len({manifest.fed for manifest in manifests}) == 1
    losses = {report.step: report.loss for report in reports(fleets[0].settings)}
    for report in reports(settings):
        assert report.loss == losses[report.step], "a repeated step has the same loss to the bit"
    assert ancestry(settings) == [40, *sorted({m.step for m in all_manifests(settings)} - {40}, reverse=True)]


def all_attempts(settings: Settings) -> set[str]:
    return {report.attempt for report in [*reports(settings), *reports(settings, IdleReport)]}


@pytest.mark.timeout(180)
def test_a_rank_that_stands_still_is_named_with_its_step_and_replaced(log: Log) -> None:
    """Rank 1 stands still; rank 0 gives up on it, and says for whom it has waited."""
    log.settings = with_values(log.settings, "trainer.collective_timeout_s=15", "trainer.watchdog_s=60")
    log.write_blocks(60, seed=7)
    log.write_plan(4)
    with fleet(log, "stopped", 2) as trainer:
        trainer.wait_for_step(3)
        os.kill(trainer.rank_pids()[1], signal.SIGSTOP)
        log.write_plan(3)
        trainer.wait_until(lambda: any(report.step == 6 for report in reports(trainer.settings)), "step 6")
        assert trainer.end() == 0
    said = trainer.output.read_text()
    assert "rank 0 of 2 lost a peer, before plan record 5: rank 1 was last seen in wait of step 4 since" in said
    first, second = trainer.logged(RANK_ENDED)
    assert (first["rank"], first["code"], first["step"], first["in"]) == (0, 1, 4, "checkpoint"), "where it saved"
    assert (second["rank"], second["code"], second["step"], second["in"]) == (1, 137, 4, "wait")
    assert [report.step for report in reports(trainer.settings)] == list(range(7)), "rank 0 saved before it ended"


def all_manifests(settings: Settings) -> list[Manifest]:
    directory = settings.checkpoint_dir / settings.trainer.run
    files = [*directory.glob("step-*/manifest.json"), *directory.glob("history/step-*.json")]
    return [Manifest.model_validate_json(file.read_bytes()) for file in files]


def ancestry(settings: Settings) -> list[int]:
    """Steps from the newest manifest to the first, by their parents."""
    by_name = {f"step-{manifest.step:010d}": manifest for manifest in all_manifests(settings)}
    steps, name = [], max(by_name)
    while name is not None:
        steps.append(by_name[name].step)
        name = by_name[name].parent
    return steps


@pytest.mark.timeout(180)
def test_operators_save_stop_and_resume_a_run(log: Log) -> None:
    """And ranks whose launcher is killed save what they have, and leave."""
    log.write_blocks(60, seed=2)
    log.write_plan(4)
    cluster = Cluster(log.settings)
    with fleet(log, "obedient", 2) as trainer:
        trainer.wait_for_step(3)
        for _ in range(2):  # to ask twice is to ask once
            before = last_report(cluster, "obedient")
            asked = command(log.settings, "obedient", "checkpoint", time.time())
            assert wait_for_checkpoint(cluster, asked, before, 60).step == 4
        command(log.settings, "somebody-else", "stop", time.time())
        log.write_plan(2)
        trainer.wait_for_step(5)
        command(log.settings, "obedient", "stop", time.time())
        assert trainer.process.wait(60) == 0
    assert newest(trainer.settings).step == 6
    seen = look_at_runs(log.settings)["obedient"]
    assert (seen.live, seen.halted, seen.as_json()["step"], seen.as_json()["saved_step"]) == (False, True, 6, 6)
    asked = command(log.settings, "obedient", "checkpoint", time.time())
    assert wait_for_checkpoint(cluster, asked, last_report(cluster, "obedient"), 0).step == 6, "it is there already"
    with pytest.raises(DependencyError, match="no checkpoint of run obedient at step 7 after 0 s"):
        wait_for_checkpoint(cluster, asked, StepReport.model_construct(step=6), 0)
    log.write_plan(2)
    with fleet(log, "obedient", 1) as trainer:
        trainer.wait_until(lambda: [r for r in reports(trainer.settings, IdleReport) if r.step == 6], "idle report")
        assert max(report.step for report in reports(trainer.settings)) == 5, "halted, though there is work"
        command(log.settings, "obedient", "resume", time.time())
        trainer.wait_for_step(7)
        seen = look_at_runs(log.settings)["obedient"]
        assert (seen.live, seen.halted, seen.as_json()["ranks"], len(seen.attempts)) == (True, False, 1, 2)
        pids = trainer.rank_pids()
        trainer.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "end of the ranks")
    assert newest(trainer.settings).step == 8


def look_at_runs(settings: Settings) -> dict[str, RunView]:
    """Every run, as an operator sees it."""
    runs = look_at_disk(settings)
    add_reports(runs, Cluster(settings), time.time())
    return runs


@pytest.mark.timeout(300)
def test_a_replay_gives_the_weights_that_were_saved_and_finds_one_wrong_bit(log: Log, monkeypatch: Any) -> None:
    """Steps 4 to 7, trained by two ranks, again by one; then the checkpoint of step 8 is changed and signed anew."""
    log.settings = with_values(log.settings, "trainer.checkpoint_steps=4", "trainer.checkpoint_async=false")
    log.write_blocks(60, seed=8)
    log.write_plan(9)
    with fleet(log, "replayed", 2) as trainer:
        trainer.wait_for_step(8)
        assert trainer.end() == 0
    run = trainer.settings.checkpoint_dir / "replayed"
    again: list[Replayed] = []

    def once(*args: Any, **more: Any) -> Replayed:
        again[:] = again or [train_again(*args, **more)]
        return again[0]

    train_again = replaying.train_again
    monkeypatch.setattr(replaying, "train_again", once)
    before = left_by(log, run)
    assert replay(trainer.settings, "4:8", 0)["equal"]
    assert left_by(log, run) == before, "the run and its topics are as they were"
    sign_anew(run / "step-0000000008", flip=-1)
    different = replay(trainer.settings, "4:8", 4)
    assert (different["same_fed"], different["reasons"]) == (True, [])
    assert different["then"] == read(run / "step-0000000008").manifest.weights != different["now"]
    (run / "step-0000000004/optimizer.safetensors").write_bytes(b"torn")
    with pytest.raises(RecordError, match="optimizer"):
        replaying.check_again(trainer.settings, "replayed", "4:8", json=True)
    for span, said in {
        "5:8": "nearest are 4, 8, 9",
        "4:7": "nearest are",
        "8:4": "two steps",
        "all": "50:100",
    }.items():
        with pytest.raises(SettingsError, match=said):
            replaying.check_again(trainer.settings, "replayed", span, json=True)


def replay(settings: Settings, span: str, code: int) -> dict[str, Any]:
    """What `headrace verify --replay` prints; it must end with `code`."""
    assignments = [f"--set={key}={value}" for key, value in flatten(settings.model_dump(exclude_defaults=True))]
    result = CliRunner().invoke(app, ["verify", "--replay", span, "--run", "replayed", "--json", *assignments])
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def left_by(log: Log, run: Path) -> tuple[Any, ...]:
    """What a replay must leave as it is."""
    cluster = Cluster(log.settings)
    files = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(run.rglob("*"))}
    return cluster.end_offsets(STEPS), cluster.end_offsets(CHECKPOINTS), files


def sign_anew(directory: Path, flip: int) -> None:
    """Change one bit of the weights, and let the manifest say what they are now."""
    file = directory / "model.safetensors"
    value = bytearray(file.read_bytes())
    value[flip] ^= 1
    file.write_bytes(value)
    manifest = read(directory).manifest
    files = [one.model_copy(update={"sha256": file_sha256(str(directory / one.name))}) for one in manifest.files]
    model = load_model(directory)
    weights = State(model, None).weights_sha256()  # type: ignore[arg-type]  # nothing is trained
    assert weights != manifest.weights
    changed = manifest.model_copy(update={"files": tuple(files), "weights": weights})
    (directory / "manifest.json").write_bytes(changed.encode())


@pytest.mark.timeout(180)
def test_what_was_pruned_is_taken_back_and_a_pin_holds_through_a_restart(log: Log) -> None:
    """Saves every 2 steps and keeps one; step 4 is pinned as it comes out; one directory is gone behind our back."""
    often = ("trainer.checkpoint_steps=2", "trainer.keep_checkpoints=1", "trainer.checkpoint_async=false")
    log.settings = with_values(log.settings, *often)
    cluster = Cluster(log.settings)
    log.write_blocks(40, seed=6)
    log.write_plan(4)
    with fleet(log, "pruned", 1) as trainer:
        trainer.wait_until(lambda: announced(cluster, "pruned") == {4}, "checkpoint of step 4, and of no other")
        run = trainer.settings.checkpoint_dir / "pruned"
        pin(run, 4, "reference")
        log.write_plan(5)
        trainer.wait_until(lambda: announced(cluster, "pruned") == {4, 8}, "checkpoint of step 8")
        assert trainer.end() == 0
    assert announced(cluster, "pruned") == {4, 9}
    shutil.rmtree(run / "step-0000000009")
    with fleet(log, "pruned", 1) as trainer:
        trainer.wait_until(lambda: 9 not in announced(cluster, "pruned"), "word that step 9 is gone")
        trainer.wait_until(
            lambda: 8 in [report.step for report in reports(trainer.settings)][9:], "report of step 8 once more"
        )
        assert trainer.end() == 0
    assert [(one.step, one.why, one.note) for one in shelf(trainer.settings)] == [
        (4, ("pinned",), "reference"),
        (9, ("last",), ""),
    ]
    assert ancestry(trainer.settings) == [9, 8, 6, 4, 2, 0]


def read_steps(log: Log, count: int, position: Position = Position(1, 0, 0), **pins: str) -> list[Work]:
    """The next steps as rank 1 of 2 gets them."""
    cluster = Cluster(log.settings)
    found = {"cluster": cluster.id(), "tokenizer": log.tokenizer, **pins}
    topics = cluster.topic_ids()
    share = Share(1, 2, log.settings.trainer.leaf_blocks)
    stream = Stream(log.settings, Assembler(position, share, Pins(found["cluster"], topics, found["tokenizer"])))
    taken: list[Work] = []
    try:
        for work in stream:
            taken += [work] if work is not None else []
            if len(taken) == count:
                return taken
        raise AssertionError("a stream does not end by itself")
    finally:
        stream.close()


def test_a_stream_begins_anywhere_and_keeps_only_its_share(log: Log) -> None:
    log.write_blocks(60, seed=3)
    log.write_plan(12)
    whole = read_steps(log, 12)
    assert [work.step.step for work in whole] == list(range(12))
    for work in whole:
        planned = [at for run in work.step.blocks for at in offsets(log, run)]
        first_half = -(-len(planned) // 2) // 2 * 2  # leaves of two blocks; rank 0 has the first half of the leaves
        assert [(one.at.partition, one.at.offset) for one in work.blocks] == planned[first_half:]
    middle = whole[7].step
    assert read_steps(log, 5, Position(middle.seq, middle.step, middle.tokens_before)) == whole[7:]


def offsets(log: Log, run: Run) -> list[tuple[int, int]]:
    return [(p, o) for p, o, _, _ in sorted(log.blocks) if p == run.partition and run.first <= o <= run.last]


def test_what_a_stream_cannot_trust_is_a_typed_error(log: Log) -> None:
    log.write_blocks(20, seed=4)
    log.write_plan(2)
    with pytest.raises(ContractError, match="cluster"):
        read_steps(log, 1, cluster="another")
    with pytest.raises(ContractError, match="tokenizer"):
        read_steps(log, 1, tokenizer="another")
    with pytest.raises(RecordError, match="not of one plan"):
        read_steps(log, 1, Position(2, 1, 5))
    log.write_plan(1, seq=9)
    with pytest.raises(RecordError, match="gap"):
        read_steps(log, 3)


def test_a_planned_block_that_does_not_come_is_a_missing_dependency(log: Log) -> None:
    log.settings = with_values(log.settings, "trainer.fetch_timeout_s=2")
    log.write_blocks(4, seed=5)
    log.write_plan(1)
    _, _, tokens, digest = log.blocks[-1]
    log.blocks.append((3, 1000, tokens, digest))
    log.write_plan(1)
    with pytest.raises(DependencyError, match=r"waits for 1 of the .* to 1000 of partition 3"):
        read_steps(log, 2)
