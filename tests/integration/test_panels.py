"""`make observe`, its short form: every panel returns data over a running stack, and faults show where they should."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from headrace.local.stack import Stack
from tests.observe.moves import BOARDS, FALLS, RISES, Move, moved
from tests.observe.prom import CONFIG, prometheus
from tests.observe.scene import SETTINGS, Scene, short
from tests.observe.verdict import gather, judge
from tests.small_stack import make_settings


@pytest.mark.timeout(600)
def test_every_panel_returns_data_and_shows_what_happens(jars_there: None, tmp_path: Path) -> None:
    with Stack(make_settings(tmp_path / "data", *SETTINGS)) as stack:
        stack.wait_running(300)
        with prometheus(stack.settings, tmp_path, for_s=2) as asked:
            scene, start = Scene(stack, asked), time.time()
            with scene.publishing():
                short(scene)
            shown = gather(asked, start, time.time())
            verdict = judge(asked, shown, scene.windows, (CONFIG / "alerts_test.yml").read_text())
    print("\n".join(verdict.lines()))
    assert verdict[1:] == ([], [], [], [])
    assert verdict.panels > 40


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
