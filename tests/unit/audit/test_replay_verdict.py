"""What `verify --replay` makes of weights that are equal, different, or different where nothing was promised."""

from pathlib import Path

import pytest

from headrace.cli.replaying import judge, nearest, parse, settings_like
from headrace.contract.errors import SettingsError
from headrace.contract.settings import Settings
from headrace.contract.training import Manifest, Replayed
from tests.unit.audit.pieces import manifest_of

HERE = {"torch": "2", "threads": "1"}
FED = bytes(16)


def manifest(step: int, fingerprint: dict[str, str] = HERE, reduction: str = "canonical") -> Manifest:
    made = manifest_of("a", step + 1, step, 0, FED, None)
    said = {"weights": "aa", "fingerprint": fingerprint, "settings": {"reduction": reduction}}
    return made.model_copy(update=said)


def came_out(weights: str = "aa", fed: bytes = FED) -> Replayed:
    return Replayed(step=8, fed=fed.hex(), weights=weights, fingerprint=HERE)


@pytest.mark.parametrize(
    ("between", "replayed", "code", "why"),
    [
        ([manifest(8)], came_out(), 0, ""),
        ([manifest(8)], came_out("bb"), 4, ""),
        ([manifest(6), manifest(8, {"torch": "1", "threads": "1"})], came_out("bb"), 1, "torch was 1, here it is 2"),
        ([manifest(6, {"torch": "1", "threads": "1"}), manifest(8)], came_out("bb"), 1, "torch was 1, here it is 2"),
        ([manifest(8, {"torch": "1", "threads": "1"})], came_out(), 0, "torch was 1, here it is 2"),
        ([manifest(8, reduction="plain")], came_out("bb"), 1, "this was one rank"),
        ([manifest(8, {"torch": "1"}, "plain")], came_out("bb", bytes(15) + b"x"), 4, "torch was 1, here it is 2"),
    ],
    ids=["equal", "different", "machine", "machine on the way", "equal on another", "plain", "fed otherwise"],
)
def test_different_weights_are_a_fault_where_equal_ones_were_promised(
    between: list[Manifest], replayed: Replayed, code: int, why: str
) -> None:
    verdict = judge(between[-1], 4, between, replayed)
    assert verdict.code == code
    assert verdict.equal == (replayed.weights == "aa")
    assert why in "; ".join(verdict.reasons)


def test_what_was_asked_for_must_be_two_steps_that_are_there() -> None:
    assert parse("4:12") == (4, 12)
    for span in ("12:4", "4:4", "4", "4:", "a:b", "-1:4"):
        with pytest.raises(SettingsError, match="50:100"):
            parse(span)
    assert nearest(dict.fromkeys(range(0, 500, 50)), 120).endswith("0, 50, 100, 150, 200, 250")
    assert "there is none" in nearest({}, 120)


def test_it_trains_with_the_threads_and_on_the_device_of_then(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    there = manifest(8, {"threads": "3", "device": "cpu"})
    own = settings_like(Settings(), "other", there)
    assert (own.trainer.run, own.trainer.threads, own.trainer.device) == ("other", 3, "cpu")
    assert own.checkpoint_dir == Path(own.trainer.checkpoint_dir)  # the child runs in another directory


def test_it_trains_with_what_the_run_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    there = manifest(8).model_copy(update={"run": "slow", "settings": {"learning_rate": 0.001, "reduction": "plain"}})
    folder = Settings().checkpoint_dir / "slow" / "step-0000000008"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(there.encode())
    trainer = settings_like(Settings(), "slow", there).trainer
    assert (trainer.learning_rate, trainer.reduction) == (0.001, "plain")
