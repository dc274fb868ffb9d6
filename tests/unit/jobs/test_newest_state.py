"""Which checkpoint or savepoint a job goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.contract.errors import ContractError
from headrace.flink import HEADER, MAGIC, NO_END, SPLIT, SavedState, newest_state, positions
from headrace.jobs import check_age


def write_state(folder: Path, number: int) -> Path:
    folder.mkdir(parents=True)
    (folder / "_metadata").write_bytes(HEADER.pack(MAGIC, 6, number) + b"operators")
    return folder


def test_nothing_yet(tmp_path: Path) -> None:
    assert newest_state(tmp_path) is None


def test_the_highest_number_over_all_job_ids(tmp_path: Path) -> None:
    write_state(tmp_path / "checkpoints/aaaa/chk-9", 9)
    newest = write_state(tmp_path / "checkpoints/bbbb/chk-12", 12)
    write_state(tmp_path / "checkpoints/cccc/chk-11", 11)
    found = newest_state(tmp_path)
    assert found is not None
    assert (found.path, found.number) == (newest, 12)


def test_a_checkpoint_without_metadata_does_not_count(tmp_path: Path) -> None:
    newest = write_state(tmp_path / "checkpoints/aaaa/chk-3", 3)
    (tmp_path / "checkpoints/aaaa/chk-4").mkdir()
    found = newest_state(tmp_path)
    assert found is not None
    assert found.path == newest


def test_a_savepoint_counts_by_its_number_not_by_its_time(tmp_path: Path) -> None:
    write_state(tmp_path / "savepoints/savepoint-aaaa-1", 5)
    newest = write_state(tmp_path / "checkpoints/bbbb/chk-6", 6)
    (tmp_path / "savepoints/savepoint-aaaa-1/_metadata").touch()
    found = newest_state(tmp_path)
    assert found is not None
    assert found.path == newest
    savepoint = write_state(tmp_path / "savepoints/savepoint-bbbb-2", 7)
    found = newest_state(tmp_path)
    assert found is not None
    assert found.path == savepoint


@pytest.mark.parametrize("content", [b"", b"short", HEADER.pack(1, 6, 4), HEADER.pack(MAGIC, 6, 3)])
def test_an_unreadable_one_is_never_passed_over(tmp_path: Path, content: bytes) -> None:
    write_state(tmp_path / "checkpoints/aaaa/chk-3", 3)
    broken = write_state(tmp_path / "checkpoints/aaaa/chk-4", 4) / "_metadata"
    broken.write_bytes(content)
    with pytest.raises(ContractError, match="chk-4/_metadata"):
        newest_state(tmp_path)


def test_state_older_than_the_transactions_needs_a_word(tmp_path: Path) -> None:
    state = SavedState(tmp_path, 1, time=1000.0)
    check_age(state, limit_s=60, now=1060.0, accept_loss=False)
    with pytest.raises(ContractError, match="--accept-loss"):
        check_age(state, limit_s=60, now=1061.0, accept_loss=False)
    check_age(state, limit_s=60, now=1061.0, accept_loss=True)


def test_the_positions_in_a_state(tmp_path: Path) -> None:
    def split(topic: str, partition: int, offset: int, end: int = NO_END) -> bytes:
        return len(topic).to_bytes(2, "big") + topic.encode() + SPLIT.pack(partition, offset, end)

    content = b"".join(
        (
            split("text.raw", 0, -3),  # what the enumerator knows: not begun
            split("text.raw", 1, -3),
            split("text.raw", 0, 50),
            split("text.raw", 3, 7),
            split("text.raw.old", 2, 9),
            split("text.raw", 4, 9, end=12),  # by chance the same letters
            b"\x00\x08text.raw",
        )
    )
    folder = write_state(tmp_path / "chk-1", 1)
    (folder / "_metadata").write_bytes(HEADER.pack(MAGIC, 6, 1) + content)
    state = SavedState(folder, 1, time=0.0)
    assert positions(state, "text.raw") == {0: 50, 3: 7}
    assert positions(state, "text.clean") == {}
