"""A run that begins with a checkpoint of another one goes on from it bit by bit, and says where it came from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fleet_of_tests import SOURCE, make_settings, write_tokenizer
from test_saving import CPU, move, new_run

from headrace.checkpoints import finished
from headrace.contract.errors import ContractError, RecordError, SettingsError
from headrace.contract.settings import Settings
from trainer.checkpoint import Checkpoints
from trainer.start import Source, begin


@pytest.fixture
def main(tmp_path: Path) -> tuple[Settings, str]:
    """A run with checkpoints of steps 0, 10 and 20, and the weights of the last."""
    write_tokenizer(tmp_path / "tokenizer.json")
    settings = make_settings(tmp_path, keep_checkpoints=9)
    saver, state = new_run(settings)
    for _ in range(2):
        move(state)
        saver.save(state)
    return settings, state.weights_sha256()


def beside(settings: Settings, **values: object) -> Settings:
    return settings.model_copy(update={"trainer": settings.trainer.model_copy(update={"run": "warm", **values})})


def test_it_goes_on_as_the_other_did(main: tuple[Settings, str]) -> None:
    settings, weights = main
    saver, state = new_run(beside(settings, begin_from="main:10"))
    assert saver.last is not None
    assert (saver.last.manifest.step, saver.last.manifest.parent) == (10, "main/step-0000000010")
    source = list(finished(settings.checkpoint_dir / "main"))[1].manifest
    assert (saver.last.manifest.weights, saver.last.manifest.fed) == (source.weights, source.fed)
    assert (state.step, state.seq) == (source.step, source.seq)
    move(state)
    assert state.weights_sha256() == weights, "the optimizer's state came with the weights"
    saver.save(state)
    assert saver.last.manifest.parent == "step-0000000010"
    again, _ = new_run(beside(settings, begin_from="main:10"))
    assert again.last is not None
    assert again.last.manifest.step == 20, "it begins once"


def test_what_it_cannot_begin_from_is_refused(main: tuple[Settings, str]) -> None:
    settings, _ = main
    with pytest.raises(SettingsError, match=r"no checkpoint of step 15 .*: there are 0, 10, 20"):
        new_run(beside(settings, begin_from="main:15"))
    warm = beside(settings, begin_from="main:10")
    with pytest.raises(ContractError, match="checkpoint main/step-0000000010 was trained with cluster"):
        begin(warm, Checkpoints.of(warm), Source("elsewhere", SOURCE.topics), CPU, lambda: 1.0)
    file = settings.checkpoint_dir / "main/step-0000000010/model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(RecordError, match="differs from its size or sha256"):
        begin(warm, Checkpoints.of(warm), SOURCE, torch.device("cpu"), lambda: 1.0)
    assert list(finished(settings.checkpoint_dir / "warm")) == []
