"""The records of many tiny documents in all topics, consistent with each other, as fast as they can be written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from confluent_kafka import Consumer, TopicPartition
from numpy.typing import NDArray

from headrace.checkpoints import name_of
from headrace.contract.blocks import Block, Seal
from headrace.contract.digests import FED_START, block_digest, fed_next, file_sha256, run_digest, shard_of
from headrace.contract.documents import CleanDocument, RejectedHeaders
from headrace.contract.plan import Origin, Step
from headrace.contract.topics import (
    BLOCKS,
    CLEAN,
    CLEAN_GROUP,
    PLAN,
    RAW,
    REJECTED,
    STEPS,
    TOKENIZE_GROUP,
    WINDOWS,
)
from headrace.contract.training import MANIFEST, Manifest, StepReport
from headrace.kafka import Cluster, brokers_of, consumer_config, transactional_producer
from services.planner.planner import Arrival, Planner, Tail

PARTITIONS = 4
"""Of `text.raw`, `text.clean` and `tokens.blocks`, and the number of shards."""
BATCH = 40_000
"""Documents in one transaction over all topics; with their other records they fit into a client's queue."""
BATCH_WINDOWS = 4
WINDOW_MS = 2_000
SAVE_STEPS = 50
REJECT_TENTH, REFUSE_FIFTIETH = 3, 8
"""One document in ten is rejected by the clean job, one in fifty by the tokenize job."""

Numbers = NDArray[np.int64]


class Documents(NamedTuple):
    """Some documents in order: their numbers and raw coordinates, [n] each."""

    number: Numbers
    partition: Numbers
    offset: Numbers

    def where(self, mask: NDArray[np.bool_]) -> Documents:
        return Documents(self.number[mask], self.partition[mask], self.offset[mask])

    @property
    def raws(self) -> list[tuple[int, int]]:
        return list(zip(self.partition.tolist(), self.offset.tolist(), strict=True))


class Writer:
    """One transactional writer of all topics. It knows every offset: a transaction ends in one marker a partition."""

    def __init__(self, cluster: Cluster) -> None:
        self.settings = cluster.settings
        self.producer = transactional_producer(cluster.settings, "bench-records")
        self.next: dict[tuple[str, int], int] = defaultdict(int)
        self.touched: set[tuple[str, int]] = set()

    def write(self, topic: str, partition: int, values: Sequence[bytes]) -> int:
        """Send the records; returns the offset of the first one."""
        first = self._count(topic, partition, len(values))
        taken = self.producer.produce_batch(
            self.settings.topic(topic), [{"value": value} for value in values], partition=partition
        )
        assert taken == len(values), "a batch is smaller than the client's queue"
        return first

    def write_headers(self, topic: str, partition: int, headers: Mapping[str, bytes]) -> None:
        self._count(topic, partition, 1)
        self.producer.produce(self.settings.topic(topic), b"x", partition=partition, headers=dict(headers))

    def _count(self, topic: str, partition: int, records: int) -> int:
        first = self.next[topic, partition]
        self.next[topic, partition] += records
        self.touched.add((topic, partition))
        return first

    def commit(self) -> None:
        self.producer.commit_transaction(120)
        for place in self.touched:
            self.next[place] += 1
        self.touched.clear()


