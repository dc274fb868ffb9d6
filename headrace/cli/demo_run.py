"""The demo's documents on their way: published at a steady pace, watched until all of them are trained and saved."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from headrace.cli.demo_view import View, line
from headrace.cli.inputs.cut import Cut, Format, Refused
from headrace.cli.inputs.files import read
from headrace.cli.watch import Watch
from headrace.client import Publisher
from headrace.contract.documents import JSON, PLAIN
from headrace.contract.errors import DependencyError, HeadraceError, SettingsError
from headrace.contract.settings import Ports, Settings, load
from headrace.control import command
from headrace.local.corpora import Document, demo_documents
from headrace.local.process import marked
from headrace.local.stack import Stack

MARKER = ".headrace-demo"
POLL_S = 0.1
STREAM_TIMEOUT_S = 900.0
SAVE_TIMEOUT_S = 60.0

Sendable = tuple[bytes, Mapping[str, str | bytes]]
"""The value and the headers of a record of text.raw."""


def fresh(data: Path) -> Path:
    """An empty directory for a demo; what an earlier demo left there is deleted.

    Raises SettingsError if another demo runs there, or if it holds what no demo has made.
    """
    data = data.expanduser().resolve()
    if data.is_dir() and any(data.iterdir()):
        if not (data / MARKER).exists():
            raise SettingsError(f"{data} is not empty, and no demo made it: name another directory with --data")
        if marked(data):
            raise SettingsError(f"a demo runs in {data}: end it with `headrace down --set local.data_dir={data}`")
        shutil.rmtree(data)
    data.mkdir(parents=True, exist_ok=True)
    (data / MARKER).touch()
    return data


def settings_of_demo(settings: Settings, data: Path) -> Settings:
    """The user's settings, but everything in `data` and on free ports of this machine."""
    alone = ["kafka.brokers=", "flink.rest=", "flink.state_dir=", "trainer.checkpoint_dir=", f"local.data_dir={data}"]
    free = [f"local.ports.{name}=0" for name in Ports.model_fields]
    return load(assignments=[*alone, *free], environment=settings.environment()).settings


def texts(settings: Settings, file: Path | None, seed: int) -> list[Sendable]:
    """The documents to publish: of a JSONL file, or of the demo's corpora, which are fetched on first use.

    Raises SettingsError naming the first line of the file that is no document.
    """
    if file is None:
        return [sendable(document) for document in demo_documents(settings, seed)]
    found: list[Sendable] = []
    for item in read(str(file), Cut(settings.clean.max_document_bytes, Format.jsonl)):
        if isinstance(item, Refused):
            raise SettingsError(f"{item.place}: {item.reason}: {item.detail}")
        found.append((item.value, item.headers))
    if not found:
        raise SettingsError(f"{file} holds no document")
    return found


def sendable(document: Document) -> Sendable:
    """A corpus' document as a publisher would send it: bytes that are not UTF-8 as they are, the rest as JSON."""
    if document.raw is not None:
        return document.raw, {"content-type": PLAIN, "source": document.source, "id": document.id}
    return orjson.dumps(document.fields()), {"content-type": JSON}


class Stream:
    """Publishes `documents` at `rate` a second and watches what becomes of them. `turn` is called again and again."""

    def __init__(self, stack: Stack, documents: Sequence[Sendable], rate: float, view: View) -> None:
        self.stack, self.documents, self.rate, self.view = stack, documents, rate, view
        self.watch = Watch(stack.settings)
        self.publisher = Publisher(stack.settings)
        self.sent = 0
        self.begun = time.monotonic()

    def run(self) -> None:
        """Block until all documents are trained and a checkpoint holds it.

        Raises DependencyError when a part of the stack failed for good or nothing moves any more, and HeadraceError
        when no document was accepted.
        """
        with self.watch, self.publisher:
            try:
                self.stack.wait_until(self.turn, STREAM_TIMEOUT_S, "all documents are trained")
                self.publisher.flush()
                command(self.stack.settings, self.stack.settings.trainer.run, "checkpoint", time.time())
                self.stack.wait_until(self.turn_saved, SAVE_TIMEOUT_S, "the last checkpoint is written")
            except TimeoutError as error:
                state = line(self.watch.seen, time.monotonic() - self.begun)
                raise DependencyError(f"{error}; as far as it came: {state}") from None
        if not self.watch.seen.steps:
            raise HeadraceError(f"no document was accepted, so nothing was trained: {dict(self.watch.seen.rejected)}")

    @property
    def checkpoint(self) -> str:
        """Where the last checkpoint lies; there is one once `run` has returned."""
        assert self.watch.seen.checkpoint is not None
        return self.watch.seen.checkpoint.path

    def turn(self) -> bool:
        """Publish what is due, look at what was done, show it. Returns whether all is trained."""
        seconds = time.monotonic() - self.begun
        due = int(seconds * self.rate) + 1
        for value, headers in self.documents[self.sent : due]:
            self.publisher.publish_raw(value, headers)
        self.sent = min(due, len(self.documents))
        self.watch.poll(POLL_S)
        seen = self.watch.seen
        self.view.update(seen, {part.name: part.state == "running" for part in self.stack.state().parts}, seconds)
        return seen.all_trained(len(self.documents))

    def turn_saved(self) -> bool:
        """Whether a checkpoint holds all of it."""
        self.watch.poll(POLL_S)
        return self.watch.seen.saved()
