"""A stack whose supervisor, whose machine, or whose path goes away: nothing stays behind, and nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from headrace.contract.errors import ContractError
from headrace.local import process, state
from headrace.local.stack import Stack, launch
from tests.small_stack import assert_each_trained_once, make_settings, publish

pytestmark = pytest.mark.timeout(2400)


def wait_for_the_end(data_dir: Path) -> None:
    deadline = time.monotonic() + 180
    while process.marked(data_dir):
        assert time.monotonic() < deadline, process.marked(data_dir)
        time.sleep(0.5)
    assert state.running(data_dir) is None


def test_a_stack_goes_on_after_each(jars_there: None, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    with Stack(make_settings(first)) as stack:
        stack.wait_running(600)
        publish(stack.settings, 60)
        stack.kill("supervisor")
        wait_for_the_end(first)

    with Stack(make_settings(first)) as stack:
        stack.wait_running(600)
        publish(stack.settings, 60)
        assert_each_trained_once(stack.settings)

    first.rename(second)  # after its end with savepoints
    with Stack(make_settings(second)) as stack:
        stack.wait_running(600)
        publish(stack.settings, 60)
        assert_each_trained_once(stack.settings)
        publish(stack.settings, 60)
        stack.kill("supervisor")  # and the whole machine with it
        for part in process.marked(second):
            part.kill()
        wait_for_the_end(second)

    second.rename(third)  # with checkpoints alone, which name files in `second`
    with pytest.raises(ContractError, match=rf"moved from {second}/flink to {third}/flink.*ln -s"):
        launch(make_settings(third))
    second.mkdir()
    (second / "flink").symlink_to(third / "flink")
    with Stack(make_settings(third)) as stack:
        stack.wait_running(600)
        publish(stack.settings, 60)
        assert_each_trained_once(stack.settings)

    (second / "flink").unlink()  # its end has made savepoints, which name nothing
    with Stack(make_settings(third)) as stack:
        stack.wait_running(600)
        publish(stack.settings, 60)
        assert_each_trained_once(stack.settings)
