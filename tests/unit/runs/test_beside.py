"""With what settings a run trains beside the main one, and how it is given up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.beside import kept_settings, origin_of, settings_beside
from headrace.checkpoints import end_run, finished, is_ended, pruned, take_up
from headrace.cli.main import app
from headrace.contract.errors import SettingsError
from headrace.contract.settings import Settings, load
from headrace.local import trainers
from headrace.runs import look_at_disk
from tests.unit.audit.pieces import manifest_of


@pytest.fixture
def base(tmp_path: Path) -> Settings:
    """The stack's settings."""
    values = [f"local.data_dir={tmp_path}", "trainer.learning_rate=0.1", "trainer.ranks=2", "tokenize.block_tokens=64"]
    return load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=values).settings


def begun(base: Settings, run: str, step: int, **settings: Any) -> Path:
    """A checkpoint of a run that keeps these settings."""
    folder = base.checkpoint_dir / run / f"step-{step:010d}"
    folder.mkdir(parents=True)
    (folder.parent / "history").mkdir(exist_ok=True)
    manifest = manifest_of("a", step + 1, step, step, b"", None).model_copy(update={"run": run, "settings": settings})
    (folder / "manifest.json").write_bytes(manifest.encode())
    return folder.parent


def test_a_new_run_has_the_settings_of_the_stack_but_for_what_it_is_told(base: Settings) -> None:
    own = settings_beside(base, "slow", ["trainer.learning_rate=0.01", "trainer.ranks=1"])
    assert (own.trainer.run, own.trainer.learning_rate, own.trainer.ranks) == ("slow", 0.01, 1)
    assert own.tokenize == base.tokenize
    assert own.checkpoint_dir == base.checkpoint_dir
    assert settings_beside(base, "slow", []).trainer.learning_rate == 0.1


def test_a_settings_file_that_lies_about_says_nothing_to_it(
    base: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("headrace.toml").write_text("[trainer]\nseed = 5\n[planner]\nstep_blocks = 3\n")
    own = settings_beside(base, "slow", [])
    assert (own.trainer.seed, own.planner) == (base.trainer.seed, base.planner)


def test_a_run_goes_on_with_what_it_was_begun_with(base: Settings) -> None:
    begun(base, "slow", 0, learning_rate=0.01, model="tiny", nominal_tokens=512)
    begun(base, "slow", 10, learning_rate=0.01, model="tiny", nominal_tokens=512)
    own = settings_beside(base, "slow", ["trainer.ranks=3", "trainer.learning_rate=1e-2"])
    assert (own.trainer.learning_rate, own.trainer.model, own.nominal_tokens) == (0.01, "tiny", 512)
    with pytest.raises(SettingsError, match=r"trainer\.learning_rate=0\.02: run slow was begun with 0\.01"):
        settings_beside(base, "slow", ["trainer.learning_rate=0.02"])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("tokenize.block_tokens=32", r"tokenize\.block_tokens=32: it is 64 for all runs on this plan"),
        ("trainer.run=other", r"it is 'main' for all runs .* name is the argument"),
        ("trainer.checkpoint_dir=/elsewhere", "for all runs on this plan"),
        ("trainer.learning_rat=1", r"did you mean trainer\.learning_rate"),
        ("trainer.seed=x", r"trainer\.seed = 'x'"),
    ],
)
def test_what_runs_on_one_plan_share_no_run_may_change(base: Settings, said: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        settings_beside(base, "slow", [said])


def test_what_names_the_stack_may_be_said_again(base: Settings) -> None:
    settings_beside(base, "slow", [f"local.data_dir={base.data_dir}", "tokenize.block_tokens=64"])


def test_a_run_is_told_once_where_it_ends() -> None:
    with pytest.raises(SettingsError, match="--until-end and --until 3 both say where it ends"):
        CliRunner().invoke(app, ["train", "slow", "--until-end", "--until", "3"], catch_exceptions=False)


def test_a_run_may_begin_from_a_checkpoint_of_another_once(base: Settings) -> None:
    begun(base, "main", 20, model="small")
    own = settings_beside(base, "warm", ["trainer.begin_from=main:20"])
    assert origin_of(own).manifest.step == 20
    with pytest.raises(SettingsError, match=r"run main has no checkpoint of step 30 .*: there are 20"):
        origin_of(settings_beside(base, "warm", ["trainer.begin_from=main:30"]))
    with pytest.raises(SettingsError, match=r"trainer\.model is 'tiny', checkpoint 20 of run main is of 'small'"):
        origin_of(settings_beside(base, "warm", ["trainer.begin_from=main:20", "trainer.model=tiny"]))
    with pytest.raises(SettingsError, match=r"trainer\.begin_from = 'main'"):
        settings_beside(base, "warm", ["trainer.begin_from=main"])
    folder = begun(base, "warm", 20, model="small") / "step-0000000020/manifest.json"
    assert b'"parent":null' in folder.read_bytes()
    folder.write_bytes(folder.read_bytes().replace(b'"parent":null', b'"parent":"main/step-0000000020"'))
    settings_beside(base, "warm", ["trainer.begin_from=main:20"])
    with pytest.raises(SettingsError, match="run warm began from main/step-0000000020, not from main/step-0000000010"):
        settings_beside(base, "warm", ["trainer.begin_from=main:10"])


def test_an_ended_run_keeps_its_manifests_whatever_goes(base: Settings) -> None:
    run = begun(base, "slow", 0, learning_rate=0.01)
    begun(base, "slow", 10, learning_rate=0.01)
    (run / "step-0000000020").mkdir()
    end_run(run, delete=False)
    assert is_ended(run)
    assert look_at_disk(base)["slow"].ended
    assert len(list(finished(run))) == 2
    take_up(run)
    assert not is_ended(run)
    end_run(run, delete=True)
    assert list(finished(run)) == []
    assert [manifest.step for manifest in pruned(run)] == [0, 10]
    assert sorted(path.name for path in run.iterdir()) == ["ended", "history"]
    assert kept_settings(base, "slow") == {"learning_rate": 0.01}
    with pytest.raises(SettingsError, match="there is no run"):
        end_run(base.checkpoint_dir / "never", delete=True)


def test_what_the_stack_trains_beside_lasts_and_adds_up(base: Settings) -> None:
    trainers.keep(base.data_dir, "slow", ["trainer.learning_rate=0.01", "trainer.ranks=1"])
    trainers.keep(base.data_dir, "slow", ["trainer.ranks=3"])
    assert trainers.kept(base.data_dir) == {"slow": ["trainer.learning_rate=0.01", "trainer.ranks=3"]}
    own = trainers.settings_of(base, "slow")
    assert (own.trainer.run, own.trainer.learning_rate, own.trainer.ranks) == ("slow", 0.01, 3)
    assert own.local.ports.trainer_metrics not in (0, base.local.ports.trainer_metrics)
    trainers.forget(base.data_dir, "slow")
    trainers.forget(base.data_dir, "slow")
    assert trainers.kept(base.data_dir) == {}
