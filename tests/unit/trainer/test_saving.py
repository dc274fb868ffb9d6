"""When and how a run is saved changes nothing that it learns; a disk that is full costs no run and no checkpoint."""

import os
import resource
import shutil
import subprocess
from collections import namedtuple
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from fleet_of_tests import (
    SOURCE,
    Outcome,
    Told,
    die_while_writing,
    kept_steps,
    make_folder,
    make_settings,
    my_work,
    on_ranks,
    open_run,
    outcome,
    train_until,
    write_tokenizer,
)
from hypothesis import given
from hypothesis import strategies as st

from headrace.checkpoints import finished, is_locked, lock, pin, pins, tiers, unpin
from headrace.contract.errors import DependencyError, SettingsError
from headrace.contract.settings import Settings
from headrace.contract.training import StepReport
from trainer.checkpoint import Checkpoints
from trainer.group import Group
from trainer.loop import train
from trainer.model import new_model
from trainer.optimizer import apply_update
from trainer.saver import Failed, Saved, Saver
from trainer.schedule import Schedule
from trainer.start import begin, identify
from trainer.state import State

CPU = torch.device("cpu")
STEPS = 12


def move(state: State) -> None:
    """Learn something."""
    total = torch.ones(sum(parameter.numel() for parameter in state.parameters))
    apply_update(state.optimizer, state.parameters, total, 1, 0.01, 1.0)
    state.step, state.seq = state.step + 10, state.seq + 10


def new_run(settings: Settings, background: bool = False, **more: Any) -> tuple[Saver, State]:
    """A run that has its first checkpoint."""
    checkpoints = Checkpoints.of(settings)
    checkpoints.history.mkdir(parents=True, exist_ok=True)
    begin(settings, checkpoints, SOURCE, CPU, lambda: 1.0)
    first = checkpoints.newest()
    assert first is not None
    state = State.load(first.path, first.manifest, settings.trainer, CPU)
    identity = identify(settings, "attempt", SOURCE, state.model, CPU)
    return Saver(checkpoints, identity, settings.tokenizer_file, lambda: 2.0, first, background, **more), state


