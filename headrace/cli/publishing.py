"""What `headrace publish` does, once its options are read."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import typer

from headrace.cli.following import Followed
from headrace.cli.inputs.cut import Copied, Cut, Found, Refused
from headrace.cli.inputs.files import InputFile, read
from headrace.cli.inputs.memory import Memory
from headrace.cli.inputs.names import files_of, is_stream, known_as
from headrace.cli.inputs.topic import TopicInput
from headrace.cli.sending import Counted, Pace, Published, Sending, Sink, Transferred
from headrace.client import Publisher
from headrace.contract.bookmarks import FILE_KEY, TOPIC_KEY, FileBookmark, TopicBookmark
from headrace.contract.errors import DependencyError, SettingsError
from headrace.contract.settings import Settings
from headrace.contract.topics import RAW
from headrace.kafka import Cluster, coordinate
from headrace.transfer import Transfer, bookmarks

LOOK_S = 0.5
"""Between two looks at what is followed."""
AWAY_S = 5.0
"""Between two tries to reach a broker that went away from a publisher that follows."""
SETTLE_S = 90.0
"""The longest that another publisher's transaction may hold back what is remembered; they live for 30 s."""
SHOWN = 300
"""Bytes of the first document that a dry run shows."""


@dataclass(frozen=True)
class Request:
    """The command line."""

    paths: Sequence[str]
    cut: Cut
    from_topic: str | None
    from_brokers: str
    again: bool
    follow: bool
    rate: float | None
    limit: int | None
    dry_run: bool
    json: bool

    def check(self, raw: str) -> None:
        """Raise SettingsError for what cannot go together."""
        if bool(self.paths) == bool(self.from_topic):
            raise SettingsError("name files, directories or - to publish, or a topic with --from-topic, not both")
        if self.from_brokers and not self.from_topic:
            raise SettingsError("--from-brokers says where --from-topic is: name the topic")
        if self.from_topic == raw and not self.from_brokers:
            raise SettingsError(f"{raw} is where it would be copied to: set kafka.topic_prefix to the new deployment's")
        if self.follow and self.dry_run:
            raise SettingsError("--follow has no end, so --dry-run cannot say what would be sent: leave one out")
        if self.follow and any(is_stream(name) for name in self.paths):
            raise SettingsError("a pipe is read until it ends anyway: leave --follow out")

    def name(self) -> str:
        """What the input is: the same command on the same machine fences its older self off."""
        if self.from_topic:
            return f"topic {self.from_topic} {self.from_brokers}"
        return "\n".join([platform.node(), *sorted(known_as(path) for path in self.paths)])


def run(settings: Settings, request: Request) -> int:
    """Do it, say what was done, and return the exit code."""
    request.check(settings.topic(RAW))
    with Sending(Pace(request.rate, request.limit)) as sending:
        try:
            if request.dry_run:
                return _dry_run(settings, request, sending)
            if request.follow:
                _follow(settings, request, sending)
            elif request.from_topic:
                _copy(settings, request, sending)
            else:
                _send_paths(settings, request, sending)
        except KeyboardInterrupt:
            sending.say("broken off: what was not committed is not there, and not remembered")
            return 130
    _tell(sending, request)
    if sending.stop.asked.is_set() and not request.follow:
        return 130
    return 2 if sending.tally.refused else 0


def _send_paths(settings: Settings, request: Request, sending: Sending) -> None:
    """Files and streams in the order in which they were named."""
    files = files_of(request.paths)
    streams = {name for name in files if is_stream(name)}
    sending.expect(None if streams else sum(Path(name).stat().st_size for name in files))
    with ExitStack() as stack:
        if len(streams) < len(files):
            transfer = stack.enter_context(_transfer(settings, request, sending))
            memory = _memory(transfer.cluster, transfer.into, request.again)
        for name in files:
            if sending.ended:
                break
            if name not in streams:
                _send_file(name, request.cut.of(name), Transferred(transfer), memory, transfer.into, sending)
                continue
            if len(streams) < len(files):
                transfer.commit()
            _send_stream(settings, name, request.cut, sending)


