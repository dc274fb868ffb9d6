"""Inputs that can be read again, into `text.raw`: documents, and the bookmark of how far they go, in one transaction.

A bookmark is there if and only if its documents are, whatever was killed in between. So whoever publishes the same
input again reads the bookmark and goes on behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import xxhash
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headrace.client import FULL_S, QUEUE, Headers
from headrace.contract.bookmarks import Bookmark
from headrace.contract.errors import DependencyError, HeadraceError
from headrace.contract.settings import Settings
from headrace.contract.topics import BOOKMARKS, RAW
from headrace.kafka import QUIET, Cluster, producer_config

BATCH_DOCUMENTS = 10_000
BATCH_BYTES = 16 * 1024 * 1024
BATCH_S = 1.0
"""A transaction ends at whichever comes first: readers see nothing of it, nor of what comes after it, until then."""
TIMEOUT_S = 30.0
"""A publisher that was killed holds readers of `text.raw` back for so long, or until it is started again."""
FENCED = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)


def bookmarks(cluster: Cluster, kind: bytes, timeout_s: float) -> Iterator[Message]:
    """The committed bookmarks whose key begins with `kind`, oldest first; a later one of a key counts.

    Blocks until every open transaction in the topic is decided, so that none can appear behind our back; raises
    DependencyError after `timeout_s`.
    """
    ends = cluster.settled_ends(BOOKMARKS, timeout_s)
    for message in cluster.read_all(BOOKMARKS, end=ends):
        if (message.key() or b"").startswith(kind) and message.value() is not None:
            yield message


class TakenOver(HeadraceError):
    """A later publisher of the same input holds the transactional id now."""


class Transfer:
    """Writes documents and bookmarks. `name` stands for the input: a newer Transfer of that name fences this one off.

    Making one blocks until an older one's transaction is decided (aborted if it is not being committed right now), and
    raises DependencyError when no broker answers. Leaving the `with` block commits, or aborts after an error.
    """

    def __init__(self, settings: Settings, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.cluster = Cluster(settings, timeout_s=5.0)
        self.partitions = self.cluster.require([RAW, BOOKMARKS])[RAW]
        self.into = self.cluster.topic_ids([RAW])[RAW]
        self.documents = 0
        """Documents in committed transactions."""
        self._raw, self._bookmarks = settings.topic(RAW), settings.topic(BOOKMARKS)
        self._clock = clock
        self._noted: dict[bytes, Bookmark] = {}
        self._open = False
        self._count = self._bytes = 0
        self._since = 0.0
        self._failure: str | None = None
        own = {"transactional.id": settings.topic(f"publish.{xxhash.xxh3_64_hexdigest(name.encode())}")}
        limits = {"transaction.timeout.ms": int(TIMEOUT_S * 1000), "delivery.report.only.error": True}
        self._producer = Producer(
            producer_config(self.cluster.brokers, **own, **limits, **QUEUE, **QUIET, on_delivery=self._on_failure)
        )
        self._call(lambda: self._producer.init_transactions(5.0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

    @property
    def due(self) -> bool:
        """Whether the transaction has become long enough to be committed."""
        full = self._count >= BATCH_DOCUMENTS or self._bytes >= BATCH_BYTES
        return self._open and (full or self._clock() - self._since >= BATCH_S)

    def send(
        self,
        value: bytes | None,
        headers: Headers | list[tuple[str, bytes | None]] | None = None,
        key: bytes | None = None,
        **more: Any,
    ) -> None:
        """Add one document; blocks while the client's queue is full. `more`: partition, timestamp."""
        self._produce(self._raw, value, headers=headers, key=key, **more)
        self._count += 1
        self._bytes += len(value or b"")

    def note(self, bookmark: Bookmark) -> None:
        """Remember this with the next commit: all documents before it were sent."""
        self._noted[bookmark.key()] = bookmark

    def commit(self) -> None:
        """Make documents and bookmarks visible together; blocks until the broker has, raises what stopped it."""
        for key, bookmark in self._noted.items():
            self._produce(self._bookmarks, bookmark.encode(), key=key)
        if self._open:
            self._call(lambda: self._producer.commit_transaction(5.0))
        self.documents += self._count
        self._noted, self._open, self._count, self._bytes = {}, False, 0, 0

    def abort(self) -> None:
        """Take back what was not committed. A broker that is away aborts it on its own."""
        self._noted, self._count, self._bytes = {}, 0, 0
        if self._open:
            self._open = False
            try:
                self._producer.purge()
                self._producer.abort_transaction(5)
            except KafkaException:
                pass

    def _produce(self, topic: str, value: bytes | None, **more: Any) -> None:
        if not self._open:
            self._call(self._producer.begin_transaction)
            self._open, self._since = True, self._clock()
        while True:
            if self._failure is not None:
                raise self._broken(self._failure)
            try:
                self._producer.produce(topic, value, **more)
                return
            except BufferError:
                self._producer.poll(FULL_S)
            except KafkaException as error:
                raise self._meaning(error.args[0]) from None

    def _call(self, step: Callable[[], None]) -> None:
        """Run a step of the transaction, again while the broker says so, for as long as a transaction may live."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                step()
                return
            except KafkaException as error:
                problem = error.args[0]
                if not problem.retriable() or time.monotonic() > deadline:
                    raise self._meaning(problem) from None

    def _meaning(self, problem: KafkaError) -> HeadraceError:
        if problem.code() in FENCED:
            return TakenOver(
                "this publisher was fenced off: another `headrace publish` of the same input was started, or this one "
                f"stood still for more than {TIMEOUT_S:.0f} s. What it committed is there and remembered; start it "
                "again only if no other one runs"
            )
        self._producer.poll(0)  # what a document failed for says more than how many did
        return self._broken(self._failure or str(problem.str()))

    def _broken(self, reason: str) -> DependencyError:
        return DependencyError(
            f"the broker at {self.cluster.brokers} did not take the documents ({reason}): {self.documents} are there "
            "and remembered. Bring it back and give the same command again, it goes on from there"
        )

    def _on_failure(self, error: KafkaError, message: Message) -> None:
        self._failure = self._failure or str(error.str())
