"""Ours under the same faults, and what its final weights have seen: from topics and manifests, by file formats alone.

The newest manifest names its step, and `fed`, a chain of hashes over all that its weights were fed. The plan says which
blocks came before that step, the blocks say which tokens of which document they hold; the chain that is computed from
them must be the manifest's. A document counts as seen when all its tokens are there, and as often as any of them is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import safetensors.numpy
import xxhash

from headrace.kafka import brokers_of
from tests.fault import plan
from tests.fault.comparison import faults
from tests.fault.comparison.faults import Fault
from tests.fault.comparison.oracle import Coordinate, tally
from tests.fault.comparison.stand_in import Result
from tests.fault.recovery import recovered
from tests.fault.verdict import check_independently, settle, train_reference, verify
from tests.fault.world import World
from tests.independent_check import content, manifests, place, read

NAME = "Headrace, 2 to 4 ranks"
LOOK_S = 2.0


class Span(NamedTuple):
    """Tokens `first`, …, `first + tokens - 1` of the `whole` ones of a document."""

    document: Coordinate
    first: int
    tokens: int
    whole: int


class Fed(NamedTuple):
    """What went into the weights up to some step; `chain` as a manifest says it."""

    spans: list[Span]
    chain: str


def compare(folder: Path, struck: Iterable[Fault], documents: int, seed: int) -> Result:
    """A whole stack through all faults; blocks until its final weights are there and counted."""
    with World(folder, seed) as world:
        fired = 0
        for fault in struck:
            after = fed_so_far(world) + fault.gap
            while fed_so_far(world) < after:
                world.comes(lambda: False, LOOK_S)
            recovered(world, in_our_words(fault))
            fired += 1
        settle(world, documents)
        train_reference(world.settings, ranks=1)
        verify(world.settings)
        check_independently(world)
        brokers, run = brokers_of(world.settings), world.settings.checkpoint_dir / "main"
        last = max(found := manifests(run))
        fed = fed_before(brokers, last)
        assert found[last]["fed"] == fed.chain, f"step {last}: the manifest says that something else was fed"
        published = acknowledged(world.acknowledged)
        attempts = len({report["attempt"] for _, report in world.witness.reports})
        return Result(
            NAME, fired, tally(published, seen(fed.spans), rejected(brokers)), f"step {last}, {attempts - 1} restarts"
        )


def in_our_words(fault: Fault) -> plan.Fault:
    """The same fault, in the words of the fault harness."""
    return {
        faults.IN_STEP: plan.kill("rank1").at("backward"),
        faults.IN_SAVE: plan.kill("rank0").at("checkpoint"),
        faults.AFTER_SAVE: plan.kill("rank0").at("manifest"),
        faults.PAUSE: plan.pause("rank1", seconds=faults.PAUSE_S).at("reduce"),
        faults.PAUSE_BROKER: plan.pause("broker", seconds=faults.PAUSE_S).at(plan.OPEN_TRANSACTION),
        faults.OTHER_RANKS: plan.kill("rank1").at("backward").then_with(ranks=fault.ranks),
    }[fault.kind]


def fed_so_far(world: World) -> int:
    """Documents of which a step that was reported has trained the first token."""
    trained = world.witness.trained
    return sum(span.first == 0 for span in fed_before(brokers_of(world.settings), trained + 1).spans)


def fed_before(brokers: str, last: int) -> Fed:
    """What the plan feeds before step `last`."""
    blocks = {place(message): message.value() or b"" for message in read(brokers, "tokens.blocks")}
    spans, chain = list[Span](), bytes(16)
    for message in read(brokers, "train.plan"):
        record = content(message)
        if record["kind"] != "train" or record["step"] >= last:
            continue
        digests = b""
        for partition, first, end, _, _ in record["blocks"]:
            for at in (at for at in range(first, end + 1) if (partition, at) in blocks):
                digests += xxhash.xxh3_128_digest(blocks[partition, at])
                spans += spans_of(blocks[partition, at])
        chain = xxhash.xxh3_128_digest(chain + record["seq"].to_bytes(8, "little") + digests)
    return Fed(spans, chain.hex())


def spans_of(value: bytes) -> Iterable[Span]:
    block = safetensors.numpy.load(value)
    starts = [*block["doc_start"].tolist(), len(block["tokens"])]
    for number, (partition, offset) in enumerate(block["doc_raw"].tolist()):
        length = starts[number + 1] - starts[number]
        yield Span((partition, offset, 0), int(block["doc_from"][number]), length, int(block["doc_tokens"][number]))


def seen(spans: Iterable[Span]) -> Counter[Coordinate]:
    """How often each document was fed as a whole; one of which a token is missing, not at all."""
    times: Counter[Span] = Counter(spans)
    parts: dict[Coordinate, list[Span]] = defaultdict(list)
    for span in times:
        parts[span.document].append(span)
    return Counter(
        {
            document: max(times[span] for span in pieces)
            for document, pieces in parts.items()
            if sum(span.tokens for span in pieces) >= pieces[0].whole
        }
    )


def rejected(brokers: str) -> set[Coordinate]:
    """What stands in `text.rejected`, with its reason."""
    said = ({name: bytes(value or b"") for name, value in m.headers() or []} for m in read(brokers, "text.rejected"))
    return {(int(headers["raw-partition"]), int(headers["raw-offset"]), 0) for headers in said}


def acknowledged(path: Path) -> set[Coordinate]:
    """The delivery reports of the fault harness."""
    places = (line.split() for line in path.read_text().splitlines())
    return {(int(partition), int(offset), 0) for partition, offset, _ in places}
