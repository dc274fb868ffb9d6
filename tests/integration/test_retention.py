"""`headrace retention` on a real broker: what it deletes and keeps, and what happens when it is killed on the way."""

from __future__ import annotations

import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from headrace.audit.findings import Findings
from headrace.audit.needs import DELETED, Row
from headrace.audit.retention import CutWriter, Keep, Outlook, delete, look
from headrace.audit.start import newest_cut
from headrace.contract.audit import CUT_KEY, VerifiedCut
from headrace.contract.errors import HeadraceError, RecordError
from headrace.contract.settings import Settings
from headrace.contract.topics import (
    BLOCKS,
    CLEAN,
    CLEAN_GROUP,
    CUTS,
    RAW,
    REJECTED,
    TOKENIZE_GROUP,
    WINDOWS,
)
from headrace.kafka import Cluster, producer_config
from tests.integration.in_process import headrace, headrace_json
from tests.integration.test_planner_verify import (
    FakeTrainer,
    PlannerProcess,
    a_world,
    commit,
    kinds,
    small_steps,
    upload,
)
from tests.unit.audit.pieces import RUN, START_MS, WINDOW_MS
from trainer.assemble import Assembler, Pins, Position, Share
from trainer.stream import Stream

NOTHING_MORE = ("--keep-hours", "0", "--keep-rejected-hours", "0", "--yes")
MIDDLE_MS = START_MS + 4 * WINDOW_MS


class Deployment:
    """A path whose jobs and trainer are played by the test. At first four windows of blocks are there, and trained."""

    def __init__(self, settings: Settings, tmp_path: Path) -> None:
        self.settings = settings
        self.tmp_path = tmp_path
        self.cluster = Cluster(settings)
        self.world = a_world(settings)
        self.trainer = FakeTrainer(settings, self.world)
        upload(settings, {RAW: self.world.raw, CLEAN: self.world.clean_log, REJECTED: self.world.rejected})
        commit(settings, CLEAN_GROUP, RAW)
        commit(settings, TOKENIZE_GROUP, CLEAN)
        self.window_blocks = {
            part: next(at for at, packed in enumerate(log) if packed and packed.block.window >= MIDDLE_MS)
            for part, log in self.world.blocks.items()
        }
        self.first = {part: log[: self.window_blocks[part]] for part, log in self.world.blocks.items()}
        self.go_on(self.first, [seal for seal in self.world.windows if seal.start < MIDDLE_MS])

    def rest(self) -> None:
        """The other windows come, are planned by a new planner, and trained."""
        later = {part: log[self.window_blocks[part] :] for part, log in self.world.blocks.items()}
        self.go_on(later, [seal for seal in self.world.windows if seal.start >= MIDDLE_MS])

    def go_on(self, blocks: dict[int, list[Any]], seals: list[Any]) -> None:
        upload(self.settings, {BLOCKS: blocks, WINDOWS: {0: seals}})
        planner = PlannerProcess(self.settings, self.tmp_path / f"planner-{len(self.trainer.steps)}.log")
        try:
            done = sum(step.block_count for step in self.trainer.steps)
            self.trainer.train_until(done + sum(packed is not None for log in blocks.values() for packed in log))
            assert planner.end(signal.SIGTERM) == 0
        finally:
            planner.process.kill()
            planner.process.wait(20)
        self.trainer.finish()

    def firsts(self) -> dict[str, dict[int, int]]:
        return {name: self.cluster.first_offsets(name) for name in DELETED}

    def look(self, **keep: Any) -> Outlook:
        return look(self.cluster, RUN, Keep(**keep), lambda records: lambda more: None, int(time.time() * 1000))

    def write_cut(self, value: bytes) -> None:
        producer = Producer(producer_config(self.cluster.brokers))
        producer.produce(self.settings.topic(CUTS), value, key=CUT_KEY)
        assert producer.flush(10) == 0

    def cut(self) -> VerifiedCut:
        return newest_cut(self.cluster, Findings(), 10)


@pytest.fixture
def path(settings: Settings, tmp_path: Path) -> Deployment:
    return Deployment(small_steps(settings, tmp_path), tmp_path)


def verify(settings: Settings, *options: str) -> tuple[int, dict[str, Any], str]:
    return headrace_json(settings, "verify", "--json", *options)


def totals(report: dict[str, Any]) -> list[int]:
    return [row["entered"] for row in report["stages"]]


