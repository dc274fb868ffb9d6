"""`headrace runs compare`: which run learns better from the same text."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer
from rich.markup import escape
from rich.table import Table

from headrace.cli.options import out, say, with_settings
from headrace.cli.picture import draw_comparison
from headrace.cli.screen import sparkline
from headrace.compare import Comparison, join, last_part, read_applied
from headrace.contract.errors import SettingsError
from headrace.contract.settings import Settings

PICTURES = (".png", ".svg", ".pdf")
ROWS = 20
"""Lines of the table, at most."""


@with_settings
def compare(
    settings: Settings,
    runs: Annotated[list[str], typer.Argument(help="Two or more; all are compared with the first.")],
    last: Annotated[
        int | None,
        typer.Option("--last", metavar="STEPS", min=1, help="Means over so many last steps; else a tenth of all."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw the losses into this file: .png, .svg or .pdf.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print every step as CSV instead of a table.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead of a table.")] = False,
) -> None:
    """Compare the losses of runs step by step, on the steps that all have applied, once all fed the same there.

    That is fair by proof: at each step the runs must report the same hash over all blocks that they were fed; else it
    ends with exit code 4 and names the step. Differences are paired by step and weighted by tokens; their standard
    error takes steps as independent.
    """
    from headrace.beside import kept_settings
    from headrace.kafka import Cluster

    if len(set(runs)) != len(runs) or len(runs) < 2:
        raise SettingsError(f"name two runs or more, each once, not {' '.join(runs)}: `headrace runs list` shows them")
    if picture and picture.suffix not in PICTURES:
        raise SettingsError(f"--picture {picture}: name a file that ends in {', '.join(PICTURES)}")
    found = join(read_applied(Cluster(settings), runs))
    part = last_part(len(found.steps), last)
    kept = {run: kept_settings(settings, run) for run in runs}
    if picture:
        draw_comparison(picture, found, part)
    if as_csv:
        write_csv(found)
    elif json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        typer.echo(orjson.dumps(as_json(found, part, kept), option=options).decode())
    else:
        show(found, part, kept)
        if picture:
            say(f"picture  {picture}")


def show(found: Comparison, last: int, kept: dict[str, dict[str, Any]]) -> None:
    """Print losses by stretches of steps, the runs' means over the last steps, and a line of bars a run."""
    stretches = found.stretches(ROWS)
    means = found.over(stretches)
    table = Table("step", box=None, header_style="bold", pad_edge=False)
    for run in (*found.runs, *(f"{run} - {found.runs[0]}" for run in found.runs[1:])):
        table.add_column(escape(run), justify="right")
    for part, losses in zip(stretches, means.T, strict=True):
        first, end = found.steps[part.start], found.steps[part.stop - 1]
        step = f"{first:,}" if first == end else f"{first:,} to {end:,}"
        table.add_row(step, *(f"{loss:.4f}" for loss in losses), *(f"{loss - losses[0]:+.4f}" for loss in losses[1:]))
    out.print(table)
    bars = found.over(found.stretches(max(20, min(60, out.width - 40))))
    wide, lowest, highest = max(map(len, found.runs)), float(np.nanmin(bars)), float(np.nanmax(bars))
    for number, run in enumerate(found.runs):
        line = sparkline(bars[number].tolist(), between=(lowest, highest))
        out.print(
            f"{run:{wide}}  {line}  {_of_run(found, number, last)}", highlight=False, soft_wrap=True, markup=False
        )
    for key in differing(kept):
        said = ", ".join(f"{run} {of_run.get(key, 'unknown')}" for run, of_run in kept.items())
        say(f"trainer.{key}: {escape(said)}")
    say(
        f"all fed the same, {found.tokens.sum():,} tokens in {len(found.steps):,} common steps; losses in nats a token,"
        f" means over the last {last}"
    )


def _of_run(found: Comparison, number: int, last: int) -> str:
    said = f"{found.loss(number, last):.4f}"
    if number:
        said += " ({:+.4f} ± {:.4f})".format(*found.difference(number, last))
    return f"{said}, {found.seconds[number, -last:].mean():.3f} s a step"


def differing(kept: dict[str, dict[str, Any]]) -> list[str]:
    """Which settings are not the same for all runs, as far as their manifests are here."""
    known = [of_run for of_run in kept.values() if of_run]
    keys = sorted({key for of_run in known for key in of_run})
    return [key for key in keys if any(of_run.get(key) != known[0].get(key) for of_run in known)]


def write_csv(found: Comparison) -> None:
    """A line a step: step, tokens so far, the loss of each run."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["step", "tokens", *found.runs])
    for i, step in enumerate(found.steps.tolist()):
        writer.writerow([step, int(found.tokens_total[i]), *found.losses[:, i].tolist()])


def as_json(found: Comparison, last: int, kept: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """All numbers. `difference` is to the first run, over the `last` steps, in nats a token."""
    apart = [found.difference(number, last) if number else None for number in range(len(found.runs))]
    return {
        "last": last,
        "runs": [
            {
                "run": run,
                "loss": found.loss(number, last),
                "difference": difference.mean if (difference := apart[number]) else None,
                "standard_error": difference.error if difference else None,
                "seconds_a_step": float(found.seconds[number, -last:].mean()),
                "settings": kept[run],
            }
            for number, run in enumerate(found.runs)
        ],
        "steps": found.steps,
        "tokens": found.tokens,
        "tokens_total": found.tokens_total,
        "losses": dict(zip(found.runs, found.losses, strict=True)),
    }
