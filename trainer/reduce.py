"""From the gradients of leaves to their sum, the same bits on every rank: `add(leaf, gradients)`, then `finish()`.

Canonical: one fixed binary tree over the leaves of the step, so that the sum is the same at any number of ranks
(docs/step.md, 7). Plain: local sums and one all-reduce, equal within rounding only. Neither is ever an average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import torch
import torch.distributed as dist

from trainer.group import Group
from trainer.shares import leaves_of


class Sum(Protocol):
    """What a tree adds up: tensors, or whatever else adds."""

    def __add__(self, other: Self, /) -> Self: ...


T = TypeVar("T", bound=Sum)


class Node(NamedTuple, Generic[T]):
    """The sum of leaves [place * 2**level, (place + 1) * 2**level), as far as they exist."""

    level: int
    place: int
    value: T


class Tree(Generic[T]):
    """A binary counter: holds the maximal aligned nodes of what was pushed, in leaf order; at most two a level.

    node(0, i) = g_i; node(l, i) = node(l-1, 2i) + node(l-1, 2i+1), or node(l-1, 2i) alone if no leaf is to its right.
    Nothing is added for leaves that do not exist: adding zero would change bits (-0.0 + 0.0 is 0.0).
    """

    def __init__(self, leaves: int) -> None:
        self.leaves = leaves
        self.nodes: list[Node[T]] = []

    def push(self, level: int, place: int, value: T) -> None:
        """Add one node; nodes must come in leaf order. The tree keeps the value, and may add to it in place."""
        self.nodes.append(Node(level, place, value))
        while self._join() or self._rise():
            pass

    def _join(self) -> bool:
        """Add the last node to its left sibling, if that is here."""
        if len(self.nodes) < 2:
            return False
        left, right = self.nodes[-2:]
        if left.level != right.level or right.place % 2 == 0 or left.place != right.place - 1:
            return False
        value = left.value
        value += right.value
        self.nodes[-2:] = [Node(right.level + 1, right.place // 2, value)]
        return True

    def _rise(self) -> bool:
        """Let the last node stand for its parent, if no leaf is to its right; place 0 has some, or is the root."""
        last = self.nodes[-1]
        if last.place % 2 or last.place == 0 or (last.place + 1 << last.level) < self.leaves:
            return False
        self.nodes[-1] = Node(last.level + 1, last.place // 2, last.value)
        return True


def node_places(leaves: int, share: range) -> list[tuple[int, int]]:
    """(level, place) of the nodes that a rank with this share ends up with; every rank computes it for every other."""
    tree: Tree[int] = Tree(leaves)
    for leaf in share:
        tree.push(0, leaf, 0)
    return [(node.level, node.place) for node in tree.nodes]


class Reduction(Protocol):
    """The one seam between computing gradients and having their sum."""

    def add(self, leaf: int, gradients: torch.Tensor) -> None:
        """Take the flat fp32 gradients of one of this rank's leaves, to keep; leaves come in order."""

    def finish(self) -> torch.Tensor:
        """The sum over all leaves of the step, on every rank. A collective; blocks until all ranks have come."""


class Canonical:
    """Sums that do not depend on the number of ranks. `width` is the length of the gradients."""

    def __init__(self, leaves: int, width: int, group: Group) -> None:
        self.leaves, self.width, self.group = leaves, width, group
        self.ranks, self.wire = group.size, group.wire
        self.tree: Tree[torch.Tensor] = Tree(leaves)

    def add(self, leaf: int, gradients: torch.Tensor) -> None:
        self.tree.push(0, leaf, gradients)

    def finish(self) -> torch.Tensor:
        """Send every rank its shard of this rank's nodes, finish the tree for the own shard, gather the shards."""
        if self.ranks == 1:
            return self.tree.nodes[0].value
        shard = -(-self.width // self.ranks)
        tree: Tree[torch.Tensor] = Tree(self.leaves)
        for (level, place), value in self._exchange(shard):
            tree.push(level, place, value)
        whole = torch.empty(self.ranks * shard, device=self.wire)
        with self.group.collective("gathering the sum"):
            dist.all_gather_into_tensor(whole, tree.nodes[0].value.contiguous())
        return whole[: self.width].to(self.group.device)

    def _exchange(self, shard: int) -> Iterator[tuple[tuple[int, int], torch.Tensor]]:
        """This rank's shard of every node of every rank, in leaf order."""
        places = [node_places(self.leaves, leaves_of(rank, self.ranks, self.leaves)) for rank in range(self.ranks)]
        mine = [node.value for node in self.tree.nodes]
        sent = torch.empty(self.ranks, len(mine), shard, device=self.wire)
        for number, value in enumerate(mine):
            for rank, piece in enumerate(torch.split(value, shard)):
                sent[rank, number, : len(piece)] = piece  # what lies behind the last one is cut off at the end
        every = [place for of_rank in places for place in of_rank]
        received = torch.empty(len(every), shard, device=self.wire)
        takes, gives = [len(of_rank) * shard for of_rank in places], [len(mine) * shard] * self.ranks
        with self.group.collective("exchanging partial sums"):
            dist.all_to_all_single(received.view(-1), sent.view(-1), takes, gives)
        return zip(every, received, strict=True)


class Plain:
    """Local sums and one all-reduce: the bits depend on the number of ranks."""

    def __init__(self, leaves: int, width: int, group: Group) -> None:
        self.group = group
        self.total = torch.zeros(width, device=group.device)

    def add(self, leaf: int, gradients: torch.Tensor) -> None:
        self.total += gradients

    def finish(self) -> torch.Tensor:
        total = self.total.to(self.group.wire)
        with self.group.collective("summing"):
            dist.all_reduce(total, op=dist.ReduceOp.SUM)
        return total.to(self.group.device)


REDUCTIONS: Mapping[str, Callable[[int, int, Group], Reduction]] = {"canonical": Canonical, "plain": Plain}