def _send_file(name: str, cut: Cut, sink: Sink, memory: Memory, into: str, sending: Sending) -> None:
    """What is not there yet of one file."""
    sending.tally.files += 1
    try:
        size = Path(name).stat().st_size
        if known := memory.unchanged(name, cut):
            sending.tally.count_already(known)
        else:
            with InputFile(name, cut) as file:
                _recognise(file, memory, sending)
                _take(file, sink, into, sending)
        sending.passed(size)
    except OSError as error:
        sending.refuse(Refused(name, "unreadable", error.strerror or type(error).__name__))


def _recognise(file: InputFile, memory: Memory, sending: Sending) -> None:
    candidates = memory.candidates(file.path)
    if known := file.recognise(candidates):
        sending.tally.count_already(known)
        if not known.whole or file.stat.st_size != known.size:
            sending.say(
                f"{file.path}: goes on behind row {known.rows:,}; {known.documents:,} documents are there already"
            )
    elif (known_as(file.path), str(file.cut)) in ((bookmark.path, bookmark.cut) for bookmark in candidates):
        sending.say(f"{file.path} is not what was published under this name before: published from its beginning")


def _send_stream(settings: Settings, name: str, cut: Cut, sending: Sending) -> None:
    """A pipe, until it ends or Ctrl-C: what was read is still delivered."""
    sending.tally.files += 1
    with Publisher(settings) as publisher:
        sending.stop.at_once = True
        try:
            sending.send(Published(publisher), read(name, cut))
        except KeyboardInterrupt:
            pass
        finally:
            sending.stop.at_once = False


def _copy(settings: Settings, request: Request, sending: Sending) -> None:
    """Another topic up to its present end, or on and on."""
    with _transfer(settings, request, sending) as transfer:
        source = _source(settings, request, transfer.cluster, transfer.into, sending)
        sink = Transferred(transfer)
        sending.expect(source.look())
        while not sending.ended:
            sending.send(sink, source.items(), lambda: source.bookmarks(transfer.into), source.taken)
            transfer.commit()
            if not request.follow:
                return
            sending.stop.asked.wait(LOOK_S)
            source.look()


def _source(settings: Settings, request: Request, cluster: Cluster, into: str, sending: Sending) -> TopicInput:
    source = TopicInput(settings, request.from_brokers, str(request.from_topic))
    if not request.again:
        for message in bookmarks(cluster, TOPIC_KEY, SETTLE_S):
            known = TopicBookmark.decode(message.value(), coordinate(message))
            if known.into == into:
                source.resume(known)
    sending.tally.already = source.documents - sending.tally.sent  # this run's own, where it has lost its broker
    return source


def _follow(settings: Settings, request: Request, sending: Sending) -> None:
    """Files or a topic until ended. A broker that goes away is waited for: all that must be known lies in it."""
    go = _copy if request.from_topic else _follow_files
    while True:
        try:
            go(settings, request, sending)
            return
        except DependencyError as error:
            if not sending.connected or sending.ended:
                raise
            if not sending.away:
                sending.say(f"{error}; tried every {AWAY_S:.0f} s")
            sending.away = True
            sending.stop.asked.wait(AWAY_S)


def _follow_files(settings: Settings, request: Request, sending: Sending) -> None:
    with _transfer(settings, request, sending) as transfer:
        memory = _memory(transfer.cluster, transfer.into, request.again)
        followed = Followed(request.paths, request.cut, memory, sending.say)
        with closing(followed):
            while not sending.ended:
                _take_news(followed, transfer, memory, sending)
                sending.tally.files = followed.files
                transfer.commit()
                sending.stop.asked.wait(LOOK_S)


def _take_news(followed: Followed, transfer: Transfer, memory: Memory, sending: Sending) -> None:
    for file in followed.look():
        if isinstance(file, Refused):
            sending.refuse(file)
            continue
        _take(file, Transferred(transfer), transfer.into, sending)
        memory.remember(file.bookmark(transfer.into))
        if sending.ended:
            return


