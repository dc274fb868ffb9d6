"""Ports: free ones for 0, an error that says who holds a taken one."""

from __future__ import annotations

import os
import socket

import pytest

from headrace.contract.errors import DependencyError
from headrace.contract.settings import Ports, Settings, load
from headrace.local import ports

ZEROS = [f"local.ports.{name}=0" for name in Ports.model_fields]


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
