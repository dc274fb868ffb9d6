"""The doctor names what is missing and the command that mends it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from headrace import doctor
from headrace.contract.settings import ROOT, Ports
from headrace.local import state


def test_its_ports_are_those_of_the_settings() -> None:
    assert doctor.default_ports() == Ports().model_dump()


@pytest.mark.parametrize(
    "check",
    [
        doctor.check_platform("Darwin", "arm64", ""),
        doctor.check_platform("Linux", "aarch64", "glibc"),
        doctor.check_platform("Linux", "x86_64", ""),
        doctor.check_python((3, 13, 0)),
        doctor.check_python((3, 10, 9)),
        doctor.check_venv(False),
        doctor.check_tool("setpriv", None),
        doctor.check_java("/nowhere"),
        doctor.check_memory(8.0, 5.9, 6.0, in_use=False),
        doctor.check_memory(4.0, 1.0, 6.0, in_use=True),
        doctor.check_writable(Path(doctor.__file__)),
    ],
    ids=lambda check: f"{check.name}: {check.found}",
)
def test_what_does_not_do_comes_with_a_mend(check: doctor.Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert not check.ok
    assert check.mend
    assert doctor.show([check], as_json=False) == 3
    assert check.mend in capsys.readouterr().out


@pytest.mark.parametrize(
    "check",
    [
        doctor.check_platform("Linux", "x86_64", "glibc"),
        doctor.check_python((3, 11, 7)),
        doctor.check_python((3, 12, 1)),
        doctor.check_venv(True),
        doctor.check_tool("git", "/usr/bin/git"),
        doctor.check_java(None),
        doctor.check_memory(8.0, 6.0, 6.0, in_use=False),
        doctor.check_memory(8.0, 1.0, 6.0, in_use=True),
    ],
    ids=lambda check: f"{check.name}: {check.found}",
)
def test_what_does_is_ok(check: doctor.Check) -> None:
    assert check.ok
    assert doctor.show([check], as_json=True) == 0


def test_a_taken_port_is_named_unless_the_stack_itself_holds_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        check = doctor.check_ports({"broker": port, "flink": 0}, tmp_path)
        assert not check.ok
        assert f"{port} (local.ports.broker)" in check.found
        assert "--set local.ports.broker=0" in check.mend
        lock = state.try_lock(tmp_path)
        assert lock is not None
        assert doctor.check_ports({"broker": port}, tmp_path).ok
        os.close(lock)


def test_it_runs_on_the_standard_library_alone() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            "import runpy, sys; sys.path.insert(0, sys.argv.pop()); "
            "sys.argv[1:] = ['--json']; runpy.run_module('headrace.doctor', run_name='__main__')",
            str(ROOT),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr
    assert {check["name"] for check in json.loads(done.stdout)} >= {"platform", "python", "java", "ports", "disk"}


def test_a_java_that_does_not_run_is_no_java(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    java = tmp_path / "bin/java"
    java.write_bytes(b"torn")
    java.chmod(0o755)
    (tmp_path / "release").write_text('JAVA_VERSION="21.0.8"\n')
    check = doctor.check_java(str(tmp_path))
    assert not check.ok
    assert "holds no Java that runs" in check.found


MEMINFO = "MemTotal: 25165824 kB\nMemFree: 1 kB\nMemAvailable: 20971520 kB\n"


def make_group(folder: Path, limit: str, used: str, stat: str, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip((*names, "memory.stat"), (limit, used, stat), strict=True):
        (folder / name).write_text(f"{value}\n")


def memory_in(tmp_path: Path, own: str) -> tuple[float, float]:
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "own").write_text(own)
    return doctor.memory(tmp_path / "meminfo", tmp_path / "own", tmp_path / "groups")


def test_memory_of_the_machine(tmp_path: Path) -> None:
    make_group(tmp_path / "groups/a", "max", "99", "", "memory.max", "memory.current")
    assert memory_in(tmp_path, "0::/a/b\n") == (24.0, 20.0)


def test_the_limit_of_a_container_counts(tmp_path: Path) -> None:
    stat = f"anon 5\nactive_file {doctor.GIB}\ninactive_file {doctor.GIB // 2}"
    make_group(tmp_path / "groups/a", str(4 * doctor.GIB), str(3 * doctor.GIB), stat, "memory.max", "memory.current")
    assert memory_in(tmp_path, "0::/a/b\n") == (4.0, 2.5)


def test_the_limit_of_an_older_kernel_counts(tmp_path: Path) -> None:
    stat = f"active_file 0\ninactive_file 0\ntotal_inactive_file {doctor.GIB}\ntotal_active_file 0"
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    make_group(tmp_path / "groups/memory", str(2 * doctor.GIB), str(2 * doctor.GIB), stat, *names)
    assert memory_in(tmp_path, "4:memory:/not/seen/in/here\n0::/\n") == (2.0, 1.0)
