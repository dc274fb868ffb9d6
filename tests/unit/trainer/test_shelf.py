"""What an operator sees of runs and checkpoints, and the commands that pin them. No broker runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from fleet_of_tests import make_settings, write_tokenizer
from test_saving import move, new_run
from typer.testing import CliRunner

from headrace.checkpoints import lock, name_of, step_of
from headrace.cli.main import app
from headrace.contract.errors import SettingsError
from headrace.contract.settings import Settings
from headrace.runs import look_at_disk, shelf
from trainer.sample import newest


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A run with checkpoints of steps 0 to 30, of which 0 stands for a stretch and 20 and 30 are the newest."""
    write_tokenizer(tmp_path / "tokenizer.json")
    settings = make_settings(tmp_path, keep_checkpoints=2, keep_every_steps=100)
    saver, state = new_run(settings)
    for _ in range(3):
        move(state)
        saver.save(state)
    return settings


def said(settings: Settings, *command: str) -> str:
    """What a command prints that succeeds."""
    result = CliRunner().invoke(app, [*command, *assignments(settings)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def assignments(settings: Settings) -> list[str]:
    trainer = settings.trainer
    values = {
        "local.data_dir": settings.data_dir,
        "kafka.brokers": "127.0.0.1:1",
        "trainer.keep_checkpoints": trainer.keep_checkpoints,
        "trainer.keep_every_steps": trainer.keep_every_steps,
    }
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def listed(settings: Settings, *more: str) -> dict[int, dict[str, Any]]:
    return {row["step"]: row for row in json.loads(said(settings, "checkpoints", "list", "--json", *more))}


def test_the_list_says_why_each_is_kept(settings: Settings) -> None:
    rows = listed(settings)
    assert {step: row["kept"] for step, row in rows.items()} == {0: ["every"], 20: ["last"], 30: ["last"]}
    assert rows[30]["parent"] == name_of(20)
    assert rows[30]["bytes"] > 3 * 4 * 10_000
    assert "3 with weights, 1 pruned" in said(settings, "checkpoints", "list")


def test_pins_are_set_seen_and_taken_away(settings: Settings) -> None:
    assert said(settings, "checkpoints", "pin", "20", "--note", "reference") == "checkpoint 20 of run main is pinned"
    assert (listed(settings)[20]["kept"], listed(settings)[20]["note"]) == (["last", "pinned"], "reference")
    said(settings, "checkpoints", "unpin", "20")
    assert not listed(settings)[20]["pinned"]
    with pytest.raises(SettingsError, match="no checkpoint of step 10 with weights: there are 0, 20, 30"):
        said(settings, "checkpoints", "pin", "10")
    with pytest.raises(SettingsError, match="there is no run in"):
        said(settings, "checkpoints", "pin", "0", "--set", "trainer.run=other")


def test_torn_ones_are_marked(settings: Settings) -> None:
    run = settings.checkpoint_dir / "main"
    weights = run / name_of(20) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    (run / name_of(30) / "optimizer.safetensors").unlink()
    (run / name_of(40)).mkdir()
    rows = listed(settings)
    assert {step: row["flaw"] for step, row in rows.items()} == {
        0: "",
        20: "",
        30: "torn: optimizer.safetensors is not there",
        40: "torn: manifest.json is not there",
    }
    assert "differs from its size or sha256" in listed(settings, "--verify")[20]["flaw"]
    assert "torn: manifest.json is not there" in said(settings, "checkpoints", "list")
    assert lock(run) is not None
    assert [one.flaw for one in shelf(settings)][-1] == "being written", "somebody trains the run now"


def test_runs_are_listed_though_no_broker_answers(settings: Settings, tmp_path: Path) -> None:
    new_run(make_settings(tmp_path, run="other", learning_rate=0.5))
    rows = {row["run"]: row for row in json.loads(said(settings, "runs", "list", "--json"))}
    main, other = rows["main"], rows["other"]
    assert (main["main"], main["live"], main["step"], main["saved_step"], main["attempts"]) == (True, False, 30, 30, 2)
    assert (main["checkpoints"], main["pruned"], other["checkpoints"], other["pruned"]) == (3, 1, 1, 0)
    assert (other["main"], other["saved_step"], other["settings"]["learning_rate"]) == (False, 0, 0.5)
    shown = said(settings, "runs", "list")
    assert "main: the main run" in shown
    assert "trainer.learning_rate=0.5" in shown


def test_an_empty_directory_says_so(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    assert said(settings, "checkpoints", "list").startswith("no checkpoint in")
    assert said(settings, "runs", "list").startswith("no run in")
    assert look_at_disk(settings) == {}


def test_the_newest_is_sampled(settings: Settings) -> None:
    assert step_of(newest(settings)) == 30
