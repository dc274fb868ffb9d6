"""Two runs on the plan of a real stack: compared, promoted, ended; and the planner waits for the main one alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_stack import assert_each_trained_once, make_settings, publish
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.contract.errors import SettingsError
from headrace.kafka import Cluster
from headrace.local import process
from headrace.local.stack import Stack
from headrace.local.status import last_trained
from headrace.runs import last_planned, look_at_disk


@pytest.mark.timeout(900)
def test_a_second_run_on_the_plan_is_compared_promoted_and_ended(jars_there: None, tmp_path: Path) -> None:
    """It begins at step 0 while text comes, and catches up; then the planner waits for it, and for the first again."""
    with Stack(make_settings(tmp_path / "data")) as running:
        running.wait_running(300)
        two_runs(running, tmp_path / "losses.png")
    assert process.marked(tmp_path / "data") == []


def two_runs(running: Stack, picture: Path) -> None:
    settings, data_dir = running.settings, running.settings.data_dir
    cluster = Cluster(settings)

    def trained(run: str) -> int:
        told = last_trained(cluster, run)
        return told.step + 1 if told else 0

    def planned() -> int:
        step = last_planned(cluster)
        return step.step + 1 if step else 0

    def ok(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--set", f"local.data_dir={data_dir}"])
        assert done.exit_code == 0, f"{words}: {done.output} {done.exception}"
        return done.stdout

    publish(settings, 40)
    ok("runs", "start", "slow", "--ranks", "1", "--set", "trainer.learning_rate=0.0005")
    assert "trainer@slow" in running.pids
    publish(settings, 40)
    assert_each_trained_once(settings)
    running.wait_until(lambda: trained("slow") == planned(), 60, "the second run has caught up")

    found = json.loads(ok("runs", "compare", "main", "slow", "--json", "--picture", str(picture)))
    assert found["steps"] == list(range(planned()))
    assert [one["settings"]["learning_rate"] for one in found["runs"]] == [settings.trainer.learning_rate, 0.0005]
    assert found["losses"]["main"][0] == found["losses"]["slow"][0], "the same first weights, the same blocks"
    assert found["losses"]["main"][-1] != found["losses"]["slow"][-1]
    assert picture.stat().st_size > 0
    assert f"run slow: {planned()} of {planned()} planned steps trained" in ok("verify", "--run", "slow")

    ok("runs", "promote", "slow")
    assert json.loads(ok("status", "--json"))["main_run"] == "slow"
    ok("runs", "stop", "main")
    running.wait_until(lambda: look_at_disk(settings)["main"].live is False, 60, "the first run halts")
    before = trained("main")
    publish(settings, 300)
    enough = before + settings.planner.ahead + 2
    running.wait_until(lambda: trained("slow") >= enough, 120, "the plan goes on with the second run alone")
    refused = CliRunner().invoke(app, ["runs", "promote", "main", "--set", f"local.data_dir={data_dir}"])
    assert isinstance(refused.exception, SettingsError)
    assert "the planner would write no step" in str(refused.exception)

    ok("runs", "resume", "main")
    running.wait_until(lambda: trained("main") == planned(), 120, "the first run has caught up")
    ok("runs", "promote", "main")
    assert "run slow has ended" in ok("runs", "end", "slow")
    assert "trainer@slow" not in running.pids
    publish(settings, 40)
    assert_each_trained_once(settings)
    assert trained("main") == planned() > trained("slow")