def kept(saver: Saver) -> list[int]:
    return [checkpoint.manifest.step for checkpoint in finished(saver.checkpoints.directory)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_tokenizer(tmp_path / "tokenizer.json")
    return make_settings(tmp_path, keep_checkpoints=2)


def test_why_a_checkpoint_is_kept() -> None:
    assert tiers([0, 40, 90, 120, 160, 210], {90}, last=2, every=100) == {
        0: ("every",),
        40: (),
        90: ("pinned",),
        120: ("every",),
        160: ("last",),
        210: ("last", "every"),
    }
    assert tiers([0, 50], (), last=1, every=0) == {0: (), 50: ("last",)}
    assert tiers([], (), last=3, every=10) == {}


@given(st.lists(st.integers(1, 70), min_size=1, max_size=40), st.integers(1, 4), st.integers(1, 200))
def test_pruning_at_every_save_leaves_one_checkpoint_of_each_stretch(gaps: list[int], last: int, every: int) -> None:
    """Whatever the distances are: what is kept for ever was kept from the beginning."""
    left: list[int] = []
    whole = [sum(gaps[:count]) for count in range(len(gaps) + 1)]
    for step in whole:
        left = [step for step, why in tiers([*left, step], (), last, every).items() if why]
    firsts = {step // every: step for step in reversed(whole)}
    assert set(left) == {*firsts.values(), *whole[-last:]}


def test_a_pin_outlives_pruning_and_restarts_until_it_is_taken_away(settings: Settings) -> None:
    saver, state = new_run(settings)
    run = saver.checkpoints.directory
    pin(run, 0, "reference")
    for _ in range(3):
        move(state)
        saver.save(state)
    assert kept(saver) == [0, 20, 30]
    assert pins(run) == {0: "reference"}
    with pytest.raises(SettingsError, match=r"no checkpoint of step 10 with weights: there are 0, 20, 30"):
        pin(run, 10, "")
    unpin(run, 0)
    move(state)
    saved = saver.save(state)
    assert saved is not None
    assert saved.pruned == [0, 20]
    assert kept(saver) == [30, 40]


def test_what_is_pinned_goes_not_even_where_it_is_torn(settings: Settings) -> None:
    saver, state = new_run(settings)
    run = saver.checkpoints.directory
    for _ in range(2):
        move(state)
        saver.save(state)
    pin(run, 20, "")
    (run / "step-0000000020/model.safetensors").unlink()
    again, older = new_run(settings)
    assert again.last is not None
    assert again.last.manifest.step == 10
    older.step, older.seq = 15, 16
    again.save(older)
    assert (run / "step-0000000020/optimizer.safetensors").exists()


def test_who_trains_a_run_is_seen_from_outside(settings: Settings) -> None:
    saver, _ = new_run(settings)
    run = saver.checkpoints.directory
    assert not is_locked(run), "nobody ever did"
    file = lock(run)
    assert file is not None
    assert is_locked(run)
    os.close(file)
    assert not is_locked(run)


def test_a_copy_is_the_state_and_stays_as_it_was(settings: Settings, tmp_path: Path) -> None:
    _, state = new_run(settings)
    room = None
    for _ in range(2):
        before, room = state.weights_sha256(), state.copy(room)
        move(state)
        assert room.weights_sha256() == before != state.weights_sha256()
    room = state.copy(room)
    for name, one in (("state", state), ("copy", room)):
        (tmp_path / name).mkdir()
        one.write(tmp_path / name)
    for file in ("model.safetensors", "optimizer.safetensors", "config.json"):
        assert (tmp_path / "state" / file).read_bytes() == (tmp_path / "copy" / file).read_bytes()


def test_tied_weights_are_tied_in_a_copy(settings: Settings) -> None:
    model = new_model("tiny", 256, seed=1)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    state = State.first(model, settings.trainer)
    copy = state.copy(None)
    assert copy.model.lm_head.weight is copy.model.model.embed_tokens.weight
    assert copy.weights_sha256() == state.weights_sha256()


def held_up(settings: Settings) -> tuple[Saver, State, Event]:
    """A saver whose writing ends when the event is set."""
    go = Event()

    def wait() -> None:
        assert go.wait(60)

    saver, state = new_run(settings, background=True, flush=wait)
    move(state)
    return saver, state, go


def test_training_goes_on_while_a_checkpoint_is_written(settings: Settings) -> None:
    saver, state, go = held_up(settings)
    weights = state.weights_sha256()
    assert saver.begin(state)
    saver.hold()
    move(state)
    assert saver.finished() is None
    assert not saver.begin(state), "one save in flight"
    assert saver.late
    assert kept(saver) == [0]
    go.set()
    first = saver.settle()
    assert isinstance(first, Saved)
    assert (first.checkpoint.manifest.step, first.checkpoint.manifest.weights) == (10, weights)
    assert saver.begin(state), "what was late is saved now"
    assert not saver.late
    second = saver.settle()
    assert isinstance(second, Saved)
    assert second.checkpoint.manifest.parent == first.checkpoint.name
    for checkpoint in (first.checkpoint, second.checkpoint):
        loaded = State.load(checkpoint.path, checkpoint.manifest, settings.trainer, CPU)
        assert loaded.weights_sha256() == checkpoint.manifest.weights
    assert saver.begin(state), "nothing is new"
    assert saver.writing is None


def test_without_a_copy_later_steps_would_be_in_the_checkpoint(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(State, "copy", lambda self, into: self)
    saver, state, go = held_up(settings)
    weights = state.weights_sha256()
    saver.begin(state)
    saver.hold()
    move(state)
    go.set()
    saved = saver.settle()
    assert isinstance(saved, Saved)
    assert saved.checkpoint.manifest.weights != weights


def test_an_update_waits_until_the_state_is_copied(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    go, copy = Event(), State.copy

    def slow(state: State, into: State | None) -> State:
        assert go.wait(60)
        return copy(state, into)

    monkeypatch.setattr(State, "copy", slow)
    saver, state = new_run(settings, background=True)
    move(state)
    weights = state.weights_sha256()
    saver.hold()
    assert saver.begin(state)
    with ThreadPoolExecutor(1) as loop:
        held = loop.submit(saver.hold)
        with pytest.raises(TimeoutError):
            held.result(0.05)
        go.set()
        held.result(60)
    move(state)
    saved = saver.settle()
    assert isinstance(saved, Saved)
    assert saved.checkpoint.manifest.weights == weights


def test_a_copy_that_fails_does_not_keep_the_loop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(state: State, into: State | None) -> State:
        raise MemoryError("no room for a copy")

    monkeypatch.setattr(State, "copy", broken)
    saver, state = new_run(settings, background=True)
    move(state)
    saver.begin(state)
    saver.hold()
    with pytest.raises(MemoryError):
        saver.settle()


def test_a_clock_makes_a_checkpoint_due() -> None:
    now = [0.0]
    schedule, never = Schedule(10, lambda: now[0]), Schedule(0, lambda: now[0])
    assert not schedule.due
    now[0] = 10
    assert schedule.due
    assert not never.due
    schedule.begun()
    assert not schedule.due


Usage = namedtuple("Usage", "total used free")


def test_a_full_disk_is_said_and_nothing_is_touched(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    saver, state = new_run(settings, background=True)
    move(state)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: Usage(100, 99, 1))
        saver.begin(state)
        failed = saver.settle()
        assert isinstance(failed, Failed)
        assert "checkpoint of step 10" in failed.why
        assert "No space left on device: 1 bytes are free" in failed.why
        assert saver.trouble == failed.why
        with pytest.raises(DependencyError, match="goes on from step-0000000000"):
            saver.save(state)
    assert saver.begin(state)
    assert isinstance(saver.settle(), Saved)
    assert saver.trouble == ""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"needs to mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_in_the_middle_of_a_checkpoint(small_disk: Path, tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer.json")
    settings = make_settings(tmp_path, keep_checkpoints=2, checkpoint_dir=small_disk)
    saver, state = new_run(settings, background=True)
    assert saver.last is not None
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - int(saver.last.bytes * 1.5)))
    move(state)
    saver.begin(state)
    failed = saver.settle()
    assert isinstance(failed, Failed), "the optimizer's state makes it three times as large"
    assert "No space left on device" in failed.why
    assert saver.checkpoints.newest() == saver.last, "the older one holds"
    assert shutil.disk_usage(small_disk).free > saver.last.bytes, "the torn one does not fill the disk"
    ballast.unlink()
    saver.begin(state)
    saved = saver.settle()
    assert isinstance(saved, Saved)
    assert saver.checkpoints.newest() == saved.checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("runs"), STEPS)


