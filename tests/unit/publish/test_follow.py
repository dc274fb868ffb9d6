"""Files that grow, appear, are renamed, replaced and cut off while they are followed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.cli.following import GONE_S, SETTLED_S, Followed
from headrace.cli.inputs.cut import Cut, Found, Refused
from headrace.cli.inputs.memory import Memory


class Follower:
    """A Followed with a clock that stands, and what it said and found."""

    def __init__(self, *names: Path | str) -> None:
        self.now = 1e9
        self.said: list[str] = []
        self.names = [str(name) for name in names]
        self.memory = Memory([])
        self.start()

    def start(self) -> None:
        """As after the process was ended and started again: it knows what it remembered."""
        self.followed = Followed(self.names, Cut(100), self.memory, self.said.append, lambda: self.now)

    def look(self) -> list[bytes | str]:
        """The texts of one look, and the places of what was refused."""
        found: list[bytes | str] = []
        for file in self.followed.look():
            items = [file] if isinstance(file, Refused) else list(file.items())
            found += [
                item.value if isinstance(item, Found) else f"{Path(item.place).name} {item.reason}" for item in items
            ]
            if not isinstance(file, Refused):
                self.memory.remember(file.bookmark("topic"))
        return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def follower(log: Path) -> Iterator[Follower]:
    follower = Follower(log)
    yield follower
    follower.followed.close()


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def settle(follower: Follower, path: Path) -> None:
    """Let the time pass after which a file that is taken as a whole counts as finished."""
    os.utime(path, (follower.now, follower.now))
    follower.now += SETTLED_S + 1


def test_a_line_is_taken_when_it_is_finished_and_once(follower: Follower, log: Path) -> None:
    assert follower.look() == []  # not there yet
    append(log, "one\ntw")
    assert follower.look() == [b"one"]
    assert follower.look() == []
    append(log, "o")
    assert follower.look() == []
    append(log, "\nthree\n")
    assert follower.look() == [b"two", b"three"]
    assert follower.look() == []


def test_after_a_restart_it_goes_on(follower: Follower, log: Path) -> None:
    append(log, "one\ntw")
    follower.look()
    append(log, "o\nthree\n")
    follower.followed.close()
    follower.start()
    assert follower.look() == [b"two", b"three"]


def test_a_replaced_file_is_read_to_its_end_and_the_new_one_from_its_beginning(follower: Follower, log: Path) -> None:
    append(log, "one\n")
    assert follower.look() == [b"one"]
    old = log.rename(log.with_name("elsewhere"))
    append(old, "two\n")
    append(log, "new\n")
    assert follower.look() == [b"new", b"two"]
    assert "another file now" in follower.said[0]
    append(old, "three\nlast")
    assert follower.look() == [b"three"]
    follower.now += GONE_S + 1
    assert follower.look() == [b"last"]
    assert follower.look() == []


def test_a_deleted_file_is_read_to_its_end(follower: Follower, log: Path) -> None:
    append(log, "one\n")
    follower.look()
    append(log, "two\nthree")
    log.unlink()
    assert follower.look() == [b"two"]
    follower.now += GONE_S + 1
    assert follower.look() == [b"three"]


@pytest.mark.parametrize("after", ["new\n", "new, and longer than what was there before\n"])
def test_a_file_that_was_cut_off_is_noticed(follower: Follower, log: Path, after: str) -> None:
    append(log, "one\ntwo\n")
    assert follower.look() == [b"one", b"two"]
    log.write_text(after)
    assert follower.look() == [after.strip().encode()]
    assert "was cut off" in follower.said[0]


def test_a_file_renamed_within_the_folder_is_gone_on_with(tmp_path: Path, log: Path) -> None:
    follower = Follower(tmp_path)
    append(log, "one\n")
    assert follower.look() == [b"one"]
    append(log, "two\n")
    log.rename(tmp_path / "app.log.1")
    append(log, "three\n")
    assert sorted(follower.look()) == [b"three", b"two"]
    assert any("was renamed" in line for line in follower.said)
    append(tmp_path / "app.log.1", "four\n")
    assert follower.look() == [b"four"]
    follower.followed.close()


def test_a_rotated_and_packed_log_is_not_taken_again(tmp_path: Path, log: Path) -> None:
    follower = Follower(tmp_path)
    append(log, "one\ntwo\n")
    assert follower.look() == [b"one", b"two"]
    packed = tmp_path / "app.log.1.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    settle(follower, packed)
    assert follower.look() == []
    follower.followed.close()


def test_whole_files_are_taken_when_they_rest_and_again_when_they_changed(tmp_path: Path) -> None:
    follower, note = Follower(tmp_path), tmp_path / "note.txt"
    note.write_text("half a te")
    os.utime(note, (follower.now, follower.now))
    assert follower.look() == []
    note.write_text("half a text no more\n")
    settle(follower, note)
    assert follower.look() == [b"half a text no more\n"]
    os.utime(note, (follower.now - SETTLED_S - 0.5, follower.now - SETTLED_S - 0.5))
    assert follower.look() == []
    note.write_text("changed")
    settle(follower, note)
    assert follower.look() == [b"changed"]
    assert follower.look() == []


def test_what_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    follower, bad = Follower(tmp_path), tmp_path / "bad.jsonl.gz"
    bad.write_bytes(gzip.compress(b'{"text": "a"}\n')[:20])
    settle(follower, bad)
    assert follower.look() == ["bad.jsonl.gz unreadable"]
    assert follower.look() == []


def test_a_table_may_grow_within_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    follower = Follower(path)
    append(path, "text,id\n")
    assert follower.look() == []
    append(path, '"one,\n')
    assert follower.look() == []
    append(path, 'two",1\nthr')
    assert follower.look() == [b'{"text":"one,\\ntwo","id":"1"}']
    append(path, "ee,2\n")
    assert follower.look() == [b'{"text":"three","id":"2"}']
    follower.followed.close()


def test_a_file_named_itself_is_read_by_line_one_in_a_folder_as_its_name_says(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for path in (tmp_path / "a.txt", tmp_path / "in" / "b.txt"):
        path.write_text("one\ntwo\n")
        os.utime(path, (1e9 - 100, 1e9 - 100))
    follower = Follower(tmp_path / "a.txt", tmp_path / "in")
    assert follower.look() == [b"one", b"two", b"one\ntwo\n"]
    follower.followed.close()
