"""What was interrupted is gone on with: after SIGKILL, on files and on topics, nothing is there twice or missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Message, Producer

from headrace.contract.settings import Settings, load
from headrace.contract.topics import RAW
from headrace.kafka import Cluster, producer_config
from headrace.topics import create_topics
from headrace.transfer import TakenOver, Transfer

COUNT = 12_000


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "headrace.cli.main", "publish", *map(str, arguments)]


def environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, "HEADRACE_CONFIG": "/dev/null", **settings.environment()}


def publish(settings: Settings, *arguments: object, code: int = 0) -> dict[str, object]:
    """The summary of a publish that runs to its end."""
    done = subprocess.run(
        command(*arguments, "--json"), env=environment(settings), capture_output=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stderr.decode()
    said: dict[str, object] = json.loads(done.stdout)
    return said


@contextmanager
def publishing(settings: Settings, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A publish that runs meanwhile, and is killed at the end if it still does."""
    with subprocess.Popen(command(*arguments), env=environment(settings), stdout=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()


def wait_for(what: Callable[[], object], running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert running.poll() is None, "it ended before that"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def end(settings: Settings, committed: bool = True) -> int:
    return sum(Cluster(settings).end_offsets(RAW, committed).values())


def records(settings: Settings) -> list[Message]:
    cluster = Cluster(settings)
    return list(cluster.read_all(RAW, {}, cluster.end_offsets(RAW)))


def texts(settings: Settings) -> Counter[str]:
    return Counter(bytes(message.value() or b"").decode() for message in records(settings))


def with_prefix(settings: Settings, prefix: str) -> Settings:
    other = load(environment=settings.environment(), assignments=[f"kafka.topic_prefix={prefix}"]).settings
    create_topics(Cluster(other))
    return other


def test_killed_in_the_middle_of_a_file_it_goes_on_there(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "many.log"
    file.write_text("".join(f"line {number}\n" for number in range(COUNT)))
    with publishing(settings, file, "--rate", COUNT // 4) as running:
        # Something is committed, and a transaction is open: there the fault is.
        wait_for(lambda: 0 < end(settings) < end(settings, committed=False), running)
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
    left = sum(texts(settings).values())
    assert 0 < left < COUNT
    said = publish(settings, file)
    assert (said["already"], said["published"]) == (left, COUNT - left)
    assert texts(settings) == Counter(f"line {number}" for number in range(COUNT))
    assert publish(settings, file)["published"] == 0
    assert publish(settings, file, "--again", "--limit", 10)["published"] == 10
    assert set(texts(settings).values()) == {1, 2}, "the count does notice what is there twice"


def test_a_followed_file_is_gone_on_with_after_a_kill(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    file.write_text("one\ntw")
    with publishing(settings, "--follow", tmp_path) as running:
        wait_for(lambda: end(settings), running)
        running.kill()
    with file.open("a") as log:
        log.write("o\nthr")
    with publishing(settings, "--follow", tmp_path) as running:
        wait_for(lambda: len(records(settings)) == 2, running)
        file.rename(tmp_path / "app.log.1")
        with (tmp_path / "app.log.1").open("a") as log:
            log.write("ee\n")
        file.write_text("four\n")
        wait_for(lambda: len(records(settings)) == 4, running)
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    assert texts(settings) == Counter(["one", "two", "three", "four"])


def test_another_topic_is_copied_as_it_is_and_once(settings: Settings) -> None:
    brokers = settings.kafka.brokers
    plain, source = Producer(producer_config(brokers)), settings.topic(RAW)
    for number in range(300):
        value = None if number == 7 else f"text {number}".encode()
        headers = [("content-type", b"text/plain"), ("x", None)] if number % 2 else []
        at = {"partition": number % 4, "timestamp": 1_700_000_000_000 + number}
        plain.produce(source, value, key=str(number) if number % 3 else None, headers=headers, **at)
    plain.flush()
    transfer = Transfer(settings, "aborted")
    transfer.send(b"never committed")
    transfer.abort()
    target = with_prefix(settings, settings.kafka.topic_prefix + "new.")
    assert publish(target, "--from-topic", source, "--dry-run")["would_publish"] == 300
    assert publish(target, "--from-topic", source, "--limit", 100)["published"] == 100
    with publishing(target, "--from-topic", source, "--follow") as running:
        wait_for(lambda: len(records(target)) == 300, running)
        plain.produce(source, b"later", partition=0, timestamp=1)
        plain.flush()
        wait_for(lambda: len(records(target)) == 301, running)
    assert publish(target, "--from-topic", source)["published"] == 0
    assert [whole(message) for message in records(target)] == [whole(message) for message in records(settings)]


def whole(message: Message) -> tuple[object, ...]:
    return message.partition(), message.key(), message.value(), message.headers(), message.timestamp()


def test_of_two_publishers_of_the_same_input_the_older_is_fenced_off(settings: Settings) -> None:
    older = Transfer(settings, "the same")
    older.send(b"of the older")
    with Transfer(settings, "the same") as newer, Transfer(settings, "another") as other:
        newer.send(b"of the newer")
        other.send(b"of another")
    with pytest.raises(TakenOver, match="fenced off"):
        older.commit()
    assert texts(settings) == Counter(["of the newer", "of another"])
