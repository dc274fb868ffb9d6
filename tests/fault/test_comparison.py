"""The comparison is fair: its oracle notices what is planted; without a fault no stand-in loses or repeats anything."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.contract.settings import Settings
from headrace.kafka import Cluster
from headrace.topics import create_topics
from tests.conftest import with_values
from tests.fault.comparison.faults import KINDS, draw
from tests.fault.comparison.oracle import Coordinate, Tally, history, tally
from tests.fault.comparison.ours import Span, seen
from tests.fault.comparison.stand_in import SYSTEMS, compare

DOCUMENTS = 100
A, B, C, D = ((0, offset, 0) for offset in range(4))


def log(*said: int | list[Coordinate]) -> list[dict[str, object]]:
    """A number: an attempt that goes on from this step. A list: what its next step was fed."""
    lines: list[dict[str, object]] = []
    step = 0
    for each in said:
        if isinstance(each, int):
            step = each
            lines.append({"attempt": len(lines), "resumed": step})
        else:
            lines.append({"step": step, "documents": each})
            step += 1
    return lines


@pytest.mark.parametrize(
    ("said", "lost", "repeated"),
    [
        ([0, [A, B], [C], [D]], 0, 0),
        ([0, [A, B], [D]], 1, 0),
        ([0, [A, B], [C], [C, D]], 0, 1),
        ([0, [A, A], [A], [D]], 2, 2),
        ([0, [A, B], [C], 1, [C], [D]], 0, 0),
        ([0, [A, B], [C], 1, [D]], 1, 0),
        ([0, [A, B], [C], 2, [B, C], [D]], 0, 2),
        ([0, [A], [B], [C], 0, [D]], 3, 0),
    ],
)
def test_what_is_lost_and_repeated_is_noticed(said: list[int | list[Coordinate]], lost: int, repeated: int) -> None:
    assert tally([A, B, C, D], history(log(*said), last=9)) == Tally(4, 0, lost, repeated, 0)


def test_what_was_fed_after_the_last_checkpoint_is_not_in_its_weights() -> None:
    assert history(log(0, [A, B], [C], [D]), last=2) == Counter([A, B, C])


def test_what_is_rejected_is_not_lost_and_what_was_never_acknowledged_is_named() -> None:
    assert tally([A, B, C], Counter([A, D]), rejected=[B]) == Tally(3, 1, lost=1, repeated=0, unknown=1)
    assert tally([A], Counter([A]), rejected=[A]).unknown == 1


def test_of_ours_a_document_with_a_token_missing_was_not_seen_and_one_with_a_piece_twice_was_seen_twice() -> None:
    whole, first, second = Span(A, 0, 9, 9), Span(B, 0, 5, 9), Span(B, 5, 4, 9)
    assert seen([whole, first, second]) == Counter([A, B])
    assert seen([whole, first]) == Counter([A])
    assert seen([whole, first, second, second]) == Counter([A, B, B])


def test_the_seed_says_which_faults_and_when() -> None:
    faults = list(draw(12, seed=1))
    assert Counter(fault.kind for fault in faults) == dict.fromkeys(KINDS, 2)
    assert faults == list(draw(12, seed=1)) != list(draw(12, seed=2))


def test_without_a_fault_no_stand_in_loses_or_repeats(settings: Settings, tmp_path: Path) -> None:
    own = {name: with_values(settings, f"kafka.topic_prefix={settings.kafka.topic_prefix}{name}.") for name in SYSTEMS}
    for each in own.values():
        create_topics(Cluster(each))
    with ThreadPoolExecutor(len(own)) as pool:
        results = pool.map(
            lambda name: compare(SYSTEMS[name], own[name], tmp_path / name, [], DOCUMENTS, seed=1, quiet_s=8), own
        )
    for result in results:
        counted = result.tally
        assert counted.published >= DOCUMENTS
        assert (counted.lost, counted.repeated, counted.unknown) == (0, 0, 0), result.name
