"""What the demo found: did the model learn more than how frequent words are, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from headrace.audit.report import Report
from headrace.cli.options import say
from headrace.cli.watch import Seen
from headrace.contract.settings import Settings
from headrace.contract.training import StepReport
from headrace.page.learning import last_tenth_loss, unigram_entropy

PAGE = "report.html"
GOAL_NATS = 0.3
"""A last tenth this far below the unigram entropy is more than word frequency."""


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
    tokens, losses = zip(*((report.tokens, report.loss) for report in ordered), strict=True)
    return Learned(unigram_entropy(frequencies), losses[0], last_tenth_loss(tokens, losses))


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
        f"numbers     {folder / 'result.json'}",
        "seconds     " + ", ".join(f"{name} {value:.0f}" for name, value in said["seconds"].items()),
        "\n[bold]the model writes[/]",
    ]
    for line in lines:
        say(line, console)
    console.print(written, markup=False, highlight=False, soft_wrap=True)
    say(f"\n[bold]all of it on one page[/]  {folder / PAGE}", console)