@pytest.fixture(scope="module")
def unsaved(folder: Path) -> Outcome:
    """A run that saves when it has ended, and never before."""
    (result,) = on_ranks(1, train_until, make_settings(folder, run="unsaved", checkpoint_s=0), STEPS)
    assert isinstance(result, Outcome), result
    return result


@pytest.mark.parametrize(
    ("ranks", "when"),
    [
        (1, {"checkpoint_steps": 1, "checkpoint_async": True}),
        (1, {"checkpoint_steps": 1, "checkpoint_async": False}),
        (2, {"checkpoint_s": 0.001, "checkpoint_async": True}),
    ],
)
def test_saving_changes_no_weight(ranks: int, when: dict[str, Any], folder: Path, unsaved: Outcome) -> None:
    run = f"{ranks}-{'-'.join(map(str, when.values()))}"
    settings = make_settings(folder, run=run, keep_checkpoints=100, **when)
    for result in on_ranks(ranks, train_until, settings, STEPS):
        assert isinstance(result, Outcome), result
        assert (result.weights, result.fed, result.losses) == (unsaved.weights, unsaved.fed, unsaved.losses)
    saved = [checkpoint.manifest for checkpoint in finished(settings.checkpoint_dir / run)]
    assert len(saved) > 2, "the first, the last, and some between"
    if not when["checkpoint_async"]:
        assert [manifest.step for manifest in saved] == list(range(STEPS + 1))
    assert [manifest.parent for manifest in saved[1:]] == [f"step-{one.step:010d}" for one in saved[:-1]]


