"""Runs side by side: fair or not at all, and what the numbers mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from headrace.cli.comparing import as_json, differing, show, write_csv
from headrace.cli.main import app
from headrace.cli.picture import draw_comparison
from headrace.compare import Applied, Comparison, join, last_part
from headrace.contract.errors import ContractError, SettingsError

TOKENS = [100, 50, 100, 200]


def run_of(losses: dict[int, float], fed: str = "fed") -> dict[int, Applied]:
    return {
        step: Applied(f"{fed}{step}", loss, TOKENS[step % 4], 100 * (step + 1), 0.5) for step, loss in losses.items()
    }


def two(count: int = 40) -> Comparison:
    return join({"a": run_of(dict.fromkeys(range(count), 5.0)), "b": run_of({k: 4.0 + k % 2 for k in range(count)})})


def test_a_picture_of_another_kind_is_refused_before_anything_is_read() -> None:
    with pytest.raises(SettingsError, match=r"--picture losses\.bmp: name a file that ends in \.png, \.svg, \.pdf"):
        CliRunner().invoke(app, ["runs", "compare", "a", "b", "--picture", "losses.bmp"], catch_exceptions=False)


def test_only_steps_that_all_have_applied_count() -> None:
    found = join({"a": run_of({0: 9, 1: 8, 2: 7}), "b": run_of({1: 6, 2: 5, 3: 4}), "c": run_of({2: 1, 1: 2})})
    assert found.steps.tolist() == [1, 2]
    assert found.losses.tolist() == [[8, 7], [6, 5], [2, 1]]
    assert found.tokens.tolist() == [50, 100]
    with pytest.raises(SettingsError, match=r"no step in common: a 0 to 0; b 1 to 1"):
        join({"a": run_of({0: 9}), "b": run_of({1: 9})})


def test_a_run_that_was_fed_something_else_is_no_match() -> None:
    honest = run_of(dict.fromkeys(range(4), 5.0))
    other = honest | {k: honest[k]._replace(fed=f"other{k}") for k in (2, 3)}
    with pytest.raises(ContractError, match=r"up to step 2 run a was fed .*fed2; run c .*other2: not the same blocks"):
        join({"a": honest, "b": honest, "c": other})
    less = honest | {3: honest[3]._replace(tokens_total=1)}
    with pytest.raises(ContractError, match="up to step 3"):
        join({"a": honest, "b": less})


def test_means_are_of_tokens_and_differences_are_paired() -> None:
    found = two(4)  # steps of 100, 50, 100, 200 tokens; b - a = -1, 0, -1, 0
    assert found.loss(1, 4) == pytest.approx(5 - 200 / 450)
    mean, error = found.difference(1, 4)
    assert mean == pytest.approx(-200 / 450)
    weights, apart = np.array(TOKENS) / 450, np.array([-1, 0, -1, 0]) - mean
    assert error == pytest.approx(np.sqrt((weights**2 * apart**2).sum() * 4 / 3))
    assert found.difference(1, 2).mean == pytest.approx(-100 / 300)
    assert np.isnan(found.difference(1, 1).error)
    assert [last_part(*one) for one in ((5, None), (60, None), (400, None), (400, 7), (3, 7))] == [5, 10, 40, 7, 3]


def test_the_error_shrinks_with_the_root_of_the_steps() -> None:
    dice = np.random.default_rng(1)
    noise = {k: 5 + dice.normal() for k in range(1600)}
    found = join({"a": run_of(dict.fromkeys(range(1600), 5.0)), "b": run_of(noise)})
    assert found.difference(1, 1600).error / found.difference(1, 100).error == pytest.approx(0.25, rel=0.2)


def test_stretches_cover_every_step_once() -> None:
    found = two(45)
    stretches = found.stretches(20)
    assert [i for part in stretches for i in part] == list(range(45))
    assert len(stretches) == 15
    assert found.over([range(4)])[1].tolist() == pytest.approx([5 - 200 / 450])


def test_what_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kept = {"a": {"learning_rate": 0.1, "seed": 1}, "b": {"learning_rate": 0.2, "seed": 1}}
    assert differing(kept) == ["learning_rate"]
    assert differing({"a": {}, "b": kept["b"]}) == [], "what is not known differs from nothing"
    show(two(), 10, kept)
    said = capsys.readouterr().out
    assert "0 to 1" in said
    assert "trainer.learning_rate: a 0.1, b 0.2" in said
    assert "4,500 tokens in 40 common steps" in said
    write_csv(two(2))
    assert capsys.readouterr().out == "step,tokens,a,b\n0,100,5.0,4.0\n1,200,5.0,5.0\n"
    told = as_json(two(), 4, kept)
    assert [one["difference"] for one in told["runs"]] == [None, pytest.approx(-200 / 450)]
    draw_comparison(tmp_path / "losses.png", two(), 10)
    assert (tmp_path / "losses.png").read_bytes()[:4] == b"\x89PNG"
