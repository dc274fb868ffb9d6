"""Workers that die and stall: each bad document has one verdict, no other one has any, and nothing stops."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flink_jobs.quarantine import KEPT_S, Cell, Quarantine, Quarantined, collect, known
from flink_jobs.trial import Died, Trials
from headrace.contract.errors import HeadraceError
from headrace.contract.settings import ROOT
from tests.unit.flink_jobs.provoke import judge

TIMEOUT_S = 1.0

WORKER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from flink_jobs.quarantine import Quarantine
    from tests.unit.flink_jobs.provoke import judge
    quarantine = Quarantine(Path(sys.argv[1]), float(sys.argv[2]))
    quarantine.open(judge)
    for offset, document in enumerate(sys.argv[3:]):
        print(offset, quarantine.run((0, offset), document.encode()), flush=True)
    quarantine.close()
""")


def work(folder: Path, *documents: str) -> tuple[int, list[str]]:
    """One life of a worker, from the last checkpoint: exit code, and the rows it gave."""
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(folder), str(TIMEOUT_S), *documents],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, re.sub(r"\.py:\d+", ".py", done.stdout).splitlines()


def good(offset: int) -> str:
    return f"{offset} b'GOOD {offset}'"


def quarantined(offset: int, how: str) -> str:
    return f"{offset} Quarantined(detail='{how}')"


def test_a_run_of_bad_documents_costs_one_worker_and_no_good_one(tmp_path: Path) -> None:
    documents = ["good 0", "clean!abort", "good 2", "clean!hold", "clean!exit", "good 5"]
    assert work(tmp_path, *documents) == (-signal.SIGABRT, [good(0)])
    verdicts = [
        good(0),
        quarantined(1, "killed by SIGABRT in provoke (provoke.py)"),
        good(2),
        quarantined(3, "not done after 1 s in provoke (provoke.py)"),
        quarantined(4, "ended with exit code 3"),
        good(5),
    ]
    assert work(tmp_path, *documents) == (0, verdicts)
    assert work(tmp_path, *documents) == (0, verdicts), "remembered"
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "0-1", "0-3", "0-4"}


def test_a_stalled_worker_ends_whatever_holds_it(tmp_path: Path) -> None:
    assert work(tmp_path, "good 0", "clean!hold") == (-signal.SIGALRM, [good(0)])


def test_whoever_was_in_hand_of_a_killed_worker_is_only_a_suspect(tmp_path: Path) -> None:
    """The kill is over when it comes again, as when another subtask had failed: it is acquitted and forgotten."""
    assert work(tmp_path, "good 0", "clean!kill") == (-signal.SIGKILL, [good(0)])
    assert work(tmp_path, "good 0", "good 1", "good 2") == (0, [good(0), good(1), good(2)])
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_suspect_is_remembered_until_it_comes(tmp_path: Path) -> None:
    """Two bad ones in two partitions must not hide each other, in whatever order they come."""
    assert work(tmp_path, "clean!abort")[0] == -signal.SIGABRT
    assert work(tmp_path)[0] == 0
    assert known(tmp_path) == {(0, 0): ""}
    assert work(tmp_path, "clean!abort") == (0, [quarantined(0, "killed by SIGABRT in provoke (provoke.py)")])


def test_the_cell_of_a_living_worker_is_left_alone(tmp_path: Path) -> None:
    cell = Cell(tmp_path / "cell-1")
    cell.write((3, 14))
    collect(tmp_path, now=0)
    assert known(tmp_path) == {}
    assert cell.path.exists()
    cell.memory.close()  # what the end of its process does
    cell.file.close()
    collect(tmp_path, now=0)
    assert known(tmp_path) == {(3, 14): ""}
    assert not cell.path.exists()


def test_old_verdicts_are_forgotten(tmp_path: Path) -> None:
    (tmp_path / "0-1").write_text("killed")
    (tmp_path / "0-2").write_text("killed")
    os.utime(tmp_path / "0-1", (1000, 1000))
    os.utime(tmp_path / "0-2", (2000, 2000))
    collect(tmp_path, now=1500 + KEPT_S)
    assert list(known(tmp_path)) == [(0, 2)]


def test_after_enough_good_ones_the_worker_takes_over_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flink_jobs.quarantine.ALIKE", 2)
    (tmp_path / "0-0").touch()
    quarantine = Quarantine[bytes](tmp_path, TIMEOUT_S)
    quarantine.open(judge)
    children = []
    for offset, document in enumerate([b"clean!exit", b"good 1", b"good 2", b"good 3"]):
        quarantine.run((0, offset), document)
        children.append(quarantine.trials.child is not None)
    quarantine.close()
    assert children == [False, True, False, False]


class NotToBeLoaded:
    """Ends whoever unpickles it."""

    def __call__(self) -> None: ...

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (7,)


def test_a_trial_that_cannot_begin_is_no_verdict() -> None:
    with pytest.raises(HeadraceError, match="exit code 7"):
        Trials(NotToBeLoaded(), TIMEOUT_S).run()


def test_one_death_is_no_verdict(tmp_path: Path) -> None:
    """Once may be the machine's fault."""
    (tmp_path / "0-0").touch()
    quarantine = Quarantine[bytes](tmp_path, TIMEOUT_S)
    quarantine.open(judge)
    answers = iter([Died("once"), b"a row"])
    quarantine.trials.run = lambda *_: next(answers)  # type: ignore[method-assign]
    assert quarantine.run((0, 0), b"x") == b"a row"
    answers = iter([Died("once"), Died("twice")])
    (tmp_path / "0-1").touch()
    quarantine.known = known(tmp_path)
    assert quarantine.run((0, 1), b"x") == Quarantined("twice")
    quarantine.close()
