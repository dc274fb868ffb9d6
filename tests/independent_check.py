"""An independent check of a settled deployment: it imports nothing of Headrace, only a Kafka client and file formats.

    python tests/independent_check.py BROKERS TOKENIZER_JSON [--prefix PREFIX] [--published N]

It reads every topic from its beginning and holds that
  1. documents published = clean + rejected by the clean job, each coordinate exactly once,
  2. the tokens in the blocks are those of the clean documents, in order, each once, as the tokenizers library makes
     them of the text; what the tokenize job rejected is in no block,
  3. every block stands in the plan exactly once,
  4. every planned step was trained on the tokens that it was planned with.
Prints what it counted and every contradiction; exits 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import safetensors.numpy
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
Coordinate = tuple[int, int]


@dataclass
class Found:
    """What the topics hold, and what does not fit."""

    clean: dict[Coordinate, str] = field(default_factory=dict)
    rejected_late: set[Coordinate] = field(default_factory=set)
    pieces: dict[Coordinate, dict[int, list[int]]] = field(default_factory=lambda: defaultdict(dict))
    block_sizes: dict[Coordinate, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def hold(self, true: bool, otherwise: str) -> None:
        if not true:
            self.wrong.append(otherwise)


def read(brokers: str, topic: str) -> Iterator[Message]:
    """Every committed record of a topic, partition after partition."""
    reader = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "independent-check",
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.message.max.bytes": 16 << 20,
        }
    )
    partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
    for partition in partitions:
        reader.assign([TopicPartition(topic, partition, 0)])
        while True:
            message = reader.poll(30)
            if message is None:
                sys.exit(f"{topic}[{partition}]: no answer for 30 s")
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                break
            else:
                sys.exit(f"{topic}[{partition}]: {error}")
    reader.close()


def place(message: Message) -> Coordinate:
    return int(message.partition() or 0), int(message.offset() or 0)


def content(message: Message) -> Any:
    return json.loads(message.value() or b"null")


def check_outcomes(brokers: str, prefix: str, published: int | None, found: Found) -> None:
    """1: each raw coordinate has exactly one outcome of the clean job."""
    raw = {place(message) for message in read(brokers, prefix + "text.raw")}
    outcomes: Counter[Coordinate] = Counter()
    for message in read(brokers, prefix + "text.clean"):
        document = content(message)
        partition, offset = document["raw"]
        found.clean[partition, offset] = document["text"]
        outcomes[partition, offset] += 1
    accepted = outcomes.total()
    reasons: Counter[str] = Counter()
    for message in read(brokers, prefix + "text.rejected"):
        headers = {name: bytes(value or b"").decode() for name, value in message.headers() or []}
        coordinate = int(headers["raw-partition"]), int(headers["raw-offset"])
        if headers["stage"] == "tokenize":
            found.rejected_late.add(coordinate)
        else:
            outcomes[coordinate] += 1
            reasons[headers["reason"]] += 1
    print(f"documents: {len(raw)} published = {accepted} clean + {reasons.total()} rejected {dict(reasons)}")
    found.hold(published in (None, len(raw)), f"{published} documents were delivered, text.raw holds {len(raw)}")
    found.hold(raw == set(outcomes), f"outcomes and raw differ at {sorted(raw ^ set(outcomes))[:5]}")
    twice = [coordinate for coordinate, times in outcomes.items() if times > 1]
    found.hold(not twice, f"more than one outcome: {twice[:5]}")


def read_blocks(brokers: str, prefix: str, found: Found) -> None:
    """Take the blocks apart into the pieces of each document."""
    for message in read(brokers, prefix + "tokens.blocks"):
        block = safetensors.numpy.load(message.value() or b"")
        tokens, at = block["tokens"].tolist(), place(message)
        found.block_sizes[at] = len(tokens)
        starts = block["doc_start"].tolist()
        for span, (begin, end) in enumerate(zip(starts, [*starts[1:], len(tokens)], strict=True)):
            partition, offset = block["doc_raw"][span].tolist()
            pieces, first = found.pieces[partition, offset], int(block["doc_from"][span])
            found.hold(first not in pieces, f"token {first} of document {(partition, offset)} is twice in the blocks")
            pieces[first] = tokens[begin:end]


def check_tokens(tokenizer: Tokenizer, found: Found) -> None:
    """2: put together again, the pieces are what the tokenizer makes of the text."""
    tokenizer.encode_special_tokens = True
    end = tokenizer.token_to_id(END_OF_TEXT)
    total = 0
    for coordinate, text in found.clean.items():
        pieces = found.pieces.pop(coordinate, {})
        if coordinate in found.rejected_late:
            found.hold(not pieces, f"document {coordinate} is rejected by the tokenize job and in a block")
            continue
        tokens = [*tokenizer.encode(text, add_special_tokens=False).ids, end]
        total += len(tokens)
        expected = 0
        for first in sorted(pieces):
            found.hold(first == expected, f"document {coordinate}: tokens {expected} to {first} do not follow")
            expected = first + len(pieces[first])
        joined = [token for first in sorted(pieces) for token in pieces[first]]
        found.hold(
            joined == tokens, f"document {coordinate}: {len(joined)} tokens in blocks, {len(tokens)} in its text"
        )
    found.hold(not found.pieces, f"blocks hold documents that are not clean: {list(found.pieces)[:5]}")
    in_blocks = sum(found.block_sizes.values())
    print(f"tokens: {in_blocks} in {len(found.block_sizes)} blocks = {total} of clean documents")
    found.hold(in_blocks == total, f"{in_blocks} tokens in blocks, {total} in clean documents")


def check_plan(brokers: str, prefix: str, found: Found) -> dict[int, int]:
    """3: each block is planned once. Returns the tokens of each step."""
    planned: Counter[Coordinate] = Counter()
    steps: dict[int, int] = {}
    for message in read(brokers, prefix + "train.plan"):
        record = content(message)
        if record["kind"] != "train":
            continue
        blocks = []
        for partition, first, last, count, _ in record["blocks"]:
            run = [at for at in found.block_sizes if at[0] == partition and first <= at[1] <= last]
            found.hold(len(run) == count, f"step {record['step']}: {count} blocks are planned, {len(run)} are there")
            blocks += run
        planned.update(blocks)
        steps[record["step"]] = sum(found.block_sizes[at] for at in blocks)
    print(f"plan: {planned.total()} blocks in {len(steps)} steps")
    once = Counter(dict.fromkeys(found.block_sizes, 1))
    found.hold(planned == once, f"not planned exactly once: {list((planned - once) + (once - planned))[:5]}")
    found.hold(list(steps) == list(range(len(steps))), "steps do not count from 0 without a gap")
    return steps


def check_steps(brokers: str, prefix: str, planned: dict[int, int], found: Found) -> None:
    """4: every step is reported, with the tokens that its blocks hold."""
    reports = [content(message) for message in read(brokers, prefix + "train.steps")]
    trained = {report["step"]: report["tokens"] for report in reports if report["kind"] == "step"}
    print(f"trained: {sum(trained.values())} tokens in {len(trained)} steps")
    differ = [step for step in planned.keys() | trained.keys() if planned.get(step) != trained.get(step)]
    found.hold(not differ, f"planned and trained differ at steps {sorted(differ)[:5]}")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("brokers")
    arguments.add_argument("tokenizer")
    arguments.add_argument("--prefix", default="")
    arguments.add_argument("--published", type=int, help="documents that the publisher saw delivered")
    given = arguments.parse_args()
    found = Found()
    check_outcomes(given.brokers, given.prefix, given.published, found)
    read_blocks(given.brokers, given.prefix, found)
    check_tokens(Tokenizer.from_file(given.tokenizer), found)
    check_steps(given.brokers, given.prefix, check_plan(given.brokers, given.prefix, found), found)
    for contradiction in found.wrong:
        print(f"WRONG: {contradiction}")
    print(f"independent check: {len(found.wrong)} contradictions")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
