"""Who needs what of the logs."""

from pathlib import Path

import pytest

from headrace.audit.cut import READ, Cut
from headrace.audit.needs import Need, needs_of_runs, rows, runs_in
from headrace.checkpoints import pin
from headrace.contract.audit import VerifiedCut
from headrace.contract.digests import FED_START
from headrace.contract.topics import BLOCKS, CLEAN, PLAN, RAW, REJECTED
from tests.unit.audit.pieces import manifest_of


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """main with checkpoints 0, 10, … 50, of which 10 is in the history; `new` of step 0; `gone` without weights."""
    steps = {"main": (0, 20, 30, 40, 50), "new": (0,)}
    for run, of_run in steps.items():
        for step in of_run:
            folder = tmp_path / run / f"step-{step:010d}"
            folder.mkdir(parents=True)
            manifest = manifest_of("a", step + 1, step, step, FED_START, None).model_copy(update={"run": run})
            (folder / "manifest.json").write_bytes(manifest.encode())
    for run in ("main", "gone"):
        (tmp_path / run / "history").mkdir(parents=True)
        manifest = manifest_of("a", 11, 10, 10, FED_START, None).model_copy(update={"run": run})
        (tmp_path / run / "history/step-0000000010.json").write_bytes(manifest.encode())
    (tmp_path / "main/step-0000000060").mkdir()
    return tmp_path


def test_every_run_is_found_and_the_asked_one_first(runs: Path) -> None:
    assert runs_in(runs, "new") == ["new", "gone", "main"]
    assert runs_in(runs, "other") == ["other", "gone", "main", "new"]
    assert runs_in(runs / "nowhere", "main") == ["main"]


def test_a_run_needs_what_comes_after_the_oldest_of_its_newest_checkpoints(runs: Path) -> None:
    assert needs_of_runs(runs, ["main"], 3) == [Need(31, "run main, step-0000000030", "main")]
    assert needs_of_runs(runs, ["main"], 1) == [Need(51, "run main, step-0000000050", "main")]
    assert needs_of_runs(runs, ["main"], 9) == [Need(21, "run main, step-0000000020", "main")], "not the untrained one"


def test_a_pinned_checkpoint_is_needed_however_old(runs: Path) -> None:
    pin(runs / "main", 20, "before the change")
    assert needs_of_runs(runs, ["main"], 1) == [Need(21, "run main, step-0000000020, pinned", "main")]
    pin(runs / "main", 0, "the first weights")
    assert needs_of_runs(runs, ["main"], 1)[0].seq == 1


def test_a_run_that_has_nothing_else_needs_everything(runs: Path) -> None:
    assert needs_of_runs(runs, ["new", "gone", "other"], 3) == [
        Need(1, "run new, step-0000000000", "new"),
        Need(0, "run gone, which has no checkpoint yet", "gone"),
        Need(0, "run other, which has no checkpoint yet", "other"),
    ]


def test_what_goes_ends_at_what_the_jobs_have_passed_and_at_rejects_that_are_kept() -> None:
    part = {0: 100, 1: 100}
    first = {name: {0: 0, 1: 30} for name in READ}
    cut = Cut({RAW: {0: 50}, CLEAN: {0: 90, 1: 90}}, first, dict.fromkeys(READ, part))
    past = VerifiedCut(positions={name: {0: 60, 1: 20} for name in READ})
    found = {(row.topic, row.partition): row for row in rows(cut, past, Need(9, "run x"), {0: 40}, {RAW: 10.0})}
    assert (found[RAW, 0].target, found[RAW, 0].by, found[RAW, 0].records, found[RAW, 0].bytes) == (
        50,
        "clean job",
        50,
        500,
    )
    assert (found[CLEAN, 0].target, found[CLEAN, 0].by) == (60, "run x")
    assert (found[REJECTED, 0].target, found[REJECTED, 0].by) == (40, "kept for replay")
    assert (found[BLOCKS, 0].target, found[BLOCKS, 0].by) == (60, "run x")
    assert (found[PLAN, 0].records, found[PLAN, 0].by) == (0, "kept for ever")
    assert [row.records for row in found.values() if row.partition == 1] == [0] * 5, "what is gone already stays gone"


def test_who_needs_what_lies_before_the_cut_keeps_everything() -> None:
    part = {0: 100}
    here = dict.fromkeys(READ, part)
    cut = Cut({RAW: part, CLEAN: part}, {name: {0: 0} for name in READ}, here, VerifiedCut(seq=10))
    past = VerifiedCut(positions=here, seq=20)
    assert sum(row.records for row in rows(cut, past, Need(10, "run x"), {}, {})) == 500
    kept = rows(cut, past, Need(9, "run x"), {}, {})
    assert [row.records for row in kept] == [0] * 6
    assert {row.by for row in kept} == {"run x", "kept for ever"}