def _take(file: InputFile, sink: Sink, into: str, sending: Sending) -> None:
    sending.send(sink, file.items(), lambda: [file.bookmark(into)], lambda: file.taken_bytes)


@contextmanager
def _transfer(settings: Settings, request: Request, sending: Sending) -> Iterator[Transfer]:
    """A Transfer; after an error, what it took back is not counted as sent."""
    sent, taken = sending.tally.sent, sending.pace.taken
    with Transfer(settings, request.name()) as transfer:
        sending.connected, sending.away = True, False
        try:
            yield transfer
        except DependencyError:
            sending.tally.sent, sending.pace.taken = sent + transfer.documents, taken + transfer.documents
            raise


def _memory(cluster: Cluster, into: str, forget: bool) -> Memory:
    """What is remembered of files that went into this very topic."""
    if forget:
        return Memory([])
    found = (
        FileBookmark.decode(message.value(), coordinate(message)) for message in bookmarks(cluster, FILE_KEY, SETTLE_S)
    )
    return Memory(bookmark for bookmark in found if bookmark.into == into)


def _dry_run(settings: Settings, request: Request, sending: Sending) -> int:
    """Say what would be sent, from what is remembered where a broker answers."""
    counted = Counted()
    if request.from_topic:
        cluster = Cluster(settings)
        source = _source(settings, request, cluster, cluster.topic_ids([RAW])[RAW], sending)
        sending.expect(source.look())
        sending.send(counted, source.items(), taken=source.taken)
    else:
        memory, into = _memory_for_looking(settings, request, sending)
        for name in files_of(request.paths):
            if is_stream(name):
                sending.tally.files += 1
                sending.send(counted, read(name, request.cut))
            else:
                _send_file(name, request.cut.of(name), counted, memory, into, sending)
    _tell(sending, request, counted.first)
    return 2 if sending.tally.refused else 0


def _memory_for_looking(settings: Settings, request: Request, sending: Sending) -> tuple[Memory, str]:
    cluster = Cluster(settings, timeout_s=3.0)
    try:
        into = cluster.topic_ids([RAW])[RAW]
        return _memory(cluster, into, request.again), into
    except DependencyError as error:
        sending.say(f"counted from the beginning of each file, for what is there already is not known: {error}")
        return Memory([]), ""


def _tell(sending: Sending, request: Request, first: Found | Copied | None = None) -> None:
    """The summary, on standard output."""
    tally, verb = sending.tally, "would publish" if request.dry_run else "published"
    if request.json:
        too_long = tally.refused["too_long"]
        said: dict[str, Any] = {
            verb.replace(" ", "_"): tally.sent,
            "bytes": tally.bytes,
            "files": tally.files,
            "already": tally.already,
            "already_refused": tally.already_refused,
            "malformed": tally.refused.total() - too_long,
            "too_long": too_long,
            "refused": dict(tally.refused),
            "seconds": round(sending.seconds, 3),
        }
        typer.echo(orjson.dumps(said | ({"first": _shown(first)} if request.dry_run else {})).decode())
        return
    then = f" ({tally.already_refused:,} were refused then)" if tally.already_refused else ""
    already = f"; there already {tally.already:,}{then}" if tally.already or then else ""
    refused = ", ".join(f"{reason} {count:,}" for reason, count in tally.refused.most_common()) or "none"
    typer.echo(f"{verb} {sending.speed()}, {tally.bytes:,} bytes{already}; refused {refused}")
    if first is not None:
        shown = _shown(first)
        typer.echo(f"the first is {shown['place']}, {shown['bytes']:,} bytes, {shown['headers']}:\n{shown['value']}")


def _shown(item: Found | Copied | None) -> dict[str, Any]:
    """The first document of a dry run, cut short."""
    if item is None:
        return {}
    value = item.value or b""
    pairs = item.headers.items() if isinstance(item, Found) else item.headers
    headers = {name: said.decode("utf-8", "replace") if isinstance(said, bytes) else said for name, said in pairs}
    text = value[:SHOWN].decode("utf-8", "replace")
    return {"place": item.place, "bytes": len(value), "headers": headers, "value": text}
