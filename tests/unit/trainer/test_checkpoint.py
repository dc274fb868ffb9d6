"""A checkpoint counts when its manifest is there and holds; the ancestry outlives the weights."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from fleet_of_tests import SOURCE, make_settings, write_tokenizer
from transformers import AutoModelForCausalLM

from headrace.checkpoints import Checkpoint, finished
from headrace.contract.digests import FED_START
from headrace.contract.errors import ContractError, DependencyError, SchemaError, SettingsError
from headrace.contract.settings import Settings
from headrace.contract.training import Manifest
from trainer.checkpoint import Checkpoints, Keep
from trainer.identity import Identity
from trainer.model import new_model
from trainer.optimizer import apply_update
from trainer.saver import Saver
from trainer.start import begin, identify
from trainer.state import State

CPU = torch.device("cpu")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_tokenizer(tmp_path / "tokenizer.json")
    return make_settings(tmp_path, keep_checkpoints=2)


@pytest.fixture
def checkpoints(settings: Settings) -> Checkpoints:
    there = Checkpoints.of(settings)
    there.history.mkdir(parents=True)
    return there


def run_of(settings: Settings, checkpoints: Checkpoints) -> tuple[Saver, State]:
    """A run that has its first checkpoint."""
    begin(settings, checkpoints, SOURCE, CPU, lambda: 1.0)
    first = checkpoints.newest()
    assert first is not None
    state = State.load(first.path, first.manifest, settings.trainer, CPU)
    identity = identify(settings, "attempt", SOURCE, state.model, CPU)
    return Saver(checkpoints, identity, settings.tokenizer_file, lambda: 2.0, last=first), state


def move(state: State, to: int) -> None:
    """Learn something, and stand at step `to`."""
    total = torch.ones(sum(parameter.numel() for parameter in state.parameters))
    apply_update(state.optimizer, state.parameters, total, 1, 0.01, 1.0)
    state.step, state.seq = to, to + 1


def save(saver: Saver, state: State) -> Checkpoint:
    outcome = saver.save(state)
    assert outcome is not None
    return outcome.checkpoint


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.directory.glob("step-*"))


def test_a_saved_state_is_loaded_as_it_was(settings: Settings, checkpoints: Checkpoints) -> None:
    saver, state = run_of(settings, checkpoints)
    move(state, 3)
    saved = save(saver, state)
    assert saver.save(state) is None, "once a step"
    loaded = State.load(saved.path, saved.manifest, settings.trainer, CPU)
    assert loaded.weights_sha256() == state.weights_sha256() == saved.manifest.weights
    assert (loaded.seq, loaded.step, loaded.fed) == (4, 3, FED_START)
    for one in (state, loaded):
        move(one, 4)
    assert loaded.weights_sha256() == state.weights_sha256(), "the optimizer's state came along"


def test_transformers_opens_a_checkpoint(settings: Settings, checkpoints: Checkpoints) -> None:
    saver, state = run_of(settings, checkpoints)
    assert saver.last is not None
    model = AutoModelForCausalLM.from_pretrained(saver.last.path, local_files_only=True)
    for one, other in zip(model.parameters(), state.parameters, strict=True):
        assert torch.equal(one, other)
    assert (saver.last.path / "tokenizer.json").read_bytes() == settings.tokenizer_file.read_bytes()


def test_pruning_keeps_the_newest_and_the_ancestry(settings: Settings, checkpoints: Checkpoints) -> None:
    saver, state = run_of(settings, checkpoints)
    for step in (10, 20, 30, 40):
        move(state, step)
        saver.save(state)
    assert names(checkpoints) == ["step-0000000030", "step-0000000040"]
    kept = {path.stem for path in checkpoints.history.glob("*.json")}
    assert kept == {"step-0000000000", "step-0000000010", "step-0000000020"}
    parents = {
        path.stem: Manifest.model_validate_json(path.read_bytes()).parent for path in checkpoints.history.glob("*.json")
    } | {checkpoint.name: checkpoint.manifest.parent for checkpoint in finished(checkpoints.directory)}
    assert parents == {
        "step-0000000000": None,
        "step-0000000010": "step-0000000000",
        "step-0000000020": "step-0000000010",
        "step-0000000030": "step-0000000020",
        "step-0000000040": "step-0000000030",
    }


def test_what_a_newer_version_wrote_is_not_torn_and_stays(settings: Settings, checkpoints: Checkpoints) -> None:
    saver, state = run_of(settings, checkpoints)
    move(state, 10)
    manifest = save(saver, state).path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"schema":1', b'"schema":2'))
    for read in (checkpoints.newest, lambda: list(finished(checkpoints.directory))):
        with pytest.raises(SchemaError, match="of schema 2, this program reads 1: renew this program first"):
            read()
    with pytest.raises(SchemaError):
        begin(settings, checkpoints, SOURCE, CPU, lambda: 3.0)
    assert names(checkpoints) == ["step-0000000000", "step-0000000010"]


def tear_off_manifest(checkpoint: Checkpoint) -> None:
    (checkpoint.path / "manifest.json").unlink()


def cut_weights(checkpoint: Checkpoint) -> None:
    file = checkpoint.path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(checkpoint: Checkpoint) -> None:
    file = checkpoint.path / "optimizer.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def cut_manifest(checkpoint: Checkpoint) -> None:
    file = checkpoint.path / "manifest.json"
    file.write_bytes(file.read_bytes()[:-10])


TEARS = [tear_off_manifest, cut_weights, flip_a_bit, cut_manifest]


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_checkpoint_is_reported_and_its_parent_used(
    tear: Any, settings: Settings, checkpoints: Checkpoints, caplog: pytest.LogCaptureFixture
) -> None:
    saver, state = run_of(settings, checkpoints)
    for step in (10, 20):
        move(state, step)
        saved = save(saver, state)
    tear(saved)
    with caplog.at_level(logging.WARNING):
        found = checkpoints.newest()
    assert found is not None
    assert found.manifest.step == 10
    assert [record.path for record in caplog.records] == [str(saved.path)]  # type: ignore[attr-defined]

    again = Saver(checkpoints, saver.identity, settings.tokenizer_file, lambda: 3.0, last=found)
    move(state, 15)
    again.save(state)
    assert names(checkpoints) == ["step-0000000010", "step-0000000015"], "what was torn is gone"


@pytest.mark.parametrize("tear", TEARS)
def test_an_attempt_that_passes_a_torn_checkpoint_leaves_nothing_of_it(
    tear: Any, settings: Settings, checkpoints: Checkpoints
) -> None:
    saver, state = run_of(settings, checkpoints)
    for step in (10, 20):
        move(state, step)
        saved = save(saver, state)
    tear(saved)
    begin(settings, checkpoints, SOURCE, CPU, lambda: 2.0)
    again = Saver(checkpoints, saver.identity, settings.tokenizer_file, lambda: 3.0, last=checkpoints.newest())
    for step in (25, 30, 35, 40):
        move(state, step)
        again.save(state)
    history = sorted(path.stem for path in checkpoints.history.iterdir())
    assert "step-0000000020" not in [*names(checkpoints), *history]


def test_one_process_at_a_time_trains_a_run(checkpoints: Checkpoints) -> None:
    checkpoints.lock(0)
    with pytest.raises(DependencyError, match="another process trains the run"):
        Checkpoints(checkpoints.directory, Keep(1)).lock(0)


def test_other_data_or_settings_are_named_on_both_sides(settings: Settings, checkpoints: Checkpoints) -> None:
    saver, _ = run_of(settings, checkpoints)
    assert saver.last is not None
    manifest = saver.last.manifest

    def changed(**values: Any) -> Identity:
        return Identity(**{**vars(saver.identity), **values})

    changed().check_continues(manifest, "it")
    with pytest.raises(ContractError, match="it was trained with cluster cluster, now it is other"):
        changed(cluster="other").check_continues(manifest, "it")
    with pytest.raises(ContractError, match=r"pins topic tokens\.blocks with id id, here it has other"):
        changed(topics={"tokens.blocks": "other"}).check_continues(manifest, "it")
    with pytest.raises(SettingsError, match=r"trainer\.seed is 9, it was trained with 1"):
        changed(settings={**saver.identity.settings, "seed": 9}).check_continues(manifest, "it")
    fingerprint = {**saver.identity.fingerprint, "torch": "9"}
    assert changed(fingerprint=fingerprint).differences(manifest) == [
        f"torch: {manifest.fingerprint['torch']} then, 9 now"
    ]


def test_a_leaking_model_is_refused_before_anything_is_written(
    settings: Settings, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(*args: Any) -> None:
        raise SettingsError("it leaks")

    monkeypatch.setattr("trainer.start.check_no_leak", leaky)
    with pytest.raises(SettingsError, match="leaks"):
        begin(settings, checkpoints, SOURCE, CPU, lambda: 1.0)
    assert names(checkpoints) == []


def test_first_weights_do_not_depend_on_what_was_drawn_before(settings: Settings, checkpoints: Checkpoints) -> None:
    _, state = run_of(settings, checkpoints)
    torch.rand(100)
    assert State.first(new_model("tiny", 256, settings.trainer.seed), settings.trainer).weights_sha256() == (
        state.weights_sha256()
    )
