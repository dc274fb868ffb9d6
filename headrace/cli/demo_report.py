"""What the demo found: did the model learn more than how frequent words are, in numbers, in words and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console

from headrace.audit.report import Report
from headrace.cli.picture import plot_losses
from headrace.cli.watch import Seen
from headrace.contract.settings import Settings
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
    plot_losses(loss, {"loss of each step": (trained, [report.loss for report in ordered])}, "learning")
    loss.axhline(found.unigram_entropy, color="tab:red", linestyle="--", label="unigram entropy: word frequency alone")
    loss.hlines(found.last_tenth_loss, trained[-1] * 0.9, trained[-1], color="black", label="mean of the last tenth")
    loss.legend()
    seconds = [sample.seconds for sample in samples]
    for name, label in (("published", "published"), ("decided", "accepted or rejected"), ("packed", "in blocks")):
        flow.plot(seconds, [getattr(sample, name) for sample in samples], label=f"documents {label}")
    for name in ("blocks", "steps"):
        flow.plot(seconds, [getattr(sample, name) for sample in samples], linestyle=":", label=name)
    flow.set(xlabel="seconds", ylabel="count", title="flow")
    flow.legend()
    figure.savefig(path, dpi=120)


def result(
    seen: Seen, found: Learned, report: Report, settings: Settings, checkpoint: str, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """All numbers of a demo; what result.json holds."""
    parts = {name: value for name, value in seconds.items() if name != "total"}
    return {
        "published": seen.published,
        "accepted": seen.accepted,
        "rejected": dict(seen.rejected.most_common()),
        "tokens": seen.tokens,
        "blocks": seen.blocks,
        "steps": len(seen.steps),
        "ranks": settings.trainer.ranks,
        "first_loss": found.first_loss,
        "last_tenth_loss": found.last_tenth_loss,
        "unigram_entropy": found.unigram_entropy,
        "margin": found.margin,
        "verify": report.as_json(),
        "checkpoint": checkpoint,
        "brokers": settings.kafka.brokers,
        "tokenizer": str(settings.tokenizer_file),
        "seconds": {**seconds, "stop": round(seconds["total"] - sum(parts.values()), 1)},
    }


def tell(console: Console, folder: Path, said: Mapping[str, Any], written: str) -> None:
    """The result in words, and where everything lies."""
    reasons = ", ".join(f"{reason} {count}" for reason, count in said["rejected"].items())
    margin = said["margin"]
    verdict = (
        f"[green]{margin:.2f} nats below word frequency: it has learned more than that[/]"
        if margin >= GOAL_NATS
        else f"[yellow]a margin of {margin:.2f} nats: under the {GOAL_NATS} that tell learning from counting words[/]"
    )
    lines = [
        f"\n[bold]{said['accepted']:,} of {said['published']:,} documents accepted and trained[/]",
        f"the others rejected: {reasons or 'none'}",
        f"{said['tokens']:,} tokens in {said['blocks']:,} blocks and {said['steps']:,} steps on {said['ranks']} ranks",
        f"loss from {said['first_loss']:.2f} to {said['last_tenth_loss']:.2f} nats a token (mean of the last tenth),"
        f" unigram entropy {said['unigram_entropy']:.2f}",
        verdict,
        f"checkpoint  {said['checkpoint']}",
        f"picture     {folder / 'report.png'}",
        f"numbers     {folder / 'result.json'}",
        "seconds     " + ", ".join(f"{name} {value:.0f}" for name, value in said["seconds"].items()),
        "\n[bold]the model writes[/]",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    console.print(written, markup=False, highlight=False, soft_wrap=True)
