"""The ports of a stack: fixed ones checked, 0 turned into a free one."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from headrace.contract.errors import DependencyError
from headrace.contract.settings import Ports, Settings

HOST = "127.0.0.1"
RANKS = 16
"""Ports in a row that are looked for when trainer.metrics is 0: so far a running stack's trainer can grow."""

LOWEST = 10_000
OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""From where to where Linux takes the ports of outgoing connections."""
TRIES = 1000


def choose(settings: Settings) -> Ports:
    """The ports to use. Raises DependencyError naming the port, the setting and, if it can be seen, who holds it.

    A free one is free now; nothing reserves it until the part that was given it binds it.
    """
    given = settings.local.ports.model_dump()
    ranks = settings.trainer.ranks
    with ExitStack() as held:  # all are held until all are chosen, so that no two are the same
        for name, port in given.items():
            if port and name != "trainer_metrics":
                held.enter_context(_bind(port, f"local.ports.{name}"))
        trainer = given.pop("trainer_metrics")
        for rank in range(ranks if trainer else 0):
            held.enter_context(_bind(trainer + rank, "local.ports.trainer_metrics"))
        chosen = {name: port or _free_row(held) for name, port in given.items()}
        return Ports(**chosen, trainer_metrics=trainer or _free_row(held, max(ranks, RANKS)))


def check_ranks(settings: Settings, ranks: range) -> None:
    """Raise DependencyError if the port of one of these ranks of a running stack is taken."""
    with ExitStack() as held:
        for rank in ranks:
            held.enter_context(_bind(settings.local.ports.trainer_metrics + rank, "local.ports.trainer_metrics"))


def free_row(length: int) -> int:
    """The first of so many ports in a row that nobody uses now."""
    with ExitStack() as held:
        return _free_row(held, length)


def _free_row(held: ExitStack, length: int = 1) -> int:
    """The first of `length` ports in a row that nobody uses now, nor any outgoing connection later: one could take the
    port of a part while that restarts.
    """
    outgoing = int(OUTGOING.read_text().split()[0])
    for _ in range(TRIES):
        first = LOWEST + secrets.randbelow(outgoing - length - LOWEST)  # whoever else chooses must not choose alike
        with suppress(OSError):
            for port in range(first, first + length):
                held.enter_context(socket.create_server((HOST, port)))
            return first
    raise DependencyError(f"no {length} free ports in a row on {HOST}: end what holds them, or set the ports")


def _bind(port: int, setting: str) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError:
        raise DependencyError(
            f"port {port} ({setting}) is taken{_holder(port)}: end it, or choose another with --set {setting}=…"
            " (0 takes a free one)"
        ) from None


def _holder(port: int) -> str:
    """Who listens on a port, as far as this user may see."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                process = psutil.Process(connection.pid)
                return f" by process {process.pid} ({' '.join(process.cmdline())[:80]})"
    except psutil.Error:
        pass
    return ""
