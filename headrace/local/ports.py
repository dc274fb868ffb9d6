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
SLOT = 32
"""Ports that are claimed at once: enough for all of a stack, few enough that hundreds of stacks find a place."""
KEPT = 16
"""So many claims a process keeps, the youngest. In the place of an older one the first port is bound by now, and every
row begins at the first port of its place."""
_kept: dict[int, socket.socket] = {}
"""The claims of this process by slot, oldest first."""


def choose(settings: Settings) -> Ports:
    """The ports to use; all free ones are one row, the ranks last. Raises DependencyError naming the port, the setting
    and, if it can be seen, who holds it.

    A free one is claimed as by `free_row`; a fixed one is free now, but nothing reserves it.
    """
    given = settings.local.ports.model_dump()
    trainer = given.pop("trainer_metrics")
    ranks = settings.trainer.ranks
    with ExitStack() as held:  # until the free ones are chosen: those must be others
        for name, port in given.items():
            if port:
                held.enter_context(_bind(port, f"local.ports.{name}"))
        for rank in range(ranks if trainer else 0):
            held.enter_context(_bind(trainer + rank, "local.ports.trainer_metrics"))
        free = [name for name, port in given.items() if not port]
        if length := len(free) + (0 if trainer else max(ranks, RANKS)):
            first = free_row(length)
            given |= {name: first + place for place, name in enumerate(free)}
            trainer = trainer or first + len(free)
    return Ports(**given, trainer_metrics=trainer)


def check_ranks(settings: Settings, ranks: range) -> None:
    """Raise DependencyError if the port of one of these ranks of a running stack is taken."""
    with ExitStack() as held:
        for rank in ranks:
            held.enter_context(_bind(settings.local.ports.trainer_metrics + rank, "local.ports.trainer_metrics"))


def free_row(length: int) -> int:
    """The first of so many ports in a row that nobody uses now, nor any outgoing connection later: one could take the
    port of a part while that restarts. Raises DependencyError when there is none.

    They are claimed: no other call gets one of them, in any process of this network namespace, until this process and
    all that were given its `claims` have ended, or this one has made KEPT more.
    """
    outgoing = int(OUTGOING.read_text().split()[0])
    slots = -(-length // SLOT)
    places = range(-(-LOWEST // SLOT), outgoing // SLOT - slots + 1)
    for place in secrets.SystemRandom().sample(places, len(places)):
        with suppress(OSError), ExitStack() as trial:
            made = {slot: trial.enter_context(_claim(slot)) for slot in range(place, place + slots)}
            first = place * SLOT
            _try(range(first, first + length))
            trial.pop_all()
            _keep(made)
            return first
    raise DependencyError(f"no {length} free ports in a row on {HOST}: end what holds them, or set the ports")


def claims(settings: Settings) -> tuple[int, ...]:
    """Descriptors of what this process has claimed of these ports, to hand down (`pass_fds`) to whoever needs them."""
    trainer = settings.local.ports.trainer_metrics
    row = range(trainer, trainer + max(settings.trainer.ranks, RANKS))
    slots = {port // SLOT for port in (*settings.local.ports.model_dump().values(), *row)}
    return tuple(_kept[slot].fileno() for slot in slots if slot in _kept)


def _claim(slot: int) -> socket.socket:
    """A name that only one can have, and that ends with its last holder; raises OSError if another has it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0headrace-ports-{slot}")
    except OSError:
        claim.close()
        raise
    return claim


def _try(row: range) -> None:
    """Raise OSError if one of these ports is in use: what they are for may not know of claims."""
    with ExitStack() as held:
        for port in row:
            held.enter_context(socket.create_server((HOST, port)))


def _keep(made: dict[int, socket.socket]) -> None:
    _kept.update(made)
    for slot in list(_kept)[: -max(KEPT, len(made))]:
        _kept.pop(slot).close()


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
