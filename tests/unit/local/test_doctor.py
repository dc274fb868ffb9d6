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
        doctor.check_memory(Path("/nowhere")),
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
