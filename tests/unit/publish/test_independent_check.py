"""The independent check can fail: each promise broken once, in the smallest world that holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import xxhash
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
    plan = {"kind": "train", "seq": number + 1, "step": number, "blocks": [[0, first, last, count, "digest"]]}
    return Record(0, number, json.dumps(plan).encode())


BLOCKS = [block(0, [1, 2, 0, 2], [(0, 0, 0), (1, 3, 0)]), block(2, [1, 2, 0], [(1, 0, 1)])]
"""Block offset 1 is a marker."""


def fed(*blocks: Record) -> str:
    """The hash of all that is fed after these, one a step."""
    found = bytes(16)
    for number, one in enumerate(blocks):
        digest = xxhash.xxh3_128_digest(one.value())
        found = xxhash.xxh3_128_digest(found + (number + 1).to_bytes(8, "little") + digest)
    return found.hex()


FED = [fed(*BLOCKS[:1]), fed(*BLOCKS)]


def report(number: int, tokens: int, run: str = "main", fed: str = "") -> Record:
    said = {"kind": "step", "run": run, "step": number, "tokens": tokens, "fed": fed or FED[number]}
    return Record(0, number, json.dumps(said).encode())


def world() -> World:
    """Four documents: one rejected by each job, "a b" in one block, "b a b" in two."""
    return {
        "text.raw": [Record(0, offset, b"x%d" % offset) for offset in range(4)],
        "text.clean": [clean(0, "a b"), clean(1, "b a b"), clean(2, "a")],
        "text.rejected": [rejected(3, "clean"), rejected(2, "tokenize")],
        "tokens.blocks": list(BLOCKS),
        "train.plan": [Record(0, 0, b'{"kind": "origin"}'), step(0, 0, 0, 1), step(1, 2, 2, 1)],
        "train.steps": [report(0, 4), Record(0, 1, b'{"kind": "idle"}'), report(1, 3)],
    }


ACKNOWLEDGED = [f"0 {offset} {xxhash.xxh3_128_hexdigest(b'x%d' % offset)}" for offset in range(4)]


def found(topics: World, monkeypatch: pytest.MonkeyPatch, published: int = 4) -> list[str]:
    """What the check says of a world."""

    def read(brokers: str, topic: str) -> Iterator[Record]:
        yield from topics[topic.removeprefix("p.")]

    monkeypatch.setattr(check, "read", read)
    tokenizer = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "a": 1, "b": 2}, "a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    said = check.Found()
    check.check_acknowledged("", "p.", ACKNOWLEDGED, said)
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
    "acknowledged and lost": (drop("text.raw", 3), "acknowledged and lost: [(0, 3)]"),
    "never acknowledged": (add("text.raw", Record(0, 9, b"x9")), "never acknowledged: [(0, 9)]"),
    "other bytes": (put("text.raw", 3, Record(0, 3, b"y")), "other bytes than acknowledged: [(0, 3)]"),
    "outcome missing": (drop("text.rejected", 0), "outcomes and raw differ"),
    "outcome of nothing": (add("text.rejected", rejected(9, "clean")), "outcomes and raw differ"),
    "two outcomes": (add("text.rejected", rejected(0, "clean")), "more than one outcome"),
    "a text twice": (put("text.clean", 1, clean(1, "a b")), "1 texts were accepted that had been accepted before"),
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
    "trained on others": (put("train.steps", 2, report(1, 3, fed=FED[0])), f"step 1: fed is {FED[0]}, should be"),
    "trained on others once": (add("train.steps", report(0, 4, fed=FED[1])), f"step 0: fed is {FED[1]}, should be"),
    "trained what is not planned": (add("train.steps", report(2, 3, fed=FED[0])), "step 2: fed is"),
    "another run lacks a step": (add("train.steps", report(0, 4, "other")), "run other: planned and trained differ at"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_world_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = world()
    break_it, expected = BROKEN[name]
    break_it(topics)
    assert any(expected in wrong for wrong in found(topics, monkeypatch)), found(topics, monkeypatch)


def save(folder: Path, steps: dict[int, str], last: float = 1.0) -> Path:
    """A run's checkpoints, one pruned, one torn: `steps` has the hash of the weights of each, `last` is one of them."""
    for number, hash_ in steps.items():
        place = folder / f"step-{number:010d}"
        place.mkdir(parents=True)
        manifest = {"step": number, "weights": hash_, "fed": FED[number - 1] if number else "start"}
        place.joinpath("manifest.json").write_text(json.dumps(manifest))
        safetensors.numpy.save_file({"w": np.array([last], np.float32)}, place / "model.safetensors")
    (folder / "history").mkdir()
    (folder / "step-0000000000" / "manifest.json").rename(folder / "history" / "step-0000000000.json")
    (folder / "step-0000000009").mkdir()
    (folder / "step-0000000009" / "manifest.json").write_text('{"step"')
    return folder


PLANNED = dict(enumerate([check.Planned(4, FED[0]), check.Planned(3, FED[1])]))
WHOLE = {0: "a", 1: "b", 2: "c"}


@pytest.mark.parametrize(
    ("steps", "last", "expected"),
    [
        (WHOLE, 1.0, ""),
        ({0: "a", 2: "c"}, 1.0, ""),
        ({**WHOLE, 1: "x"}, 1.0, "weights differ from step [1] on"),
        ({**WHOLE, 0: "x"}, 1.0, "weights differ from step [0] on"),
        (WHOLE, 2.0, "weights of step 2 differ"),
        ({0: "a", 1: "b"}, 1.0, "has no checkpoint of step 2"),
    ],
)
def test_runs_that_learned_otherwise_are_named(
    tmp_path: Path, steps: dict[int, str], last: float, expected: str
) -> None:
    said = check.Found()
    runs = [save(tmp_path / "main", WHOLE), save(tmp_path / "reference", steps, last)]
    check.check_runs(runs, PLANNED, said)
    assert (not said.wrong) == (not expected)
    assert any(expected in wrong for wrong in [*said.wrong, ""])


def test_a_checkpoint_that_was_fed_otherwise_is_named(tmp_path: Path) -> None:
    said = check.Found()
    other = {**PLANNED, 0: check.Planned(4, FED[1])}
    check.check_runs([save(tmp_path / "main", WHOLE)], other, said)
    assert "other blocks than planned were fed before steps [1]" in said.wrong[0]
