"""Ports: free ones for 0, an error that says who holds a taken one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from headrace.contract.errors import DependencyError
from headrace.contract.settings import Ports, Settings, load
from headrace.local import ports, process

ZEROS = [f"local.ports.{name}=0" for name in Ports.model_fields]

MANY = """
import sys
from pathlib import Path
from headrace.local import ports
ports.LOWEST, ports.OUTGOING = 20_000, Path(sys.argv[1])
print(flush=True)
sys.stdin.readline()
print(*(ports.free_row(ports.SLOT) for _ in range(ports.KEPT)), flush=True)
sys.stdin.readline()
"""
HANDS_DOWN = """
import subprocess, sys
from headrace.contract.settings import Ports, load
from headrace.local import ports
settings = load(environment={}, assignments=[f"local.ports.{name}=0" for name in Ports.model_fields]).settings
chosen = ports.choose(settings)
local = settings.local.model_copy(update={"ports": chosen})
claims = ports.claims(settings.model_copy(update={"local": local}))
given = subprocess.Popen(["sleep", "600"], pass_fds=claims)
other = subprocess.Popen(["sleep", "600"], close_fds=False)
print(min(chosen.model_dump().values()), given.pid, other.pid, flush=True)
sys.stdin.readline()
"""


def make(*assignments: str) -> Settings:
    return load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=[*ZEROS, *assignments]).settings


def test_zero_takes_free_ones_and_a_row_for_the_ranks() -> None:
    chosen = ports.choose(make("trainer.ranks=3")).model_dump()
    row = range(chosen["trainer_metrics"], chosen["trainer_metrics"] + ports.RANKS)
    others = {port for name, port in chosen.items() if name != "trainer_metrics"}
    assert len(others) == len(chosen) - 1
    assert others.isdisjoint(row)
    for port in [*others, *row]:
        socket.create_server((ports.HOST, port)).close()


def leave_only(first: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on there is one place to choose, that of this port."""
    monkeypatch.setattr(ports, "LOWEST", first)
    monkeypatch.setattr(ports, "OUTGOING", folder / "range")
    ports.OUTGOING.write_text(f"{first + ports.SLOT} 60999")


def test_two_that_choose_at_once_never_get_the_same(tmp_path: Path) -> None:
    """Seen: two stacks that started in the same seconds, with one port for both brokers."""
    outgoing = tmp_path / "range"
    outgoing.write_text(f"{20_000 + 4 * ports.KEPT * ports.SLOT} 60999")  # twice as many places as are taken
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", MANY, outgoing], **pipes) for _ in range(2)]
    try:
        for one in both:
            assert one.stdout.readline() == "\n"
        for one in both:
            one.stdin.write("\n")
            one.stdin.flush()
        rows = [int(first) for one in both for first in one.stdout.readline().split()]
        assert len(rows) == 2 * ports.KEPT
        assert min(b - a for a, b in pairwise(sorted(rows))) >= ports.SLOT
    finally:
        for one in both:
            one.communicate("\n")


def test_a_claim_ends_with_its_process_and_whom_it_was_handed_down_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HANDS_DOWN], **pipes) as chooser:
        first, given, other = map(int, chooser.stdout.readline().split())
        chooser.kill()
    leave_only(first, tmp_path, monkeypatch)
    try:
        with pytest.raises(DependencyError, match="no 1 free ports"):
            ports.free_row(1)
        process.end([psutil.Process(given)], grace_s=5)
        assert ports.free_row(1) == first
        assert psutil.Process(other).is_running()
    finally:
        process.end([psutil.Process(pid) for pid in (given, other) if psutil.pid_exists(pid)], grace_s=5)


def test_a_place_where_a_port_is_taken_is_not_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ports.free_row(1)
    for _ in range(ports.KEPT):  # the claim is this process's own, until it has made so many more
        ports.free_row(1)
    leave_only(first, tmp_path, monkeypatch)
    with socket.create_server((ports.HOST, first)), pytest.raises(DependencyError, match="no 2 free ports in a row"):
        ports.free_row(2)
    assert ports.free_row(2) == first


def test_a_process_keeps_its_youngest_claims_alone() -> None:
    """So one that chooses all day leaves room for others."""
    rows = [ports.free_row(1) for _ in range(ports.KEPT + 5)]
    held = {one.laddr for one in psutil.Process().net_connections("unix") if "@headrace-ports-" in one.laddr}
    assert held == {f"@headrace-ports-{first // ports.SLOT}" for first in rows[-ports.KEPT :]}


def test_a_taken_port_names_setting_and_holder() -> None:
    with socket.create_server((ports.HOST, 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(
            DependencyError, match=rf"port {port} \(local\.ports\.flink\) is taken by process {os.getpid()}"
        ):
            ports.choose(make(f"local.ports.flink={port}"))


def test_a_taken_port_of_a_later_rank_is_found() -> None:
    first = ports.choose(make()).trainer_metrics
    with (
        socket.create_server((ports.HOST, first + 1)),
        pytest.raises(DependencyError, match=rf"port {first + 1} \(local\.ports\.trainer_metrics\)"),
    ):
        ports.choose(make(f"local.ports.trainer_metrics={first}", "trainer.ranks=2"))


def test_no_outgoing_connection_takes_a_chosen_port() -> None:
    """Seen: while a rank was started again, a client's connection had its port for a minute."""
    outgoing = int(ports.OUTGOING.read_text().split()[0])
    for _ in range(20):
        chosen = ports.choose(make())
        assert max(chosen.model_dump().values()) < outgoing
        assert chosen.trainer_metrics + ports.RANKS <= outgoing