def test_what_is_verified_is_deleted_and_the_path_goes_on(path: Deployment) -> None:
    """Half of the documents have come through; 20 and more are still on their way when their like is deleted."""
    code, before, message = verify(path.settings)
    assert (code, before["holds"]) == (0, True), message
    assert before["in_flight"] > 20
    nothing = path.firsts()
    assert headrace_json(path.settings, "retention", "--json")[0] == 2, "it cannot ask, so it must be told"

    code, said, _ = headrace_json(path.settings, "retention", "--dry-run", "--json", *NOTHING_MORE)
    assert (code, said["deleted"], path.firsts()) == (0, False, nothing)
    code, kept, _ = headrace_json(path.settings, "retention", "--json", "--yes", "--keep-hours", "24")
    assert (code, kept["deleted"], path.firsts()) == (0, False, nothing), "all of it is younger than a day"

    code, done, message = headrace_json(path.settings, "retention", "--json", *NOTHING_MORE)
    assert (code, done["deleted"]) == (0, True), message
    assert done["partitions"] == said["partitions"]
    wanted = {(row["topic"], row["partition"]): row["needed_from"] for row in done["partitions"]}
    firsts = path.firsts()
    assert {
        (name, part): at for name, of_topic in firsts.items() for part, at in of_topic.items()
    }.items() <= wanted.items()
    assert all(firsts[name][0] > 10 for name in (RAW, CLEAN, BLOCKS, WINDOWS))
    assert done["needs"][0]["by"].startswith(f"run {RUN}, step-")

    code, after, message = verify(path.settings)
    assert (code, after["holds"]) == (0, True), message
    assert (totals(after), after["in_flight"], after["trained"]) == (
        totals(before),
        before["in_flight"],
        before["trained"],
    )
    assert after["records"] < before["records"] / 2
    assert after["verified_before"]["published"] > 20
    code, full, _ = verify(path.settings, "--full")
    assert (code, "deleted" in kinds(full)) == (4, True)

    path.rest()
    code, end, message = verify(path.settings, "--settled")
    assert (code, end["findings"]) == (0, []), message
    assert totals(end) == [84, 72, 67, 67]
    code, again, _ = headrace_json(path.settings, "retention", "--json", *NOTHING_MORE)
    assert (code, again["deleted"]) == (0, False), "the newest three checkpoints may be trained on from"
    code, again, _ = headrace_json(path.settings, "retention", "--json", "--newest", "1", *NOTHING_MORE)
    assert (code, again["deleted"]) == (0, True)
    assert path.firsts()[BLOCKS][0] > firsts[BLOCKS][0]
    code, end, _ = verify(path.settings, "--settled")
    assert (code, totals(end), end["trained"]) == (0, [84, 72, 67, 67], len(path.trainer.steps))
    a_run_from_before_the_cut_is_told_so(path)


def a_run_from_before_the_cut_is_told_so(path: Deployment) -> None:
    """A trainer that starts from a checkpoint older than what is left ends with 4, and names the offset."""
    first = path.trainer.manifest(1, 0, 0, None)
    pins = Pins(first.cluster, first.topics, first.tokenizer)
    stream = Stream(path.settings, Assembler(Position(1, 0, 0), Share(0, 1, 4), pins))
    with closing(stream), pytest.raises(RecordError, match=r"tokens\.blocks\[\d\]@0: is not there any more") as told:
        for _ in stream:
            pass
    assert told.value.exit_code == 4


def test_a_retention_that_is_killed_on_the_way_loses_nothing(path: Deployment) -> None:
    """And of two at a time the older writes nothing."""
    before = verify(path.settings)[1]
    outlook = path.look()
    assert outlook.cut is not None
    assert path.cut().seq == 0, "looking writes nothing"

    older = CutWriter(path.cluster)
    newer = CutWriter(path.cluster)
    with pytest.raises(HeadraceError, match="nothing was deleted"):
        older.write(outlook.cut)
    newer.write(outlook.cut)  # … and is killed before it deletes anything
    assert path.cut().seq == outlook.cut.seq
    code, report, _ = verify(path.settings)
    assert (code, totals(report), report["in_flight"]) == (0, totals(before), before["in_flight"])
    assert report["records"] < before["records"]
    assert verify(path.settings, "--full")[0] == 0

    some = [row for row in outlook.rows if row.records]
    delete(path.cluster, some[:3])  # … and is killed between two deletions
    code, report, _ = verify(path.settings)
    assert (code, totals(report)) == (0, totals(before))
    code, done, _ = headrace_json(path.settings, "retention", "--json", *NOTHING_MORE)
    assert (code, done["deleted"]) == (0, True)
    firsts = path.firsts()
    assert all(firsts[row.topic][row.partition] == row.target for row in some)
    code, report, _ = verify(path.settings)
    assert (code, totals(report)) == (0, totals(before))

    delete(path.cluster, [Row(BLOCKS, 0, 0, firsts[BLOCKS][0] + 1, "by hand")])
    code, report, _ = verify(path.settings)
    assert (code, "deleted" in kinds(report)) == (4, True), "nobody has verified what was deleted by hand"
    code, _, message = headrace_json(path.settings, "retention", *NOTHING_MORE)
    assert code == 4
    assert "nothing was written or deleted" in message


