"""What all inputs of `headrace publish` share: the loop, its pace, its end, and what is said about it."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Protocol, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from headrace.cli.inputs.cut import Copied, Found, Refused
from headrace.cli.options import err
from headrace.client import Publisher
from headrace.contract.bookmarks import Bookmark, FileBookmark
from headrace.transfer import Transfer

COLUMNS = (SpinnerColumn(), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
LONG_WAIT_S = 0.5
"""Before waiting longer than this for the next document, what was sent is committed."""


class Stop:
    """Ctrl-C and SIGTERM: asked once, the loop ends at the next document; asked again, or `at_once`, it breaks off."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.at_once = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        again = self.asked.is_set()
        self.asked.set()
        if again or self.at_once:
            raise KeyboardInterrupt


class Pace:
    """At most `rate` documents a second, at most `limit` of them."""

    def __init__(self, rate: float | None, limit: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.limit, self.clock = rate, limit, clock
        self.taken = 0
        self.begun = clock()

    @property
    def spent(self) -> bool:
        """Whether the limit is reached."""
        return self.limit is not None and self.taken >= self.limit

    def wait_s(self) -> float:
        """How long until the next document is due."""
        return self.begun + self.taken / self.rate - self.clock() if self.rate else 0.0


class Sink(Protocol):
    """Where documents go."""

    @property
    def due(self) -> bool: ...
    def send(self, item: Found | Copied) -> None: ...
    def note(self, bookmarks: Sequence[Bookmark]) -> None: ...
    def commit(self) -> None: ...


class Transferred:
    """Into the stream with a bookmark, in transactions."""

    def __init__(self, transfer: Transfer) -> None:
        self.transfer = transfer

    @property
    def due(self) -> bool:
        return self.transfer.due

    def send(self, item: Found | Copied) -> None:
        if isinstance(item, Found):
            self.transfer.send(item.value, item.headers)
        else:
            place = {"partition": item.partition % self.transfer.partitions, "timestamp": item.timestamp}
            self.transfer.send(item.value, item.headers, item.key, **place)

    def note(self, bookmarks: Sequence[Bookmark]) -> None:
        for bookmark in bookmarks:
            self.transfer.note(bookmark)

    def commit(self) -> None:
        self.transfer.commit()


class Published:
    """Into the stream as it comes: an input that can be read only once is not gone on with."""

    due = False

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher

    def send(self, item: Found | Copied) -> None:
        assert isinstance(item, Found)
        self.publisher.publish_raw(item.value, item.headers)

    def note(self, bookmarks: Sequence[Bookmark]) -> None:
        """Nothing is remembered."""

    def commit(self) -> None:
        """Nothing is held back."""


class Counted:
    """Nowhere: what --dry-run does."""

    due = False

    def __init__(self) -> None:
        self.first: Found | Copied | None = None

    def send(self, item: Found | Copied) -> None:
        self.first = self.first or item

    def note(self, bookmarks: Sequence[Bookmark]) -> None:
        """Nothing is remembered."""

    def commit(self) -> None:
        """Nothing is held back."""


@dataclass
class Tally:
    """What was done. `already`: documents that earlier runs had published of the same files."""

    sent: int = 0
    bytes: int = 0
    files: int = 0
    already: int = 0
    already_refused: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def count_already(self, known: FileBookmark) -> None:
        """Of a file, so much was done by earlier runs."""
        self.already += known.documents
        self.already_refused += known.refused


class Sending:
    """The loop over one input after another. A context manager: holds the progress bar and hears signals."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.tally = Tally()
        self.stop = Stop()
        self.begun = time.monotonic()
        self.connected = self.away = False
        """Whether a broker was reached, and was lost since."""
        self._drawn = 0.0
        self._progress = Progress(*COLUMNS, console=err, disable=not err.is_terminal)
        self._bar = self._progress.add_task("", total=None)
        self._done = 0

    def __enter__(self) -> Self:
        self.stop.__enter__()
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        self.stop.__exit__(kind, error, trace)

    @property
    def ended(self) -> bool:
        """Whether no further document is wanted."""
        return self.stop.asked.is_set() or self.pace.spent

    def send(
        self,
        sink: Sink,
        items: Iterator[Found | Copied | Refused],
        bookmarks: Callable[[], Sequence[Bookmark]] = tuple,
        taken: Callable[[], int] = int,
    ) -> None:
        """Send items until there are no more, or no more are wanted. `bookmarks` says what was yielded so far; it is
        noted before each commit and at the end, which is not committed. `taken`: how far, in units of `expect`."""
        while not self.ended:
            self._wait(sink, bookmarks)
            if (item := next(items, None)) is None:
                break
            if isinstance(item, Refused):
                self.refuse(item)
            else:
                sink.send(item)
                self.pace.taken += 1
                self.tally.sent += 1
                self.tally.bytes += len(item.value or b"")
            if sink.due:
                sink.note(bookmarks())
                sink.commit()
            if self.tally.sent & 255 == 0 or self.pace.rate:
                self._draw(taken())
        sink.note(bookmarks())

    def expect(self, total: int | None) -> None:
        """How much there is, for the bar: bytes of all files, or offsets."""
        self._progress.update(self._bar, total=total)

    def passed(self, size: int) -> None:
        """So much of it is done with."""
        self._done += size
        self._draw(0)

    def refuse(self, item: Refused) -> None:
        """Count it, and say what cannot be published and where it stands."""
        self.tally.refused[item.reason] += 1
        self.say(f"{item.place}: {item.reason}: {item.detail}")

    def say(self, line: str) -> None:
        """A line for whoever watches."""
        err.print(line, markup=False, highlight=False, soft_wrap=True)

    def _wait(self, sink: Sink, bookmarks: Callable[[], Sequence[Bookmark]]) -> None:
        wait_s = self.pace.wait_s()
        if wait_s > LONG_WAIT_S:
            sink.note(bookmarks())
            sink.commit()
        if wait_s > 0:
            self.stop.asked.wait(wait_s)

    def _draw(self, taken: int) -> None:
        if not self._progress.disable and (now := time.monotonic()) - self._drawn > 0.1:
            self._drawn = now
            self._progress.update(self._bar, completed=self._done + taken, description=self.speed())

    def speed(self) -> str:
        """Documents so far and a second."""
        return f"{self.tally.sent:,} documents, {self.tally.sent / max(self.seconds, 1e-3):,.0f}/s"

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.begun
