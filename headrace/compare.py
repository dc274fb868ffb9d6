"""Runs on one plan, side by side: the losses of the steps that all of them have applied, and whether that is fair.

It is fair when all of them fed the same: `fed` at a step is a hash over every block that a run has fed up to there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.contract.errors import ContractError, SettingsError
from headrace.contract.topics import STEPS
from headrace.contract.training import StepReport, decode_report
from headrace.kafka import Cluster, coordinate

Floats = NDArray[np.float64]


class Applied(NamedTuple):
    """What a run reported of a step. `seconds`: all of its parts but the wait for it."""

    fed: str
    loss: float
    tokens: int
    tokens_total: int
    seconds: float


class Difference(NamedTuple):
    """Nats a token that one run lies above another, and the standard error of that."""

    mean: float
    error: float


@dataclass(frozen=True)
class Comparison:
    """The steps that all `runs` have applied, in order.

    steps, tokens, tokens_total   i64 [step]: its number, its tokens, all tokens up to its end
    losses, seconds               f64 [run, step]: nats a token, seconds without the wait for the step
    """

    runs: tuple[str, ...]
    steps: NDArray[np.int64]
    tokens: NDArray[np.int64]
    tokens_total: NDArray[np.int64]
    losses: Floats
    seconds: Floats

    def loss(self, run: int, last: int) -> float:
        """Mean loss of a token over the last so many steps."""
        return float(np.average(self.losses[run, -last:], weights=self.tokens[-last:]))

    def difference(self, run: int, last: int) -> Difference:
        """How far a run lies above the first one over the last so many steps, paired by step, weighted by tokens.

        The error takes steps as independent of each other; it is NaN for a single step.
        """
        apart, weights = (self.losses[run] - self.losses[0])[-last:], self.tokens[-last:].astype(np.float64)
        mean = float(np.average(apart, weights=weights))
        if len(apart) < 2:
            return Difference(mean, float("nan"))
        squares = float((weights**2 * (apart - mean) ** 2).sum()) * len(apart) / (len(apart) - 1)
        return Difference(mean, squares**0.5 / float(weights.sum()))

    def stretches(self, most: int) -> list[range]:
        """At most so many stretches of equally many steps (the last may be shorter), as indices into `steps`."""
        size = -(-len(self.steps) // most)
        return [range(begin, min(begin + size, len(self.steps))) for begin in range(0, len(self.steps), size)]

    def over(self, stretches: Sequence[range]) -> Floats:
        """f64 [run, stretch]: mean loss of a token in each stretch."""
        means = [
            np.average(self.losses[:, part.start : part.stop], axis=1, weights=self.tokens[part.start : part.stop])
            for part in stretches
        ]
        return np.array(means).T


def read_applied(cluster: Cluster, runs: Sequence[str]) -> dict[str, dict[int, Applied]]:
    """The newest report of each step of each run that `train.steps` still holds.

    Raises SettingsError for a run without one, naming those that have some.
    """
    found: dict[str, dict[int, Applied]] = {}
    for message in cluster.read_all(STEPS):
        report = decode_report(message.value(), coordinate(message))
        if isinstance(report, StepReport):
            seconds = sum(spent for part, spent in report.seconds.items() if part != "wait")
            applied = Applied(report.fed, report.loss, report.tokens, report.tokens_total, seconds)
            found.setdefault(report.run, {})[report.step] = applied
    for run in runs:
        if run not in found:
            there = ", ".join(sorted(found)) or "none"
            raise SettingsError(f"run {run} has reported no step: there are reports of {there}")
    return {run: found[run] for run in runs}


def join(applied: Mapping[str, Mapping[int, Applied]]) -> Comparison:
    """The steps that all runs have in common.

    Raises SettingsError where there is none, ContractError naming the first step at which two runs had not fed the
    same.
    """
    runs = tuple(applied)
    steps = sorted(set.intersection(*(set(of_run) for of_run in applied.values())))
    if not steps:
        spans = "; ".join(f"{run} {min(of_run):,} to {max(of_run):,}" for run, of_run in applied.items())
        raise SettingsError(f"these runs have no step in common: {spans}")
    for step in steps:
        for run in runs[1:]:
            _check_fair(step, runs[0], applied[runs[0]][step], run, applied[run][step])
    first = [applied[runs[0]][step] for step in steps]
    return Comparison(
        runs=runs,
        steps=np.array(steps),
        tokens=np.array([one.tokens for one in first]),
        tokens_total=np.array([one.tokens_total for one in first]),
        losses=np.array([[applied[run][step].loss for step in steps] for run in runs]),
        seconds=np.array([[applied[run][step].seconds for step in steps] for run in runs]),
    )


def last_part(steps: int, wanted: int | None) -> int:
    """How many of so many steps the means are taken over: those that are wanted, else a tenth, and ten at least."""
    return min(steps, wanted or max(10, steps // 10))


def _check_fair(step: int, one: str, here: Applied, other: str, there: Applied) -> None:
    if here.fed != there.fed or here.tokens_total != there.tokens_total:
        raise ContractError(
            f"up to step {step} run {one} was fed {here.tokens_total:,} tokens, fed {here.fed}; run {other}"
            f" {there.tokens_total:,} tokens, fed {there.fed}: not the same blocks, so their losses cannot be compared."
            f" `headrace verify --run {one}` and `--run {other}` name the one that is wrong"
        )