def test_a_run_that_stands_still_holds_back_and_is_named(path: Deployment) -> None:
    """Another run, whose only checkpoint is of the beginning."""
    folder = path.settings.checkpoint_dir / "other" / "step-0000000000"
    folder.mkdir(parents=True)
    first = path.trainer.manifest(1, 0, 0, None).model_copy(update={"run": "other", "fed": "00" * 16})
    (folder / "manifest.json").write_bytes(first.encode())
    code, _, message = headrace_json(path.settings, "retention", *NOTHING_MORE)
    assert code == 0
    assert "run other, step-0000000000, holds back the most and is not being trained" in message
    assert path.firsts()[BLOCKS] == {0: 0, 1: 0, 2: 0, 3: 0}
    assert "`headrace runs end other`" in message
    wrong = first.model_copy(update={"tokens": 5})
    (folder / "manifest.json").write_bytes(wrong.encode())
    assert headrace_json(path.settings, "retention", *NOTHING_MORE)[0] == 4, "every run is verified, not main alone"

    (folder / "manifest.json").write_bytes(first.encode())
    assert headrace(path.settings, "runs", "end", RUN)[0] == 2, "the planner waits for it"
    code, said, message = headrace(path.settings, "runs", "end", "other")
    assert code == 0, message
    assert "run other has ended" in said
    assert headrace(path.settings, "retention", *NOTHING_MORE)[0] == 0
    assert path.firsts()[BLOCKS][0] > 0, "nothing is kept for a run that has ended"
    for run in ("other", "new"):
        code, _, message = headrace(path.settings, "train", run)
        assert code == 2
        assert f"run {run} has to be trained from step 0 on, and the blocks of its first steps were deleted" in message


def test_cuts_that_lie_are_named(path: Deployment) -> None:
    code, report, message = verify(path.settings, "--cut")
    assert (code, path.cut().step) == (0, 0), "all of it is younger than retention.keep_hours"
    code, report, message = verify(path.settings, "--cut", "--set", "retention.keep_hours=0")
    assert code == 0
    assert "verify begins behind step" in message
    cut = path.cut()
    code, later, _ = verify(path.settings)
    assert (code, totals(later)) == (0, totals(report))
    assert later["records"] < report["records"]
    assert later["verified_before"]["planned"] == cut.counts.planned > 0

    folder = path.settings.checkpoint_dir / "other" / "step-0000000000"  # wanted again, once the cut was behind it
    folder.mkdir(parents=True)
    first = path.trainer.manifest(1, 0, 0, None).model_copy(update={"run": "other", "fed": "00" * 16})
    (folder / "manifest.json").write_bytes(first.encode())
    code, done, _ = headrace_json(path.settings, "retention", "--json", *NOTHING_MORE)
    assert (code, done["deleted"]) == (0, False), "what it needs lies before the cut, so nothing may go"
    assert {row["by"] for row in done["partitions"]} == {"run other, step-0000000000", "kept for ever"}
    (folder / "manifest.json").unlink()

    counts = cut.counts.model_copy(update={"published": cut.counts.published + 1})
    for value, kind in (
        (cut.model_copy(update={"counts": counts}).encode(), "wrong_cut"),
        (cut.model_copy(update={"counts": counts}).sealed().encode(), "wrong_cut"),
        (b"{}", "wrong_cut"),
        (cut.model_copy(update={"cluster": "another"}).sealed().encode(), "pinned"),
        (cut.model_copy(update={"topics": {**cut.topics, RAW: "another"}}).sealed().encode(), "pinned"),
    ):
        path.write_cut(value)
        code, report, _ = verify(path.settings)
        assert (code, kinds(report)) == (4, {kind})
    assert verify(path.settings, "--full")[0] == 0
