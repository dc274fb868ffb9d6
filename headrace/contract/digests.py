"""The hashes that prove what was fed. Everyone who writes or checks one calls this file.

xxh3-128 is fast enough to hash every byte that passes and wide enough that two blocks never collide by chance
(it is no defence against someone who forges blocks on purpose).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import xxhash

FED_START = bytes(16)
"""`fed` of a model that has seen nothing."""


def block_digest(value: bytes) -> bytes:
    """16 bytes that stand for one record of `tokens.blocks`, as it lies in Kafka."""
    return xxhash.xxh3_128_digest(value)


def run_digest(blocks: Iterable[bytes]) -> bytes:
    """16 bytes that stand for a run of blocks: the hash of their digests in order.

    Made from digests, not from the blocks' bytes, so that ranks that hold only their own blocks can compute it.
    """
    return xxhash.xxh3_128_digest(b"".join(blocks))


def fed_next(fed: bytes, seq: int, blocks: Iterable[bytes]) -> bytes:
    """`fed` after plan record `seq` was trained: fed[k] = xxh3(fed[k-1] ‖ seq ‖ block digests in plan order)."""
    return xxhash.xxh3_128_digest(fed + seq.to_bytes(8, "little") + b"".join(blocks))


def seed_for(run_seed: int, step: int, leaf: int) -> int:
    """The 64-bit seed of all generators for one leaf of one step: no rank, no world size, no clock in it."""
    parts = (run_seed, step, leaf)
    return xxhash.xxh3_64_intdigest(b"".join((part & (2**64 - 1)).to_bytes(8, "little") for part in parts))


def shard_of(partition: int, offset: int, shards: int) -> int:
    """The shard that a document's raw coordinate deals it into."""
    return xxhash.xxh3_64_intdigest(partition.to_bytes(8, "little") + offset.to_bytes(8, "little")) % shards


def file_sha256(path: str) -> str:
    """Hex sha256 of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
