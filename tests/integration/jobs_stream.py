"""The two Flink jobs on a deployment of one test alone: start and stop them, publish, and read all they wrote."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from confluent_kafka import Message, Producer
from tokenizers import Tokenizer

from headrace.contract import topics
from headrace.contract.blocks import Block, Seal
from headrace.contract.documents import CleanDocument, RejectedHeaders
from headrace.contract.settings import Settings
from headrace.flink import FlinkRest
from headrace.jobs import JOBS, Job, Program, commit_beginning
from headrace.kafka import Cluster, coordinate, producer_config
from tests.conftest import with_values

PUBLISHED = 1_700_000_000_000
Raw = tuple[int, int]


@dataclass
class Stream:
    """`published` holds the value of every document by its coordinate; the n-th has the timestamp PUBLISHED + n."""

    settings: Settings
    flink: Mapping[str, str]
    jobs: dict[Job, str] = field(default_factory=dict)
    plans: dict[Job, str] = field(default_factory=dict)
    states: dict[Job, str] = field(default_factory=dict)
    published: dict[Raw, bytes | None] = field(default_factory=dict)
    module: str = "flink_jobs"
    """The jobs' program: what python -m runs."""
    good_states: tuple[str, ...] = ("CREATED", "RUNNING")
    """Of a job; in any other one the test has failed."""

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.settings)
        self.rest = FlinkRest(self.settings.flink.rest)
        for job in JOBS:
            commit_beginning(self.cluster, job)

    @contextmanager
    def program(self, *assignments: str) -> Iterator[Program]:
        """The jobs' program, under settings of which some may have other values."""
        own = with_values(self.settings, *assignments)
        with patch.dict(os.environ, self.flink), Program(own, self.module) as asked:
            yield asked

    def start(self, *wanted: Job) -> None:
        """Submit both jobs, or those that are named, from what `stop` left if there is some."""
        with self.program() as asked:
            for job in wanted or JOBS:
                restore = {"restore": self.states[job], "expect": self.plans[job]} if self.states else {}
                answer = asked.ask(job, **restore)
                self.jobs[job], self.plans[job] = answer["job_id"], answer["plan"]

    def stop(self) -> None:
        """Stop both jobs with a savepoint each, from which `start` will go on."""
        for job, running in self.jobs.items():
            self.states[job] = self.rest.stop(running, job.folder(self.settings) / "savepoints", 60)

    def end(self) -> None:
        """Cancel what still runs."""
        for running in self.jobs.values():
            if self.rest.job(running) not in ("FINISHED", "CANCELED", "FAILED"):
                self.rest.cancel(running)

    def publish(self, documents: Iterable[tuple[bytes | None, Mapping[str, bytes]]], partition: int = 0) -> list[Raw]:
        """Write the documents to one partition, in order, and wait for the broker; their coordinates."""
        written: list[tuple[Raw, bytes | None]] = []

        def delivered(error: object, message: Message) -> None:
            assert error is None, error
            written.append(((int(message.partition() or 0), int(message.offset() or 0)), message.value()))

        producer = Producer(producer_config(self.cluster.brokers))
        for number, (value, headers) in enumerate(documents, len(self.published)):
            producer.produce(
                self.settings.topic(topics.RAW),
                value,
                headers=dict(headers),
                partition=partition,
                timestamp=PUBLISHED + number,
                on_delivery=delivered,
            )
        assert producer.flush(30) == 0
        self.published |= dict(written)
        return [raw for raw, _ in written]

    def operators(self, job: Job) -> str:
        """The names of everything that a running job consists of."""
        with urllib.request.urlopen(f"{self.settings.flink.rest}/jobs/{self.jobs[job]}", timeout=10) as answer:
            return " | ".join(vertex["name"] for vertex in json.load(answer)["vertices"])

    def state_bytes(self, job: Job) -> int:
        """Size of what the job keeps, as of its last checkpoint."""
        checkpoint = self.rest.last_checkpoint(self.jobs[job])
        assert checkpoint is not None
        return int(checkpoint["state_size"])

    def read(self, name: str) -> list[Message]:
        """All committed records of a topic."""
        return list(self.cluster.read_all(name, {}, self.cluster.end_offsets(name)))

    def clean(self) -> list[tuple[CleanDocument, Message]]:
        return [(CleanDocument.decode(found.value(), coordinate(found)), found) for found in self.read(topics.CLEAN)]

    def rejected(self, stage: str) -> list[tuple[RejectedHeaders, Message]]:
        read = [(RejectedHeaders.decode(one.headers(), coordinate(one)), one) for one in self.read(topics.REJECTED)]
        return [(headers, message) for headers, message in read if headers.stage == stage]

    def blocks(self) -> list[tuple[Block, Message]]:
        return [(Block.decode(found.value(), coordinate(found)), found) for found in self.read(topics.BLOCKS)]

    def seals(self) -> list[Seal]:
        return [Seal.decode(found.value(), coordinate(found)) for found in self.read(topics.WINDOWS)]

    def settle(self, timeout_s: float = 120) -> None:
        """Wait until every published document is rejected, or stands in a sealed window."""

        def settled() -> bool:
            sealed = sum(seal.documents for seal in self.seals())
            return sealed + len(self.rejected("clean")) + len(self.rejected("tokenize")) >= len(self.published)

        self.wait(settled, "outcome for every document", timeout_s)

    def wait(self, reached: Callable[[], bool], what: str, timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while not reached():
            for job, running in self.jobs.items():
                state = self.rest.job(running)
                assert state in self.good_states, f"{job.name} is {state}: {self.rest.root_cause(running)}"
            assert time.monotonic() < deadline, f"no {what} within {timeout_s:.0f} s"
            time.sleep(0.5)

    def texts(self) -> dict[Raw, str]:
        """The text of every document, put together again from the blocks."""
        tokens: dict[Raw, list[int]] = {}
        for block, _ in self.blocks():
            ends = [*block.doc_start[1:].tolist(), len(block.tokens)]
            for (partition, offset), start, end in zip(
                block.doc_raw.tolist(), block.doc_start.tolist(), ends, strict=True
            ):
                tokens.setdefault((partition, offset), []).extend(block.tokens[start:end].tolist())
        assert all(found[-1] == 0 and 0 not in found[:-1] for found in tokens.values()), (
            "end-of-text ends, and only that"
        )
        tokenizer = Tokenizer.from_file(str(self.settings.tokenizer_file))
        return {raw: tokenizer.decode(found[:-1]) for raw, found in tokens.items()}
