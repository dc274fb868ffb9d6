"""What counts as a panel that has moved, and that the docs name what moves each."""

from tests.observe.moves import BOARDS, FALLS, RISES, Move, moved
from tests.observe.prom import CONFIG


def test_a_value_that_stays_has_not_moved() -> None:
    still = [{"a": [(float(at), 5.0) for at in range(20)]}]
    rises, falls = Move("", RISES), Move("", FALLS)
    assert not moved(rises, still, 10, 15)
    assert not moved(falls, still, 10, 15)
    jump = [{"a": [(float(at), 9.0 if 10 <= at < 12 else 5.0) for at in range(20)]}]
    assert moved(rises, jump, 9, 15)
    assert not moved(rises, jump, 13, 15)
    assert not moved(falls, jump, 9, 15)
    assert not moved(Move("", RISES, 5.0), jump, 9, 15)
    assert moved(rises, [{"new": [(11.0, 1.0)]}], 10, 15)


def test_the_docs_name_what_moves_each_panel() -> None:
    page = (CONFIG.parents[1] / "docs/observe.md").read_text()
    for own in BOARDS.values():
        for title, move in own.items():
            assert f"| {title} | {move.by} | {move.way} |" in page
