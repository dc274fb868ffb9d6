"""Python workers as forks: what they get, how they end, and who is a Python of its own instead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from headrace.contract.settings import ROOT
from headrace.local.flink import IMPORTED_ONCE

WORKERS = ROOT / "deploy" / "flink" / "workers.py"
WORKER = """
import os, sys, time
print(os.getppid(), "colorsys" in sys.modules, sys.argv[1:], os.environ["SAID"], os.getcwd(), flush=True)
if sys.argv[1] == "sleep": time.sleep(600)
sys.exit(int(sys.argv[1]))
"""


def wait_until(done: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with the module of a worker, and a path that no socket could be bound to."""
    (tmp_path / "worker.py").write_text(WORKER)
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    return deep


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python with packages of its own, of which there are none."""
    venv.create(tmp_path / "own", symlinks=True, with_pip=False)
    return tmp_path / "own" / "bin" / "python"


@pytest.fixture
def server(folder: Path, python: Path) -> Iterator[psutil.Process]:
    serving = psutil.Popen([str(python), str(WORKERS), "serve", str(folder / "socket"), "colorsys"])
    wait_until((folder / "socket").is_socket, "server")
    yield psutil.Process(serving.pid)
    serving.kill()
    serving.wait()


def ask(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(WORKERS), "ask", str(folder / "socket"), "-m", "worker", *arguments],
        cwd=folder.parent,
        env={**os.environ, "SAID": "this", "PYTHONPATH": str(folder.parent)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("code", ["0", "7"])
def test_a_worker_is_a_fork_with_what_was_asked_for(folder: Path, server: psutil.Process, code: str) -> None:
    asked = ask(folder, code, "b c")
    said, _ = asked.communicate(timeout=60)
    assert said == f"{server.pid} True {[code, 'b c']} this {folder.parent}\n"
    assert asked.returncode == int(code)
    wait_until(lambda: not server.children(), "end of the worker")


def test_a_worker_ends_with_who_asked_and_the_others_live_on(folder: Path, server: psutil.Process) -> None:
    first, second = ask(folder, "sleep"), ask(folder, "sleep")
    for asked in (first, second):
        assert asked.stdout is not None
        assert asked.stdout.readline()
    assert len(server.children()) == 2
    first.kill()
    wait_until(lambda: len(server.children()) == 1, "end of one worker")
    assert second.poll() is None
    (left,) = server.children()
    left.send_signal(signal.SIGALRM)
    assert second.wait(60) == 128 + signal.SIGALRM


def test_workers_end_with_their_server(folder: Path, server: psutil.Process) -> None:
    asked = ask(folder, "sleep")
    assert asked.stdout is not None
    assert asked.stdout.readline()
    (worker,) = server.children()
    server.kill()
    assert asked.wait(60) == 1
    wait_until(lambda: not worker.is_running(), "end of the worker")


def test_without_a_server_a_worker_is_a_python_of_its_own(folder: Path) -> None:
    asked = ask(folder, "5")
    said, _ = asked.communicate(timeout=60)
    assert said == f"{os.getpid()} False ['5'] this {folder.parent}\n"
    assert asked.returncode == 5


def test_after_a_change_of_packages_a_worker_is_a_python_of_its_own(
    folder: Path, server: psutil.Process, python: Path
) -> None:
    said, _ = ask(folder, "0").communicate(timeout=60)
    assert said.startswith(f"{server.pid} ")
    (packages,) = python.parent.parent.glob("lib/*/site-packages")
    (packages / "new.py").touch()
    said, _ = ask(folder, "0").communicate(timeout=60)
    assert said.startswith(f"{os.getpid()} False")


def test_nothing_of_ours_is_imported_to_be_forked(tmp_path: Path) -> None:
    """An upgraded job would go on with the old code."""
    refused = subprocess.run(
        [sys.executable, str(WORKERS), "serve", str(tmp_path / "socket"), "headrace"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 1
    assert "headrace would be old after an upgrade" in refused.stderr
    assert not {name.partition(".")[0] for name in IMPORTED_ONCE} & {"headrace", "flink_jobs"}
