"""An independent check of a settled deployment: it imports nothing of Headrace, only a Kafka client and file formats.

    python tests/independent_check.py BROKERS TOKENIZER_JSON [--prefix PREFIX] [--published N]
                                      [--acknowledged FILE] [--runs FOLDER FOLDER …]

It reads every topic from its beginning and holds that
  0. text.raw holds what the broker has acknowledged, byte for byte, and nothing else. FILE has a line for each delivery
     report: partition, offset, xxh3-128 of the value in hex,
  1. documents published = clean + rejected by the clean job, each coordinate exactly once, and no text is clean twice,
  2. the tokens in the blocks are those of the clean documents, in order, each once, as the tokenizers library makes
     them of the text; what the tokenize job rejected is in no block,
  3. every block stands in the plan exactly once,
  4. every run trained every planned step on the tokens that it was planned with; each report of a step names the
     hash of all that was fed until then, computed here from the bytes of the blocks,
  5. the checkpoint folders of these runs hold the same weights wherever both saved at the same step, and at the last
     step of the plan, to the bit.
Prints what it counted and every contradiction; exits 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import sys
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.numpy
import xxhash
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
Coordinate = tuple[int, int]


class Planned(NamedTuple):
    """A step: its tokens, and the hash of all that is fed when it has been trained."""

    tokens: int
    fed: str


@dataclass
class Found:
    """What the topics hold, and what does not fit."""

    clean: dict[Coordinate, str] = field(default_factory=dict)
    rejected_late: set[Coordinate] = field(default_factory=set)
    pieces: dict[Coordinate, dict[int, list[int]]] = field(default_factory=lambda: defaultdict(dict))
    block_sizes: dict[Coordinate, int] = field(default_factory=dict)
    block_digests: dict[Coordinate, bytes] = field(default_factory=dict)
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


def check_acknowledged(brokers: str, prefix: str, acknowledged: Sequence[str], found: Found) -> None:
    """0: what was acknowledged is there. `acknowledged`: lines of FILE."""
    told = {(int(p), int(offset)): digest for p, offset, digest in map(str.split, acknowledged)}
    there = {place(m): xxhash.xxh3_128_hexdigest(m.value() or b"") for m in read(brokers, prefix + "text.raw")}
    print(f"delivery reports: {len(told)}, records in text.raw: {len(there)}")
    found.hold(len(told) == len(acknowledged), f"{len(acknowledged)} delivery reports name {len(told)} places")
    found.hold(not told.keys() - there.keys(), f"acknowledged and lost: {sorted(told.keys() - there.keys())[:5]}")
    found.hold(not there.keys() - told.keys(), f"never acknowledged: {sorted(there.keys() - told.keys())[:5]}")
    other = [at for at in told.keys() & there.keys() if told[at] != there[at]]
    found.hold(not other, f"other bytes than acknowledged: {sorted(other)[:5]}")


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
    again = len(found.clean) - len(set(found.clean.values()))
    found.hold(not again, f"{again} texts were accepted that had been accepted before")


def read_blocks(brokers: str, prefix: str, found: Found) -> None:
    """Take the blocks apart into the pieces of each document."""
    for message in read(brokers, prefix + "tokens.blocks"):
        value = message.value() or b""
        block = safetensors.numpy.load(value)
        tokens, at = block["tokens"].tolist(), place(message)
        found.block_sizes[at], found.block_digests[at] = len(tokens), xxhash.xxh3_128_digest(value)
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


def check_plan(brokers: str, prefix: str, found: Found) -> dict[int, Planned]:
    """3: each block is planned once."""
    offsets: dict[int, list[int]] = defaultdict(list)
    for partition, offset in sorted(found.block_sizes):
        offsets[partition].append(offset)
    planned: Counter[Coordinate] = Counter()
    steps: dict[int, Planned] = {}
    fed = bytes(16)
    for message in read(brokers, prefix + "train.plan"):
        record = content(message)
        if record["kind"] != "train":
            continue
        blocks: list[Coordinate] = []
        for partition, first, last, count, _ in record["blocks"]:
            own = offsets[partition]
            run = [(partition, at) for at in own[bisect_left(own, first) : bisect_right(own, last)]]
            found.hold(len(run) == count, f"step {record['step']}: {count} blocks are planned, {len(run)} are there")
            blocks += run
        planned.update(blocks)
        digests = b"".join(found.block_digests[at] for at in blocks)
        fed = xxhash.xxh3_128_digest(fed + record["seq"].to_bytes(8, "little") + digests)
        steps[record["step"]] = Planned(sum(found.block_sizes[at] for at in blocks), fed.hex())
    print(f"plan: {planned.total()} blocks in {len(steps)} steps")
    once = Counter(dict.fromkeys(found.block_sizes, 1))
    found.hold(planned == once, f"not planned exactly once: {list((planned - once) + (once - planned))[:5]}")
    found.hold(list(steps) == list(range(len(steps))), "steps do not count from 0 without a gap")
    return steps


def check_steps(brokers: str, prefix: str, planned: Mapping[int, Planned], found: Found) -> None:
    """4: every step is reported by every run, with what its blocks hold, however often it was computed."""
    runs: dict[str, dict[int, int]] = defaultdict(dict)
    computed: Counter[str] = Counter()
    for message in read(brokers, prefix + "train.steps"):
        report = content(message)
        if report["kind"] == "step":
            run, step = report["run"], report["step"]
            computed[run] += 1
            runs[run][step] = report["tokens"]
            fed = planned[step].fed if step in planned else "nothing"
            found.hold(report["fed"] == fed, f"run {run}, step {step}: fed is {report['fed']}, should be {fed}")
    for run, trained in (runs or {"main": {}}).items():
        print(f"run {run}: {sum(trained.values())} tokens in {len(trained)} steps, computed {computed[run]} times")
        differ = [step for step, (tokens, _) in planned.items() if trained.get(step) != tokens]
        found.hold(not differ, f"run {run}: planned and trained differ at steps {differ[:5]}")


def check_runs(folders: Sequence[Path], planned: Mapping[int, Planned], found: Found) -> None:
    """5: runs over the same plan have learned the same."""
    last = len(planned)
    runs = [manifests(folder) for folder in folders]
    for folder, run in zip(folders, runs, strict=True):
        found.hold(last in run, f"{folder} has no checkpoint of step {last}, the end of the plan")
        wrong = [step for step, one in run.items() if step and one["fed"] != planned[step - 1].fed]
        found.hold(not wrong, f"{folder}: other blocks than planned were fed before steps {wrong[:5]}")
    common = set.intersection(*(set(run) for run in runs))
    differ = sorted(step for step in common if len({run[step]["weights"] for run in runs}) > 1)
    print(f"weights: equal at {len(common) - len(differ)} of {len(common)} steps at which all runs saved")
    found.hold(not differ, f"weights differ from step {differ[:1]} on")
    if last in common:
        first, *others = (weights(folder / f"step-{last:010d}" / "model.safetensors") for folder in folders)
        found.hold(all(other == first for other in others), f"weights of step {last} differ")


def manifests(folder: Path) -> dict[int, Any]:
    """Every manifest of a run by the step that is next, those of pruned checkpoints too; a torn one is none."""
    found = {}
    for path in [*folder.glob("step-*/manifest.json"), *folder.glob("history/step-*.json")]:
        with suppress(ValueError):
            manifest = json.loads(path.read_bytes())
            found[manifest["step"]] = manifest
    return found


def weights(path: Path) -> dict[str, bytes]:
    """The bytes of every tensor."""
    return {name: tensor.tobytes() for name, tensor in safetensors.numpy.load_file(path).items()}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("brokers")
    arguments.add_argument("tokenizer")
    arguments.add_argument("--prefix", default="")
    arguments.add_argument("--published", type=int, help="documents that the publisher saw delivered")
    arguments.add_argument("--acknowledged", type=Path, help="delivery reports of all publishers, a line each")
    arguments.add_argument("--runs", type=Path, nargs="+", default=[], help="checkpoint folders of runs over this plan")
    given = arguments.parse_args()
    found = Found()
    if given.acknowledged:
        check_acknowledged(given.brokers, given.prefix, given.acknowledged.read_text().splitlines(), found)
    check_outcomes(given.brokers, given.prefix, given.published, found)
    read_blocks(given.brokers, given.prefix, found)
    check_tokens(Tokenizer.from_file(given.tokenizer), found)
    planned = check_plan(given.brokers, given.prefix, found)
    check_steps(given.brokers, given.prefix, planned, found)
    if given.runs:
        check_runs(given.runs, planned, found)
    for contradiction in found.wrong:
        print(f"WRONG: {contradiction}")
    print(f"independent check: {len(found.wrong)} contradictions")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
