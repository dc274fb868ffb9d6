"""The words and the points, without a stack."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from tests.fault import places, points
from tests.fault.plan import KINDS, draw


def test_a_hundred_faults_hold_each_kind_five_times_and_the_seed_says_which() -> None:
    assert len(KINDS) == 20
    faults = list(draw(100, seed=1))
    assert Counter(
        Counter((fault.deed, fault.victim[:4], fault.point, fault.ranks > 0) for fault in faults).values()
    ).keys() == {5}
    assert faults == list(draw(100, seed=1))
    assert faults != list(draw(100, seed=2))
    assert {fault.deed for fault in draw(40, seed=1, without=["fill"])} == {fault.deed for fault in faults} - {"fill"}


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps at which the deed `mark` was done; points look for orders in `tmp_path`."""
    done: list[int] = []
    monkeypatch.setenv(points.FOLDER, str(tmp_path))
    monkeypatch.setitem(points.DEEDS, "mark", lambda order, subject: done.append(subject))
    return done


def come(folder: Path, who: str, point: str, steps: range) -> None:
    """A process of this name comes to a point of each step."""
    (folder / points.ARMED).write_text(
        json.dumps({"id": "1", "deed": "mark", "victim": "rank1", "point": "backward", "step": 3, "visit": 2})
    )
    visits = points.Visits()
    visits.who = who
    for visits.step in steps:
        visits.come(point, visits.step)


def test_the_victim_does_it_once_at_the_point_not_before_the_step_and_says_so(tmp_path: Path, marks: list[int]) -> None:
    come(tmp_path, "rank1", "forward", range(9))
    come(tmp_path, "rank0", "backward", range(9))
    come(tmp_path, "rank1", "backward", range(3))
    assert marks == []
    come(tmp_path, "rank1", "backward", range(9))
    assert marks == [4], "the second visit from step 3 on"
    assert json.loads((tmp_path / "1.fired").read_bytes())["step"] == 4
    come(tmp_path, "rank1", "backward", range(9))
    assert marks == [4], "what took its place does not do it again"


def test_a_point_whose_function_is_gone_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(places.PLACES, "renamed", [("Group.agree", places.before("agree"))])
    with pytest.raises(AttributeError, match="Group"):
        places.wrap(ModuleType("renamed"))
