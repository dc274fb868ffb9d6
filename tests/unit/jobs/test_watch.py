"""When the jobs are counted, and what a loss does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from headrace.contract.errors import ContractError, Coordinate, DependencyError
from headrace.contract.settings import Settings, load
from headrace.flink import RunningJob, SavedState
from headrace.jobs import checks, watch
from headrace.jobs.counting import Count, Counted
from headrace.jobs.job import CLEAN, TOKENIZE, Job
from headrace.jobs.notes import Lost, Stopped
from headrace.jobs.watch import EVERY_S, LOOK_S, Counter, InProcess

UP_TO = Counted(input={0: 7})


class Flink:
    """The job `id` runs; the test says what Flink says of it. `stopped` are the jobs that were stopped."""

    def __init__(self) -> None:
        self.restored_from: int | None = 1
        self.failed = 0
        self.stopped: list[str] = []

    def __call__(self, rest: str) -> Flink:
        return self

    def jobs(self) -> list[RunningJob]:
        return [RunningJob("id", "clean", "RUNNING", 0, True)]

    def restored(self, job_id: str) -> int | None:
        return self.restored_from

    def failed_commits(self, job_id: str) -> int:
        return self.failed

    def stop(self, job_id: str, savepoints: Path, timeout_s: float) -> str:
        self.stopped.append(job_id)
        return str(savepoints / "savepoint-1")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = load(environment={"HEADRACE_CONFIG": "/dev/null"}, assignments=[f"local.data_dir={tmp_path}"]).settings
    CLEAN.folder(made).mkdir(parents=True)
    return made


@pytest.fixture
def flink(monkeypatch: pytest.MonkeyPatch) -> Flink:
    made = Flink()
    monkeypatch.setattr(watch, "FlinkRest", made)
    return made


class Counts:
    """Stands for counting; notes when it was asked, gives what the test wants found."""

    def __init__(self) -> None:
        self.asked = 0
        self.latest = 0.0
        self.found: Count | None = Count([], UP_TO)

    def __call__(self, settings: Settings, job: Job, job_id: str, latest: float) -> Counts:
        self.asked += 1
        self.latest = latest
        return self

    def done(self) -> bool:
        return True

    def result(self) -> Count | None:
        return self.found


@pytest.fixture
def counts() -> Counts:
    return Counts()


def look(counter: Counter, now: float, job_id: str = "id") -> None:
    """A look, and the one that sees the end of what it began."""
    counter.look({CLEAN: job_id}, now)
    counter.look({CLEAN: job_id}, now)


def test_a_job_that_began_with_nothing_is_counted_every_so_often(
    settings: Settings, flink: Flink, counts: Counts
) -> None:
    flink.restored_from = None
    counter = Counter(settings, counts)
    for now in (0, LOOK_S, EVERY_S - 1):
        look(counter, now)
    assert counts.asked == 0
    look(counter, EVERY_S + LOOK_S)
    assert counts.asked == 1
    flink.failed = 1
    look(Counter(settings, counts), 0)  # of a supervisor that was started again
    assert counts.asked == 2


def test_a_job_that_went_on_is_counted_at_first_then_every_so_often(
    settings: Settings, flink: Flink, counts: Counts
) -> None:
    counter = Counter(settings, counts)
    look(counter, 0)
    assert counts.asked == 1
    assert watch.counted(settings, CLEAN) == UP_TO
    for now in (1, LOOK_S, EVERY_S - 1):
        look(counter, now)
    assert counts.asked == 1
    look(counter, EVERY_S + LOOK_S)
    assert counts.asked == 2


def test_a_restore_and_a_failed_commit_are_counted_at_once(settings: Settings, flink: Flink, counts: Counts) -> None:
    counter = Counter(settings, counts)
    look(counter, 0)
    flink.restored_from = 4
    look(counter, LOOK_S)
    assert counts.asked == 2
    flink.failed = 1
    look(counter, 2 * LOOK_S)
    assert counts.asked == 3
    look(counter, 3 * LOOK_S, "another id")
    assert counts.asked == 4


def test_a_count_that_came_to_nothing_is_begun_again(settings: Settings, flink: Flink, counts: Counts) -> None:
    counter = Counter(settings, counts)
    counts.found = None
    look(counter, 0)
    look(counter, LOOK_S)
    assert counts.asked == 2


def test_a_loss_stops_the_job_until_it_is_accepted(settings: Settings, flink: Flink, counts: Counts) -> None:
    counts.found = Count([Coordinate("text.raw", 0, offset) for offset in range(30)], UP_TO)
    with pytest.raises(ContractError, match=r"clean was stopped: 30 records .*: text\.raw\[0\]@0, .* and 10 more"):
        look(Counter(settings, counts), 0)
    assert flink.stopped == ["id"]
    assert (CLEAN.folder(settings) / Stopped.FILE).exists()
    for _ in range(2):
        with pytest.raises(ContractError, match="--accept-loss"):
            checks.check_accepted(settings, CLEAN, accept_loss=False)
    checks.check_accepted(settings, CLEAN, accept_loss=True)
    checks.check_accepted(settings, CLEAN, accept_loss=False)
    assert [Lost.read(path) for path in CLEAN.folder(settings).glob("accepted-*.json")]


def test_an_accepted_loss_does_not_stop_the_job(settings: Settings, flink: Flink) -> None:
    found = Count([Coordinate("text.raw", 0, 3)], UP_TO)
    watch.judge(settings, CLEAN, found, accept_loss=True)
    assert flink.stopped == []
    assert watch.counted(settings, CLEAN) == UP_TO
    checks.check_accepted(settings, CLEAN, accept_loss=False)


def test_state_that_a_job_ended_with_may_be_as_old_as_it_likes(settings: Settings, tmp_path: Path) -> None:
    saved = SavedState(tmp_path / "savepoint-1", 3, time=0.0)
    assert not checks.stopped_with(settings, CLEAN, saved)
    Stopped(state=str(saved.path)).write(CLEAN.folder(settings) / Stopped.FILE)
    assert checks.stopped_with(settings, CLEAN, saved)
    assert not checks.stopped_with(settings, CLEAN, SavedState(tmp_path / "chk-4", 4, time=0.0))


def test_what_stops_a_count_in_its_process_is_heard(settings: Settings) -> None:
    with pytest.raises(DependencyError, match="Flink"):
        InProcess(settings, CLEAN, "id", 0.0).result()


def test_a_count_that_was_killed_is_no_count(settings: Settings) -> None:
    counting = InProcess(settings, CLEAN, "id", 0.0)
    counting.process.kill()
    with pytest.raises(DependencyError, match="clean ended without an answer, exit code -9"):
        counting.result()


@dataclass
class Clock:
    """Stands for the module `time`: the wall clock is set back at the first sleep."""

    back: float
    wall: float = 1_000_000.0
    steady: float = 0.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def sleep(self, seconds: float) -> None:
        self.wall += seconds - self.back
        self.steady += seconds
        self.back = 0.0


@pytest.mark.parametrize(("back", "passes", "waited"), [(0, True, 2), (30, True, 32), (10_800, False, 123)])
def test_a_window_ends_by_the_wall_clock_also_when_that_is_set_back(
    monkeypatch: pytest.MonkeyPatch, back: float, passes: bool, waited: float
) -> None:
    clock = Clock(back)
    monkeypatch.setattr(watch, "time", clock)
    assert watch.wait_window(2, clock.time()) == passes
    assert clock.steady == pytest.approx(waited)


def test_a_count_that_begins_after_the_clock_was_set_back_knows_what_it_was(
    settings: Settings, flink: Flink, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, counter = Clock(back=0), Counter(settings, counts)
    monkeypatch.setattr(watch, "time", clock)
    look(counter, 0)
    clock.wall += LOOK_S / 2
    look(counter, LOOK_S / 2)
    clock.wall -= 30
    flink.restored_from = 4
    look(counter, LOOK_S)
    assert counts.asked == 2
    assert counts.latest == clock.wall + 30


def test_a_count_waits_for_the_windows_of_a_clock_that_was_set_back(
    settings: Settings, flink: Flink, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(back=0)
    monkeypatch.setattr(watch, "time", clock)
    monkeypatch.setattr(watch, "wait_checkpoints", lambda *_: True)
    monkeypatch.setattr(watch, "Cluster", lambda settings: None)
    monkeypatch.setattr(watch, "has_read", lambda *_: {0: 7})
    monkeypatch.setattr(watch, "count", lambda *_: Count([], UP_TO))
    assert watch.settled_count(settings, TOKENIZE, "id", latest=clock.wall + 30) == Count([], UP_TO)
    assert clock.steady == pytest.approx(30 + settings.tokenize.window_s)
