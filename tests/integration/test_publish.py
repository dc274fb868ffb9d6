"""`headrace publish` as a user runs it, against a real broker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.client import Publisher
from headrace.contract.documents import RawDocument, decode_raw
from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings, load
from headrace.contract.topics import RAW
from headrace.kafka import Cluster


def publish(settings: Settings, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "headrace.cli.main", "publish", *arguments]
    environment = {**os.environ, "HEADRACE_CONFIG": "/dev/null", **settings.environment()}
    return subprocess.run(command, input=stdin, env=environment, capture_output=True, timeout=60, check=False)


def held(settings: Settings) -> list[RawDocument]:
    """What the broker holds, decoded as the clean job will, sorted by text."""
    cluster = Cluster(settings)
    messages = cluster.read_all(RAW, {}, cluster.settled_ends(RAW, 30))
    documents = [decode_raw(message.value(), dict(message.headers() or []), 1 << 20) for message in messages]
    return sorted(documents, key=lambda document: document.text)


def test_the_broker_holds_every_document_and_the_rest_is_named(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    lines = [json.dumps({"text": f"json {number}", "id": number, "label": 1}) for number in range(2000)]
    (folder / "many.jsonl").write_text("\n".join([*lines, "{broken", json.dumps({"text": "x" * (1 << 20)})]))
    (folder / "one.txt").write_text("two\nlines")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    done = publish(settings, str(folder), "-", "--source", "here", "--json", stdin=b"from stdin\n\n")
    assert done.returncode == 2, done.stderr
    said = json.loads(done.stdout)
    assert (said["published"], said["malformed"], said["too_long"]) == (2002, 2, 1)
    named = done.stderr.decode()
    assert f"{folder}/many.jsonl:2001: bad_json" in named
    assert f"{folder}/many.jsonl:2002: too_long" in named
    assert f"{folder}/latin.txt: invalid_utf8" in named
    documents = held(settings)
    assert len(documents) == 2002
    assert {document.source for document in documents} == {"here"}
    assert documents[0] == RawDocument("from stdin", source="here")
    assert documents[-1] == RawDocument("two\nlines", id=f"{folder}/one.txt", source="here")
    assert {document.id for document in documents[1:-1]} == {str(number) for number in range(2000)}


def test_all_published_is_exit_0(settings: Settings) -> None:
    done = publish(settings, "-", stdin=b"one\ntwo\n")
    assert (done.returncode, len(held(settings))) == (0, 2), done.stderr
    assert b"published 2 documents" in done.stdout


def interrupted(publisher: subprocess.Popen[bytes]) -> int:
    """Its exit code after Ctrl-C; pressed again where the first came just before Python began to wait for input."""
    while True:
        publisher.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return publisher.wait(10)


def test_ctrl_c_ends_a_pipe_and_loses_nothing_that_was_read(settings: Settings) -> None:
    environment = {**os.environ, "HEADRACE_CONFIG": "/dev/null", **settings.environment()}
    command = [sys.executable, "-m", "headrace.cli.main", "publish", "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as publisher:  # type: ignore[call-overload]
        publisher.stdin.write(b"one\ntwo\n")
        publisher.stdin.flush()
        deadline = time.monotonic() + 60
        while len(held(settings)) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert interrupted(publisher) == 130
        assert b"published 2 documents" in publisher.stdout.read()
    assert len(held(settings)) == 2


def test_a_missing_topic_and_a_missing_broker_are_exit_3_and_say_what_to_do(settings: Settings) -> None:
    other = load(environment=settings.environment(), assignments=["kafka.topic_prefix=nobody."]).settings
    done = publish(other, "-", stdin=b"one\n")
    assert done.returncode == 3
    assert b"nobody.text.raw does not exist" in done.stderr
    assert b"headrace topics create" in done.stderr
    done = publish(settings, "-", "--brokers", "127.0.0.1:1", stdin=b"one\n")
    assert done.returncode == 3
    assert b"no broker answers at 127.0.0.1:1" in done.stderr


def test_the_publisher_is_usable_from_a_program(settings: Settings) -> None:
    with Publisher(settings) as publisher:
        for number in range(1000):
            publisher.publish(f"text {number:04}", source="program", time=number)
    assert publisher.delivered == 1000
    assert held(settings)[7] == RawDocument("text 0007", source="program", time=7)
    with pytest.raises(DependencyError, match="does not exist"):
        Publisher(load(environment=settings.environment(), assignments=["kafka.topic_prefix=nobody."]).settings)
