"""`headrace demo` as a user runs it: its proof, the independent check of it, and nothing left after Ctrl-C."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.local.process import marked
from headrace.local.state import running
from tests.observe.short import assert_all_is_shown

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["river", "turns", "old", "mill", "wheels", "slowly", "while", "rain", "falls", "on", "quiet", "fields", "and"]
ENVIRONMENT = {**os.environ, "HEADRACE_CONFIG": os.devnull}


def headrace(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "headrace.cli.main", *arguments]


def run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout_s, check=False
    )


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """300 documents: 15 too short, 15 that say the same, 270 of their own."""
    dice = random.Random(3)
    lines = []
    for number in range(300):
        text = " ".join(dice.choices(WORDS, k=dice.randint(8, 60)))
        text = {1: "short", 2: "this is said again and again"}.get(number % 20, f"{number} {text}.")
        lines.append(json.dumps({"text": text, "id": number, "source": ("chat", "mail")[number % 2]}))
    file = tmp_path / "documents.jsonl"
    file.write_text("\n".join(lines))
    return file


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A directory for the demo; what still runs there at the end is a failure of the test, and ended."""
    folder = tmp_path / "demo"
    yield folder
    left = marked(folder)
    for process in left:
        process.kill()
    assert not left


def options(data: Path, documents: Path) -> list[str]:
    return ["demo", "--data", str(data), "--documents", str(documents), "--rate", "100", "--set", "trainer.model=tiny"]


@pytest.mark.timeout(600)
def test_the_demo_proves_itself_and_an_independent_check_agrees(data: Path, documents: Path, tmp_path: Path) -> None:
    here = f"local.data_dir={data}"
    done = run(headrace(*options(data, documents), "--keep", "--json"), 500)
    try:
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result == json.loads((data / "result.json").read_text())
        assert (result["published"], result["accepted"]) == (300, 271)
        assert result["rejected"] == {"gopher_short_doc": 15, "duplicate": 14}
        proof = result["verify"]
        assert (proof["holds"], proof["lost"], proof["duplicated"], proof["in_flight"]) == (True, 0, 0, 0)
        assert proof["trained"] == proof["planned"] == proof["saved"] == result["steps"] > 0
        assert (Path(result["checkpoint"]) / "manifest.json").exists()
        page = (data / "report.html").read_text()
        assert "lost 0 · duplicated 0 · in flight 0" in page
        assert "gopher_short_doc" in page

        check = [sys.executable, "tests/independent_check.py", result["brokers"], result["tokenizer"], "--published"]
        agreed = run([*check, "300"], 60)
        assert agreed.returncode == 0, agreed.stdout + agreed.stderr
        assert f"tokens: {result['tokens']} in {result['blocks']} blocks" in agreed.stdout
        assert run([*check, "301"], 60).returncode == 1

        again = run(headrace(*options(data, documents)), 60)
        assert again.returncode == 2
        assert f"headrace down --set {here}" in again.stderr

        stack = running(data)
        assert stack is not None
        assert_all_is_shown(stack.settings, tmp_path)
    finally:
        down = run(headrace("down", "--set", here), 240)
    assert down.returncode == 0, down.stderr


@pytest.mark.timeout(400)
def test_ctrl_c_while_it_starts_leaves_nothing(data: Path, documents: Path) -> None:
    interrupt(data, documents, "broker runs")


def interrupt(data: Path, documents: Path, moment: str) -> None:
    """Ctrl-C as soon as the demo says so; it ends as one expects, and nothing is left."""
    demo = subprocess.Popen(
        headrace(*options(data, documents)), cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    said = next(line for line in demo.stdout if moment in line)
    assert marked(data), said
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=120)
    assert demo.returncode == 130
    assert "stopping" in rest
    assert not marked(data)


def test_a_directory_that_no_demo_made_is_left_alone(data: Path, documents: Path) -> None:
    data.mkdir()
    (data / "thesis.txt").write_text("years of work")
    done = run(headrace(*options(data, documents)), 60)
    assert done.returncode == 2
    assert "no demo made it" in done.stderr
    assert (data / "thesis.txt").exists()