def test_killed_while_a_checkpoint_is_written_the_run_goes_on_from_its_parent(folder: Path, unsaved: Outcome) -> None:
    settings = make_settings(folder, run="torn", checkpoint_steps=4)
    (gone,) = on_ranks(1, die_while_writing, settings, 7)
    assert isinstance(gone, EOFError)
    run = settings.checkpoint_dir / "torn"
    torn = [path for path in run.glob("step-*") if not (path / "manifest.json").exists()]
    assert [path.name >= "step-0000000008" for path in torn] == [True]
    assert (torn[0] / "model.safetensors").exists()
    parent = max(finished(run)).manifest.step
    assert parent in range(8)
    (result,) = on_ranks(1, train_until, settings, STEPS)
    assert isinstance(result, Outcome), result
    assert (result.weights, result.fed) == (unsaved.weights, unsaved.fed)
    assert result.losses == unsaved.losses[parent:]
    assert max(finished(run)).manifest.step == STEPS


def train_on_a_full_disk(group: Group, settings: Settings) -> tuple[Outcome, list[str], list[str]]:
    """No file may grow beyond 10 kB in steps 3 to 8; what the reports say, and what became of the saves."""
    run, state = open_run(group, settings)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def work() -> Iterator[Any]:
        for one in my_work(kept_steps(settings), group, settings.trainer.leaf_blocks):
            if one.step.step == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, unlimited[1]))
            if one.step.step == 9:
                resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
            yield one

    train(run, state, work())
    reports: list[StepReport] = run.reporter.reports  # type: ignore[attr-defined]
    outcomes = [type(one).__name__ for one in run.reporter.outcomes]  # type: ignore[attr-defined]
    return outcome(run, state), [report.save_error for report in reports], outcomes


def test_training_goes_on_where_nothing_can_be_saved_and_saves_again_once_it_can(
    folder: Path, unsaved: Outcome
) -> None:
    settings = make_settings(folder, run="full", checkpoint_steps=2, checkpoint_async=False, keep_checkpoints=100)
    (answer,) = on_ranks(1, train_on_a_full_disk, settings)
    assert not isinstance(answer, Exception), answer
    result, errors, outcomes = answer
    assert result.weights == unsaved.weights
    assert outcomes == ["Saved", "Failed", "Failed", "Failed", "Saved", "Saved"]
    assert [bool(error) for error in errors] == [False] * 4 + [True] * 6 + [False] * 2
    assert "checkpoint of step 4" in errors[4]
    assert "File too large" in errors[4]
    there = [checkpoint.manifest.step for checkpoint in finished(settings.checkpoint_dir / "full")]
    assert there == [0, 2, 10, 12]


def stop_on_a_full_disk(group: Group, settings: Settings) -> None:
    """The run is told to stop behind its first step, and cannot be saved."""
    run, state = open_run(group, settings, Told(stop=True))
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    train(run, state, my_work(kept_steps(settings), group, settings.trainer.leaf_blocks))


def test_a_run_that_cannot_save_at_its_end_says_so_with_its_exit_code(folder: Path) -> None:
    (error,) = on_ranks(1, stop_on_a_full_disk, make_settings(folder, run="unstoppable"))
    assert isinstance(error, DependencyError), error
    assert "checkpoint of step 1 in" in str(error)
    assert "the run goes on from step-0000000000 and trains the steps behind it again" in str(error)
