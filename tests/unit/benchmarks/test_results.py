"""The RESULT line, the goals, and what `python -m benchmarks` makes of results and failures."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.__main__ import SHARED, main, run
from benchmarks.results import GOALS, tell


@pytest.mark.parametrize(
    ("goal", "ratio", "reached", "line"),
    [
        ("at_least = 0.6", 0.6, True, "RESULT name=one ratio=0.600 goal=>=0.6 reached"),
        ("at_least = 0.6", 0.5, False, "RESULT name=one ratio=0.500 goal=>=0.6 MISSED"),
        ("at_most = 1.1", 1.2, False, "RESULT name=one ratio=1.200 goal=<=1.1 MISSED"),
        ("", 0.1, True, "RESULT name=one ratio=0.100 goal=none"),
    ],
)
def test_a_result_is_held_to_its_goal(
    goal: str,
    ratio: float,
    reached: bool,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "goals.toml"
    file.write_text(f"[one]\n{goal}\n")
    monkeypatch.setattr("benchmarks.results.GOALS", file)
    assert tell("one", ratio) is reached
    assert capsys.readouterr().out == line + "\n"
    with pytest.raises(KeyError):
        tell("two", ratio)


def test_every_goal_has_a_benchmark_and_every_result_a_goal() -> None:
    trees = [ast.parse(path.read_text()) for path in GOALS.parent.glob("*.py")]
    words = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    told = {
        node.args[0].value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "tell"
        and isinstance(node.args[0], ast.Constant)
    }
    goals = set(tomllib.loads(GOALS.read_text()))
    assert told <= goals <= words


def test_what_is_run_as_a_benchmark_tells_a_result() -> None:
    run_by_name = [path for path in GOALS.parent.glob("*.py") if path.stem not in SHARED]
    assert [path.stem for path in run_by_name if "tell(" not in path.read_text()] == []


def program(source: str) -> list[str]:
    return [sys.executable, "-c", source]


@pytest.mark.parametrize(
    ("source", "code", "results"),
    [
        ("print('RESULT name=a ratio=1'); print('more')", 0, ["RESULT name=a ratio=1"]),
        ("print('RESULT name=a ratio=1'); raise SystemExit(1)", 1, ["RESULT name=a ratio=1"]),
        ("print('nothing measured')", 1, []),
        ("raise SystemExit(3)", 3, []),
    ],
)
def test_a_run_without_a_result_has_failed(
    source: str, code: int, results: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: start(program(source), **more))
    assert run("anything") == (code, results)


def test_one_that_fails_hides_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = sorted(path.stem for path in GOALS.parent.glob("*.py") if path.stem not in SHARED)
    monkeypatch.setattr("benchmarks.__main__.run", lambda name: (3, []) if name == first else (0, [f"RESULT {name}"]))
    assert main([]) == 1
    said = capsys.readouterr().out
    assert f"FAILED {first}" in said
    assert all(f"RESULT {name}" in said for name in others)
    assert main(others) == 0
    assert main(["no_such_benchmark"]) == 2
