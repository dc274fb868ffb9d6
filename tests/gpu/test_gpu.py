"""What is true on the CPU must be true on a GPU: `make test-gpu`, on a machine with at least one CUDA device.

One rank goes over NCCL; several ranks on one device over gloo, which sends from the memory of the CPU.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from fleet_of_tests import (
    Outcome,
    die_while_writing,
    kept_steps,
    make_folder,
    make_settings,
    my_work,
    on_ranks,
    open_run,
    train_until,
)

from headrace.checkpoints import finished
from headrace.contract.settings import Settings
from trainer.group import Group
from trainer.loop import train

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch sees none"),
    pytest.mark.timeout(600),
]
STEPS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("runs"), STEPS)


def trained(folder: Path, run: str, ranks: int, device: str, stop: int = STEPS, **trainer: Any) -> Outcome:
    """What every rank has after a run of the plan."""
    results = on_ranks(ranks, train_until, make_settings(folder, run=run, **trainer), stop, device=device)
    for result in results:
        assert isinstance(result, Outcome), result
    assert len({result.weights for result in results}) == 1
    first: Outcome = results[0]
    return first


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_one_rank_over_nccl_gives_the_same_bits_twice(folder: Path, dtype: str) -> None:
    one, again = (trained(folder, f"twice-{dtype}-{number}", 1, "cuda", dtype=dtype) for number in (1, 2))
    assert (one.weights, one.fed, one.losses) == (again.weights, again.fed, again.losses)
    assert sum(one.losses[-5:]) < sum(one.losses[:5]), "it learns"


def where_it_trains(group: Group, settings: Settings) -> tuple[str, str, set[str], set[bool]]:
    run, state = open_run(group, settings)
    train(run, state, my_work(kept_steps(settings)[:2], group, settings.trainer.leaf_blocks))
    copied = state.copy(None)
    assert copied.weights_sha256() == state.weights_sha256()
    moments = [slots["exp_avg"].device.type for slots in state.optimizer.state.values()]
    pinned = {parameter.is_pinned() for parameter in copied.parameters}
    return torch.distributed.get_backend(), str(state.model.device), set(moments), pinned


def test_one_rank_computes_on_the_gpu_and_copies_through_pinned_memory(folder: Path) -> None:
    (found,) = on_ranks(1, where_it_trains, make_settings(folder, run="where"), device="cuda")
    assert found == ("nccl", "cuda:0", {"cuda"}, {True})


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_killed_and_resumed_over_nccl_the_weights_are_those_of_an_uninterrupted_run(folder: Path, dtype: str) -> None:
    whole = trained(folder, f"whole-{dtype}", 1, "cuda", dtype=dtype)
    settings = make_settings(folder, run=f"broken-{dtype}", dtype=dtype, checkpoint_steps=8, require_bitwise=True)
    (gone,) = on_ranks(1, die_while_writing, settings, 15, device="cuda")
    assert isinstance(gone, EOFError)
    there = [checkpoint.manifest.step for checkpoint in finished(settings.checkpoint_dir / settings.trainer.run)]
    assert there[-1] < 16
    resumed = trained(folder, f"broken-{dtype}", 1, "cuda", dtype=dtype, require_bitwise=True)
    assert (resumed.weights, resumed.fed) == (whole.weights, whole.fed)
    assert resumed.losses == whole.losses[there[-1] :]


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_ranks_that_share_a_gpu_over_gloo_give_the_bits_of_one_over_nccl(folder: Path, dtype: str) -> None:
    one = trained(folder, f"alone-{dtype}", 1, "cuda", dtype=dtype)
    for ranks in (2, 3):
        some = trained(folder, f"shared-{dtype}-{ranks}", ranks, "cuda_shared", dtype=dtype)
        assert (some.weights, some.fed, some.losses) == (one.weights, one.fed, one.losses)


def test_a_run_goes_from_one_rank_over_nccl_to_two_over_gloo(folder: Path) -> None:
    whole = trained(folder, "unchanged", 1, "cuda")
    trained(folder, "changed", 1, "cuda", stop=10)
    assert trained(folder, "changed", 2, "cuda_shared").weights == whole.weights


def test_saving_at_every_step_changes_no_weight(folder: Path) -> None:
    never = trained(folder, "never-saved", 1, "cuda", checkpoint_s=0)
    for name, background in (("thread", True), ("loop", False)):
        often = trained(folder, f"saved-{name}", 1, "cuda", checkpoint_steps=1, checkpoint_async=background)
        assert often.weights == never.weights


def test_plain_reduction_over_nccl_is_close(folder: Path) -> None:
    canonical = trained(folder, "canonical", 1, "cuda")
    plain = trained(folder, "plain", 1, "cuda", reduction="plain")
    assert plain.losses == pytest.approx(canonical.losses, abs=1e-3)


def test_a_run_may_go_on_on_another_device_but_not_bit_by_bit(folder: Path) -> None:
    trained(folder, "moved", 1, "cpu", stop=5)
    (refused,) = on_ranks(1, train_until, make_settings(folder, run="moved", require_bitwise=True), 6, device="cuda")
    assert "device: cpu then" in str(refused)
    assert trained(folder, "moved", 1, "cuda").step == STEPS
