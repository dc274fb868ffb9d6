"""The loop of `headrace publish`: its pace, its end, and that what is remembered is what was sent."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.cli import publishing
from headrace.cli.inputs.cut import Copied, Cut, Found, Refused
from headrace.cli.publishing import Request, _source
from headrace.cli.sending import Pace, Sending
from headrace.contract.bookmarks import TopicBookmark
from headrace.contract.errors import SettingsError
from headrace.contract.settings import Settings
from headrace.kafka import Cluster


class Input:
    """Found documents with a refused one after every third; knows how many it has yielded."""

    def __init__(self, count: int) -> None:
        self.count, self.yielded = count, 0

    def items(self) -> Iterator[Found | Refused]:
        for number in range(self.count):
            if number and number % 3 == 0:
                yield Refused(f"place {number}", "bad_row", "broken")
            self.yielded += 1
            yield Found(str(number), b"text", {})

    def bookmarks(self) -> list[TopicBookmark]:
        known = {"into": "", "cluster": "", "topic_id": "", "topic": "", "partition": 0, "refused": 0}
        return [TopicBookmark(**known, position=self.yielded, documents=0)]


class Sink:
    """Wants a commit after every `every` documents, and asserts that then nothing is remembered that was not sent."""

    def __init__(self, every: int = 10**9) -> None:
        self.every, self.sent, self.remembered, self.commits = every, 0, 0, 0

    @property
    def due(self) -> bool:
        return self.sent % self.every == 0

    def send(self, item: Found | Copied) -> None:
        self.sent += 1

    def note(self, bookmarks: Any) -> None:
        self.remembered = bookmarks[0].position
        assert self.remembered == self.sent

    def commit(self) -> None:
        self.commits += 1


def sent(count: int, sink: Sink, limit: int | None = None) -> Sending:
    source = Input(count)
    with Sending(Pace(None, limit)) as sending:
        sending.send(sink, source.items(), source.bookmarks)
    return sending


def test_what_is_remembered_is_what_was_sent() -> None:
    for every in (1, 2, 7):
        sink = Sink(every)
        assert sent(20, sink).tally.refused == {"bad_row": 6}
        assert (sink.sent, sink.remembered) == (20, 20)
        assert sink.commits >= 20 // every


def test_the_limit_counts_documents() -> None:
    sink = Sink()
    assert sent(20, sink, limit=7).tally.sent == 7
    assert (sink.sent, sink.remembered) == (7, 7)


def test_a_wait_for_the_next_document_leaves_nothing_uncommitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.cli.sending.LONG_WAIT_S", 0.005)
    sink, source = Sink(), Input(3)
    with Sending(Pace(100, None, clock=lambda: 0.0)) as sending:  # a clock that stands: 10, 20 and 30 ms to wait
        sending.send(sink, source.items(), source.bookmarks)
    assert (sink.sent, sink.commits) == (3, 3)


def test_the_pace_is_kept() -> None:
    now = 100.0
    pace = Pace(4, None, lambda: now)
    assert pace.wait_s() == 0
    pace.taken = 8
    assert pace.wait_s() == 2.0
    now = 103.0
    assert pace.wait_s() <= 0
    assert Pace(None, None).wait_s() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_the_next_document_a_second_at_once(number: int) -> None:
    class Interrupted(Sink):
        def send(self, item: Found | Copied) -> None:
            super().send(item)
            if self.sent == 5:
                os.kill(os.getpid(), number)

    sink = Interrupted()
    assert sent(20, sink).ended
    assert (sink.sent, sink.remembered) == (5, 5)
    with Sending(Pace(None, None)) as sending:
        sending.stop.asked.set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def request(**said: Any) -> Request:
    """The command line of a file, but for what is said."""
    plain: dict[str, Any] = {"paths": ["a.log"], "cut": Cut(100), "from_topic": None, "from_brokers": ""}
    flags = dict.fromkeys(("again", "follow", "dry_run", "json"), False) | {"rate": None, "limit": None}
    return Request(**{**plain, **flags, **said})


@pytest.mark.parametrize(
    "wrong",
    [
        {"paths": []},
        {"from_topic": "other"},
        {"paths": [], "from_topic": "text.raw"},
        {"from_brokers": "there:9092"},
        {"follow": True, "dry_run": True},
        {"follow": True, "paths": ["-"]},
    ],
)
def test_what_cannot_go_together_is_said(wrong: dict[str, Any]) -> None:
    request().check("text.raw")
    with pytest.raises(SettingsError):
        request(**wrong).check("text.raw")


def test_behind_a_lost_broker_what_this_run_has_copied_is_not_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "TopicInput", lambda *_: SimpleNamespace(documents=30))
    sending = Sending(Pace(None, None))
    sending.tally.sent = 10
    _source(Settings(), request(from_topic="other", again=True), Cluster(Settings()), "", sending)
    assert sending.tally.already == 20
