"""Several runs on one plan, as an operator begins, compares and promotes them."""

from __future__ import annotations

import pytest
from conftest import with_values
from in_process import headrace
from test_trainer_stream import Log, fleet, log, newest

__all__ = ["log"]


@pytest.mark.timeout(180)
def test_a_second_run_trains_on_the_steps_of_the_first(log: Log) -> None:
    log.write_blocks(40, seed=8)
    log.write_plan(8)
    with fleet(log, "main", 2) as trainer:
        trainer.wait_for_step(7)
        code, said, told = headrace(log.settings, "train", "main", "--until-end")
        assert code == 3
        assert "run main is being trained now" in told
        assert trainer.end() == 0
    code, said, told = headrace(log.settings, "train", "reference", "--ranks", "1", "--until-end")
    assert code == 0, told
    assert "run reference is saved up to step 8" in said
    reference = newest(with_values(log.settings, "trainer.run=reference"))
    assert (reference.step, reference.weights) == (8, newest(trainer.settings).weights)
    code, _, told = headrace(log.settings, "train", "reference", "--until-end", "--set", "trainer.learning_rate=1")
    assert code == 2
    assert "trainer.learning_rate=1.0: run reference was begun with 0.004" in told
