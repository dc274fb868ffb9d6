"""A process that grows is noticed; one that has grown to its size, or is touched bit by bit, is not."""

from __future__ import annotations

from pathlib import Path

from sampler import Sample, grown, read, thirds, write


def samples(memory: list[float]) -> list[Sample]:
    """One every 5 s."""
    return [{"seconds": 5.0 * number, "memory.planner": mb} for number, mb in enumerate(memory)]


def test_a_leak_is_noticed() -> None:
    leaking = samples([100.0 + mb for mb in range(240)])
    assert set(grown(leaking)) == {"memory.planner"}


def test_a_step_up_late_is_noticed() -> None:
    assert grown(samples([162.0] * 160 + [268.0] * 80)) == {"memory.planner": (162.0, 268.0)}


def test_growing_to_ones_size_is_flat() -> None:
    assert grown(samples([100.0 + 5 * min(mb, 80) for mb in range(240)])) == {}
    assert grown(samples([500.0 + mb / 4 for mb in range(240)])) == {}


def test_thirds_are_of_the_time_and_leave_out_what_was_not_there() -> None:
    some = [{"seconds": 0.0}, *samples([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])[1:]]
    assert thirds(some, "memory.planner") == (2.0, 3.5, 5.5)


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    some = [*samples([1.0, 2.5]), {"seconds": 10.0, "lag.clean": 7.0}]
    write(tmp_path / "samples.csv", some)
    assert read(tmp_path / "samples.csv") == some
