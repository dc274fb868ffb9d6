"""Texts whose verdicts datatrove itself has written down: ours are the same, to the reason."""

import pytest

from tests.verdicts import Verdicts, golden, ours, theirs

GOLDEN = list(golden())


@pytest.mark.parametrize(("text", "expected"), GOLDEN, ids=[text[:25] for text, _ in GOLDEN])
def test_the_verdicts_are_datatroves(text: str, expected: Verdicts) -> None:
    assert ours(text) == theirs(expected)


def test_every_limit_is_hit() -> None:
    hit = {reason for _, expected in GOLDEN for reason in expected[:4]}
    assert len(hit) >= 30
