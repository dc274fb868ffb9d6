"""The ranks of a fleet: how they find each other, agree before each step, and tell each other to end.

Gradients go through the default group (NCCL or gloo), everything else through a gloo group of its own. No collective is
outstanding while a rank waits for data: `agree` is called only when a step and its blocks are in memory.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from headrace.contract.errors import ContractError, HeadraceError, SettingsError
from trainer.board import Board

log = logging.getLogger("headrace")

T = TypeVar("T")
HEADER = struct.Struct("<q16s16s??")


class PeerLost(HeadraceError):
    """Another rank has gone, or did not come in time. No collective may follow."""


class Header(NamedTuple):
    """What every rank says before a step. `save` and `stop` count on rank 0 alone."""

    seq: int
    plan: bytes
    fingerprint: bytes
    save: bool = False
    stop: bool = False

    def __str__(self) -> str:
        return f"plan record {self.seq} ({self.plan.hex()}) with fingerprint {self.fingerprint.hex()}"


@dataclass(frozen=True)
class Group:
    """One rank's view of all. It computes on `device`; what it sends through the default group lies on `wire`."""

    rank: int
    size: int
    device: torch.device
    wire: torch.device
    control: dist.ProcessGroup
    store: Store
    board: Board

    @property
    def leads(self) -> bool:
        """Rank 0 alone writes checkpoints and reports, and hears operators."""
        return self.rank == 0

    @contextmanager
    def collective(self, when: str) -> Iterator[None]:
        """Turn what torch.distributed raises when a rank is gone or late into PeerLost."""
        try:
            yield
        except RuntimeError as error:
            absent = self.board.absent(self.rank) or "which one is not known here"
            raise PeerLost(f"rank {self.rank} of {self.size} lost a peer, {when}: {absent} ({error})") from error

    def agree(self, header: Header) -> Header:
        """Exchange headers; returns rank 0's. The first collective of every step.

        Raises ContractError naming both sides if a rank is about to train something else, PeerLost if one has gone.
        """
        mine = torch.frombuffer(bytearray(HEADER.pack(*header)), dtype=torch.uint8)
        every = torch.empty(self.size, HEADER.size, dtype=torch.uint8)
        with self.collective(f"before plan record {header.seq}"):
            dist.all_gather_into_tensor(every.view(-1), mine, group=self.control)
        headers = [Header(*HEADER.unpack(row.numpy().tobytes())) for row in every]
        for rank, other in enumerate(headers):
            if other[:3] != headers[0][:3]:
                raise ContractError(f"rank {rank} holds {other}, rank 0 holds {headers[0]}: they read different plans")
        return headers[0]

    def gather(self, value: T) -> list[T]:
        """Every rank's value, by rank."""
        values: list[Any] = [None] * self.size
        with self.collective("exchanging facts"):
            dist.all_gather_object(values, value, group=self.control)
        return values

    def from_leader(self, value: T | None) -> T:
        """Rank 0's value, on every rank."""
        box = [value]
        with self.collective("hearing rank 0"):
            dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]  # type: ignore[return-value]

    def tell(self, word: str) -> None:
        """Leave a word that the others find when they look. No collective."""
        self.store.set(word, "said")

    def told(self, word: str) -> bool:
        """Whether a word was left."""
        return bool(self.store.check([word]))


class Place(NamedTuple):
    """Which rank a process is, where the ranks meet (a URL of torch.distributed), who launched it (0: nobody).

    On the board all of them say what they do.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    meeting: str
    launcher: int
    board: Board


def place_from(environment: Mapping[str, str]) -> Place:
    """What torchrun said; without it a fleet of one, which outlives whoever started it."""
    if "RANK" not in environment:
        return Place(0, 1, 0, 1, "", 0, Board(1))
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    rank, size, local_rank, local_size = (int(environment[name]) for name in names)
    return Place(rank, size, local_rank, local_size, "env://", os.getppid(), Board(size))


def choose_device(wanted: str, local_rank: int, local_size: int) -> torch.device:
    """This rank's device; `auto` takes CUDA where there is a device for each rank of this machine."""
    devices = torch.cuda.device_count() if wanted != "cpu" else 0
    if wanted == "cuda_shared" and devices:
        return torch.device("cuda", local_rank % devices)
    if devices >= local_size:
        return torch.device("cuda", local_rank)
    fewer = f"trainer.device = {wanted}, but {devices} devices for {local_size} ranks: set trainer.ranks or cuda_shared"
    if wanted in ("cuda", "cuda_shared"):
        raise SettingsError(fewer)
    if devices and not local_rank:
        log.warning("trains on the CPU", extra={"why": fewer})
    return torch.device("cpu")


def join(place: Place, device: torch.device, timeout_s: float, shared: bool = False) -> Group:
    """Meet the other ranks; blocks until all are there. Every collective ends in an error after `timeout_s`.

    `shared`: other ranks may be on this device, which NCCL refuses; gloo sends from the memory of the CPU.
    """
    timeout = timedelta(seconds=timeout_s)
    store: Store = HashStore()
    if place.size > 1:
        store, _, _ = next(rendezvous(place.meeting, place.rank, place.size, timeout=timeout))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    nccl = device.type == "cuda" and not shared
    backend, wire = ("nccl", device) if nccl else ("gloo", torch.device("cpu"))
    dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.size, timeout=timeout)
    control = dist.new_group(backend="gloo", timeout=timeout)
    assert isinstance(control, dist.ProcessGroup), "every rank is in the control group"
    return Group(place.rank, place.size, device, wire, control, PrefixStore("words", store), place.board)