class Deployment:
    """All logs of a deployment that trains what is published at once. The topics must be there, and empty."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.settings = cluster, cluster.settings
        self.writer = Writer(cluster)
        self.tokenizer = file_sha256(str(self.settings.tokenizer_file))
        self.pins = {"cluster": cluster.id(), "topics": cluster.topic_ids(), "tokenizer": self.tokenizer}
        self.planner = Planner(self.settings.planner.step_blocks, 1.0, Tail())
        self.fed = FED_START
        self.published = self.windows = 0
        self.run_dir = self.settings.checkpoint_dir / self.settings.trainer.run
        (self.run_dir / "history").mkdir(parents=True)
        self.parent: str | None = None
        self.pieces = template()

    def add(self, documents: int, planned_ms: int) -> None:
        """Publish, clean, pack, plan and train so many documents more; the jobs have committed all of them."""
        for first in range(0, documents, BATCH):
            self.writer.producer.begin_transaction()
            if not self.published:
                self.writer.write(PLAN, 0, [Origin(**self.pins, time=planned_ms).encode()])
                self._save(held=False)
            self._batch(min(BATCH, documents - first), planned_ms)
            self.writer.commit()
        self._save(held=True)
        self._commit(CLEAN_GROUP, RAW)
        self._commit(TOKENIZE_GROUP, CLEAN)

    def _batch(self, size: int, planned_ms: int) -> None:
        numbers = np.arange(self.published, self.published + size, dtype=np.int64)
        self.published += size
        everything = Documents(numbers, numbers % PARTITIONS, np.zeros_like(numbers))
        for partition in range(PARTITIONS):
            own = everything.partition == partition
            values = [b"document %d" % number for number in numbers[own].tolist()]
            everything.offset[own] = self.writer.write(RAW, partition, values) + np.arange(len(values))
        accepted = self._clean(everything)
        self._plan(self._pack(accepted), planned_ms)

    def _clean(self, documents: Documents) -> Documents:
        rejected = documents.number % 10 == REJECT_TENTH
        for raw in documents.where(rejected).raws:
            self.writer.write_headers(REJECTED, raw[0] % 2, RejectedHeaders("empty", "clean", "", raw).encode())
        accepted = documents.where(~rejected)
        before, after = self.pieces
        for partition in range(PARTITIONS):
            own = accepted.where(accepted.partition == partition)
            values = [before + b"%d,%d" % raw + after for raw in own.raws]
            self.writer.write(CLEAN, partition, values)
        return accepted

    def _pack(self, accepted: Documents) -> Iterator[Arrival]:
        """Windows of all shards side by side; yields the blocks as they come from all partitions in turn."""
        refused = accepted.number % 50 == REFUSE_FIFTIETH
        for raw in accepted.where(refused).raws:
            self.writer.write_headers(REJECTED, raw[0] % 2, RejectedHeaders("no_tokens", "tokenize", "", raw).encode())
        packed = accepted.where(~refused)
        shards = np.array([shard_of(*raw, PARTITIONS) for raw in packed.raws])
        for window in np.array_split(np.arange(len(shards)), BATCH_WINDOWS):
            start = 1_700_000_000_000 + WINDOW_MS * self.windows
            self.windows += 1
            rows = []
            for shard in range(PARTITIONS):
                own = window[shards[window] == shard]
                rows.append(self._window(Documents(*(column[own] for column in packed)), start, shard))
            yield from (arrival for arrivals in zip_longest(*rows) for arrival in arrivals if arrival)

    def _window(self, documents: Documents, start: int, shard: int) -> list[Arrival]:
        """Write the blocks and the seal of one (window, shard)."""
        blocks = list(
            blocks_of(documents, self.settings.tokenize.block_tokens, self.tokenizer, window=start, shard=shard)
        )
        values = [block.encode() for block in blocks]
        digests = [block_digest(value) for value in values]
        first = self.writer.write(BLOCKS, shard, values)
        tokens = [len(block.tokens) for block in blocks]
        seal = Seal(
            start=start,
            end=start + WINDOW_MS,
            shard=shard,
            documents=len(documents.number),
            tokens=sum(tokens),
            blocks=len(blocks),
            digest=run_digest(digests).hex(),
        )
        self.writer.write(WINDOWS, 0, [seal.encode()])
        return [
            Arrival(shard, first + at, size, digest)
            for at, (size, digest) in enumerate(zip(tokens, digests, strict=True))
        ]

    def _plan(self, arrivals: Iterator[Arrival], planned_ms: int) -> None:
        """Close a step whenever it is full, and at the end; train it."""
        for arrival in arrivals:
            self.planner.add(arrival, 0.0)
            if self.planner.room == 0:
                self._step(planned_ms)
        if self.planner.held:
            self._step(planned_ms)

    def _step(self, planned_ms: int) -> None:
        held = sorted(self.planner.held, key=lambda block: (block.partition, block.offset))
        step = self.planner.close(planned_ms)
        self.writer.write(PLAN, 0, [step.encode()])
        self.fed = fed_next(self.fed, step.seq, (block.digest for block in held))
        self.writer.write(STEPS, 0, [report_of(step, self.settings.trainer.run, self.fed).encode()])
        if (step.step + 1) % SAVE_STEPS == 0:
            self._save(held=False)

    def _save(self, held: bool) -> None:
        """A manifest; `held`: as of a checkpoint that has its weights still."""
        tail = self.planner.tail
        manifest = Manifest(
            run=self.settings.trainer.run,
            attempt="a",
            seq=tail.seq,
            step=tail.step,
            tokens=tail.tokens,
            fed=self.fed.hex(),
            parent=self.parent,
            **self.pins,
            weights="",
            fingerprint={},
            settings={"reduction": "canonical", "leaf_blocks": self.settings.trainer.leaf_blocks},
            files=(),
            time=0,
        )
        name = name_of(tail.step)
        (self.run_dir / name).mkdir(exist_ok=True)
        path = self.run_dir / name / MANIFEST if held else self.run_dir / "history" / f"{name}.json"
        path.write_bytes(manifest.encode())
        self.parent = name

    def _commit(self, group: str, topic: str) -> None:
        consumer = Consumer(consumer_config(brokers_of(self.settings), self.settings.topic(group)))
        places = [
            TopicPartition(self.settings.topic(topic), part, self.writer.next[topic, part])
            for part in range(PARTITIONS)
        ]
        consumer.commit(offsets=places, asynchronous=False)
        consumer.close()


def template() -> tuple[bytes, bytes]:
    """A record of `text.clean`: what comes before its raw coordinate and behind it."""
    document = CleanDocument(raw=(0, 0), id=None, source="s", time=0, language=None, text="a few words", label=None)
    before, after = document.encode().split(b"0,0", 1)
    return before, after


def blocks_of(documents: Documents, block_tokens: int, tokenizer: str, window: int, shard: int) -> Iterator[Block]:
    """The documents end to end, 5 to 13 tokens each, a block every `block_tokens` tokens."""
    lengths = 5 + documents.number % 9
    ends = np.cumsum(lengths)
    starts = ends - lengths
    stream = np.arange(ends[-1]) - np.repeat(starts, lengths) + 1 + np.repeat(documents.number, lengths) % 200
    stream[ends - 1] = 0
    raw = np.stack([documents.partition, documents.offset], axis=1)
    for number, first in enumerate(range(0, len(stream), block_tokens)):
        last = min(first + block_tokens, len(stream))
        of = slice(int(np.searchsorted(ends, first, "right")), int(np.searchsorted(starts, last, "left")))
        begin = np.maximum(starts[of], first)
        before = np.zeros(len(begin), np.int32)
        if begin[0] > starts[of][0]:
            before[0] = stream[first - 1]
        yield Block(
            tokens=stream[first:last].astype(np.uint16),
            doc_raw=raw[of],
            doc_start=(begin - first).astype(np.int32),
            doc_from=(begin - starts[of]).astype(np.int32),
            doc_tokens=lengths[of].astype(np.int32),
            doc_before=before,
            doc_source=np.zeros(len(begin), np.int32),
            sources=("s",),
            tokenizer=tokenizer,
            window=window,
            shard=shard,
            number=number,
        )


def report_of(step: Step, run: str, fed: bytes) -> StepReport:
    """What a sound trainer says of a step."""
    return StepReport(
        run=run,
        attempt="a",
        seq=step.seq,
        step=step.step,
        fed=fed.hex(),
        loss=5.0,
        tokens=step.tokens,
        tokens_total=step.tokens_before + step.tokens,
        grad_norm=1.0,
        learning_rate=1e-3,
        skipped=False,
        seconds={"compute": 0.1, "reduce": 0.01, "update": 0.01},
        age_s=1.0,
        sources={"s": (step.tokens, 5.0 * step.tokens)},
        ranks=2,
        time=step.time,
    )
