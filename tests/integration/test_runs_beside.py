"""Several runs on one plan, as an operator begins, compares and promotes them."""

from __future__ import annotations

import pytest
from conftest import with_values
from in_process import headrace
from test_trainer_stream import Log, fleet, log, newest

from headrace.beside import manifests_of

__all__ = ["log"]


@pytest.mark.timeout(180)
def test_other_runs_train_on_the_steps_of_the_first(log: Log) -> None:
    log.write_blocks(60, seed=8)
    log.write_plan(14)
    with fleet(log, "main", 2) as trainer:
        trainer.wait_for_step(13)
        code, said, told = headrace(log.settings, "train", "main", "--until-end")
        assert code == 3
        assert "run main is being trained now" in told
        assert trainer.end() == 0
    code, said, told = headrace(log.settings, "train", "reference", "--ranks", "1", "--until-end")
    assert code == 0, told
    assert "run reference is saved up to step 14" in said
    reference = newest(with_values(log.settings, "trainer.run=reference"))
    assert (reference.step, reference.weights) == (14, newest(trainer.settings).weights)
    code, _, told = headrace(log.settings, "train", "reference", "--until-end", "--set", "trainer.learning_rate=1")
    assert code == 2
    assert "trainer.learning_rate=1.0: run reference was begun with 0.004" in told

    code, _, told = headrace(log.settings, "train", "warm", "--ranks", "1", "--from", "main:10", "--until-end")
    assert code == 0, told
    warm = newest(with_values(log.settings, "trainer.run=warm"))
    assert (warm.step, warm.weights, warm.fed) == (14, reference.weights, reference.fed)
    first, *_ = manifests_of(log.settings, "warm")
    assert (first.step, first.parent) == (10, "main/step-0000000010")
    _, _, told = headrace(log.settings, "verify", "--run", "wram")
    assert "run wram has saved nothing and reported no step" in told
    for command in (("checkpoints", "save", "--run", "wram"), ("runs", "stop", "wram")):
        code, _, told = headrace(log.settings, *command)
        assert (code, "there is no run wram: there are main, reference, warm" in told) == (2, True), told
    code, _, told = headrace(log.settings, "runs", "end", "..")
    assert (code, "there is no run .." in told) == (2, True), told
    assert not (log.settings.data_dir / "ended").exists()
    code, said, _ = headrace(log.settings, "runs", "compare", "main", "warm", "--csv")
    assert (code, [line.split(",")[0] for line in said.splitlines()]) == (0, ["step", "10", "11", "12", "13"])
