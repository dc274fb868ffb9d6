"""`make observe`, its short form: every panel returns data over a running stack, and faults show where they should."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from headrace.local.stack import Stack
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
