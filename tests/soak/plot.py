"""Draw samples: `python tests/soak/plot.py SAMPLES.csv PICTURE.png`: memory, rate of each topic, and lag over time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sampler import Sample, read


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Three panels that share their time axis."""
    figure = Figure(figsize=(9, 9), layout="constrained")
    memory, rate, lag = figure.subplots(3, 1, sharex=True)
    lines(memory, samples, ("memory.", "heap."))
    memory.set_ylabel("MB resident, or heap in use")
    rates(rate, samples)
    rate.set_ylabel("records a second")
    lines(lag, samples, ("lag.",))
    lag.set_ylabel("lag in records, or steps")
    lag.set_yscale("symlog")
    lag.set_xlabel("seconds")
    for panel in (memory, rate, lag):
        panel.grid(alpha=0.3)
        panel.set_ylim(bottom=0)
        panel.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=54)


def lines(panel: Axes, samples: Sequence[Sample], prefixes: tuple[str, ...]) -> None:
    """One line for each column of these prefixes."""
    for name in (name for name in samples[-1] if name.startswith(prefixes)):
        label = name.removeprefix("memory.").removeprefix("lag.")
        there = [sample for sample in samples if name in sample]
        panel.plot([one["seconds"] for one in there], [one[name] for one in there], linewidth=1, label=label)


def rates(panel: Axes, samples: Sequence[Sample]) -> None:
    """The growth of each topic of documents and blocks, over about 20 s each."""
    step = sum(sample["seconds"] < samples[0]["seconds"] + 20 for sample in samples)
    for name in ("end.text.raw", "end.text.clean", "end.tokens.blocks"):
        pairs = list(zip(samples, samples[step:], strict=False))
        seconds = [(before["seconds"] + after["seconds"]) / 2 for before, after in pairs]
        grown = [(b[name] - a[name]) / (b["seconds"] - a["seconds"]) for a, b in pairs]
        panel.plot(seconds, grown, linewidth=1, label=name.removeprefix("end."))


if __name__ == "__main__":
    draw(read(Path(sys.argv[1])), Path(sys.argv[2]))
