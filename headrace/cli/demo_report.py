"""What the demo found: did the model learn more than how frequent words are, and a picture of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from headrace.cli.watch import Seen
from headrace.contract.training import StepReport

GOAL_NATS = 0.3
"""A last tenth this far below the unigram entropy is more than word frequency."""


@dataclass(frozen=True)
class Sample:
    """The counts at one moment, `seconds` after the first document was sent."""

    seconds: float
    published: int
    decided: int
    packed: int
    blocks: int
    steps: int

    @classmethod
    def of(cls, seen: Seen, seconds: float) -> Sample:
        return cls(seconds, seen.published, seen.decided, seen.packed, seen.blocks, len(seen.steps))


@dataclass(frozen=True)
class Learned:
    """Nats a token. `margin` is how far the last tenth's mean loss lies below the unigram entropy."""

    unigram_entropy: float
    first_loss: float
    last_tenth_loss: float

    @property
    def margin(self) -> float:
        return self.unigram_entropy - self.last_tenth_loss


def learned(frequencies: NDArray[np.int64], steps: Mapping[int, StepReport]) -> Learned:
    """What the losses of a finished run say; `frequencies` counts the tokens that were trained, by id."""
    ordered = [steps[step] for step in sorted(steps)]
    return Learned(unigram_entropy(frequencies), ordered[0].loss, last_tenth_loss(ordered))


def unigram_entropy(frequencies: NDArray[np.int64]) -> float:
    """Entropy in nats of a token drawn by these counts: the loss of the best model that knows no context."""
    shares = frequencies[frequencies > 0] / frequencies.sum()
    return float(-(shares * np.log(shares)).sum())


def last_tenth_loss(steps: Sequence[StepReport]) -> float:
    """Mean loss over the last tenth of the tokens; of a step that lies half in it, half the tokens count."""
    tokens = np.array([report.tokens for report in steps], np.float64)
    begin = tokens.sum() * 0.9
    weights = np.clip(tokens.cumsum() - begin, 0, tokens)
    return float((weights * [report.loss for report in steps]).sum() / weights.sum())


def draw(path: Path, steps: Mapping[int, StepReport], samples: Sequence[Sample], found: Learned) -> None:
    """Write the picture: loss over tokens with the unigram entropy; documents, blocks and steps over time."""
    ordered = [steps[step] for step in sorted(steps)]
    trained = np.cumsum([report.tokens for report in ordered])
    figure = Figure(figsize=(12, 5), layout="constrained")
    loss, flow = figure.subplots(1, 2)
    loss.plot(trained, [report.loss for report in ordered], linewidth=1, label="loss of each step")
    loss.axhline(found.unigram_entropy, color="tab:red", linestyle="--", label="unigram entropy: word frequency alone")
    loss.hlines(found.last_tenth_loss, trained[-1] * 0.9, trained[-1], color="black", label="mean of the last tenth")
    loss.set(xlabel="tokens trained", ylabel="nats a token", title=f"{found.margin:.2f} nats below word frequency")
    loss.legend()
    seconds = [sample.seconds for sample in samples]
    for name, label in (("published", "published"), ("decided", "accepted or rejected"), ("packed", "in blocks")):
        flow.plot(seconds, [getattr(sample, name) for sample in samples], label=f"documents {label}")
    for name in ("blocks", "steps"):
        flow.plot(seconds, [getattr(sample, name) for sample in samples], linestyle=":", label=name)
    flow.set(xlabel="seconds", ylabel="count", title="flow")
    flow.legend()
    figure.savefig(path, dpi=120)
