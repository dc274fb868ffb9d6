"""The independent check can fail: each promise broken once, in the smallest world that holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tokenizers import Tokenizer, models, pre_tokenizers

from tests import independent_check as check


@dataclass
class Record:
    """As much of a Kafka message as the check looks at."""

    partition_: int
    offset_: int
    value_: bytes
    headers_: dict[str, str] = field(default_factory=dict)

    def partition(self) -> int:
        return self.partition_

    def offset(self) -> int:
        return self.offset_

    def value(self) -> bytes:
        return self.value_

    def headers(self) -> list[tuple[str, bytes]]:
        return [(name, value.encode()) for name, value in self.headers_.items()]


World = dict[str, list[Record]]


def clean(offset: int, text: str) -> Record:
    return Record(0, offset, json.dumps({"raw": [0, offset], "text": text}).encode())


def rejected(offset: int, stage: str) -> Record:
    return Record(0, offset, b"", {"stage": stage, "reason": "r", "raw-partition": "0", "raw-offset": str(offset)})


def block(offset: int, tokens: list[int], spans: list[tuple[int, int, int]]) -> Record:
    """`spans`: (raw offset, begin in the block, first token of the document)."""
    tensors: dict[str, Any] = {
        "tokens": np.array(tokens, np.uint16),
        "doc_raw": np.array([[0, raw] for raw, _, _ in spans], np.int64),
        "doc_start": np.array([begin for _, begin, _ in spans], np.int32),
        "doc_from": np.array([first for _, _, first in spans], np.int32),
    }
    return Record(0, offset, safetensors.numpy.save(tensors))


def step(number: int, first: int, last: int, count: int) -> Record:
    plan = {"kind": "train", "step": number, "blocks": [[0, first, last, count, "digest"]]}
    return Record(0, number, json.dumps(plan).encode())


def report(number: int, tokens: int) -> Record:
    return Record(0, number, json.dumps({"kind": "step", "step": number, "tokens": tokens}).encode())


def world() -> World:
    """Four documents: one rejected by each job, "a b" in one block, "b a b" in two. Block offset 1 is a marker."""
    return {
        "text.raw": [Record(0, offset, b"x") for offset in range(4)],
        "text.clean": [clean(0, "a b"), clean(1, "b a b"), clean(2, "a")],
        "text.rejected": [rejected(3, "clean"), rejected(2, "tokenize")],
        "tokens.blocks": [block(0, [1, 2, 0, 2], [(0, 0, 0), (1, 3, 0)]), block(2, [1, 2, 0], [(1, 0, 1)])],
        "train.plan": [Record(0, 0, b'{"kind": "origin"}'), step(0, 0, 0, 1), step(1, 2, 2, 1)],
        "train.steps": [report(0, 4), Record(0, 1, b'{"kind": "idle"}'), report(1, 3)],
    }


def found(topics: World, monkeypatch: pytest.MonkeyPatch, published: int = 4) -> list[str]:
    """What the check says of a world."""

    def read(brokers: str, topic: str) -> Iterator[Record]:
        yield from topics[topic.removeprefix("p.")]

    monkeypatch.setattr(check, "read", read)
    tokenizer = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "a": 1, "b": 2}, "a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    said = check.Found()
    check.check_outcomes("", "p.", published, said)
    check.read_blocks("", "p.", said)
    check.check_tokens(tokenizer, said)
    check.check_steps("", "p.", check.check_plan("", "p.", said), said)
    return said.wrong


def test_a_whole_world_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(world(), monkeypatch) == []


def drop(topic: str, place: int) -> Callable[[World], None]:
    return lambda topics: topics[topic].__delitem__(place)


def put(topic: str, place: int, record: Record) -> Callable[[World], None]:
    return lambda topics: topics[topic].__setitem__(place, record)


def add(topic: str, record: Record) -> Callable[[World], None]:
    return lambda topics: topics[topic].append(record)


BROKEN: dict[str, tuple[Callable[[World], None], str]] = {
    "outcome missing": (drop("text.rejected", 0), "outcomes and raw differ"),
    "outcome of nothing": (add("text.rejected", rejected(9, "clean")), "outcomes and raw differ"),
    "two outcomes": (add("text.rejected", rejected(0, "clean")), "more than one outcome"),
    "document lost": (drop("text.raw", 3), "documents were delivered"),
    "tokens lost": (drop("tokens.blocks", 1), "1 tokens in blocks, 4 in its text"),
    "tokens changed": (
        put("tokens.blocks", 1, block(2, [2, 2, 0], [(1, 0, 1)])),
        "document (0, 1): 4 tokens in blocks, 4 in its text",
    ),
    "tokens twice": (add("tokens.blocks", block(3, [1, 2, 0], [(1, 0, 1)])), "is twice in the blocks"),
    "a gap in a document": (put("tokens.blocks", 1, block(2, [1, 2, 0], [(1, 0, 2)])), "do not follow"),
    "rejected and in a block": (add("tokens.blocks", block(3, [1, 0], [(2, 0, 0)])), "and in a block"),
    "tokens of nothing": (add("tokens.blocks", block(3, [1, 0], [(7, 0, 0)])), "that are not clean"),
    "block not planned": (drop("train.plan", 2), "not planned exactly once"),
    "block planned twice": (add("train.plan", step(2, 0, 0, 1)), "not planned exactly once"),
    "other count than planned": (put("train.plan", 2, step(1, 1, 2, 2)), "2 blocks are planned, 1 are there"),
    "plan with a gap": (put("train.plan", 2, step(2, 2, 2, 1)), "do not count from 0"),
    "step not trained": (drop("train.steps", 2), "planned and trained differ at steps [1]"),
    "trained on less": (put("train.steps", 2, report(1, 2)), "planned and trained differ at steps [1]"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_world_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = world()
    break_it, expected = BROKEN[name]
    break_it(topics)
    assert any(expected in wrong for wrong in found(topics, monkeypatch)), found(topics, monkeypatch)
