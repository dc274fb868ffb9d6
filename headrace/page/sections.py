"""The sections of a page: each a question, a chart or a table, and a sentence that says what one sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace.page.axes import Axis, time_axis, value_axis
from headrace.page.chart import COLOURS, Chart, Drawing
from headrace.page.gather import Documents, Facts, Training
from headrace.page.learning import last_tenth_loss, unigram_entropy
from headrace.page.series import Floats, Points, Series
from headrace.page.words import many, moment, number, share, size, span

BARS = 60
"""Bars of a chart over time, at most."""
ROWS = 25
"""Rows of a table, at most."""
REASONS = 5
"""Reasons that have a colour of their own."""
STRAY = 0.005
"""Documents published so far apart from the others that the chart would show little else."""


@dataclass(frozen=True)
class Table:
    """The first `words` columns hold words, the others numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True)
class Section:
    """`table` lies behind a click where `folded` names it."""

    title: str
    says: str
    chart: Chart | None = None
    table: Table | None = None
    folded: str = ""


def sections(facts: Facts) -> list[Section]:
    """All that the facts give, in the order of the questions."""
    training, found = facts.training, [learning(facts), interruptions(facts)]
    found += [ages(training), flow(facts.documents), *mix(facts), pace(facts)]
    return [*found, step_time(training), checkpoints(facts), attempts(training)]


def final_loss(training: Training) -> float:
    """Nats a token, mean over the last tenth of the tokens; NaN where no loss was a number."""
    losses = training.by_tokens
    return last_tenth_loss(losses.weights("loss"), losses.points("loss").mean) if losses.stretches else float("nan")


def learning(facts: Facts) -> Section:
    training = facts.training
    points, now = training.by_tokens.points("loss"), final_loss(training)
    says = f"The loss went from {_first_loss(training):.2f} to {now:.2f} nats a token (mean of the last tenth)."
    entropy = unigram_entropy(facts.frequencies) if facts.entropy_blocks else None
    if entropy is not None:
        side = "below" if now < entropy else "above"
        says += (
            f" That is {abs(entropy - now):.2f} nats {side} the {entropy:.2f} of a model that knows nothing but how"
            f" frequent each token is{': it has learned more than that' if side == 'below' else ''}."
        )
    drawing = _losses(value_axis("tokens trained", 0, points.x[-1] if len(points.x) else 1, True), points, entropy)
    numbers = Table(
        ("tokens trained", "loss", "least", "greatest"),
        [
            (number(x), f"{mean:.3f}", f"{low:.3f}", f"{high:.3f}")
            for x, mean, low, high in zip(*training.by_tokens.coarser(20).points("loss"), strict=True)
        ],
        0,
    )
    return Section("Does it learn?", says, drawing.done(says), numbers, "the losses as numbers")


def interruptions(facts: Facts) -> Section:
    training = facts.training
    assert training.first is not None
    assert training.last is not None
    began, ended = training.by_time.points("tokens").x[[0, -1]]
    starts = list(training.attempts.values())[0 if training.attempts_before else 1 :]
    says = (
        f"{_steps(training)} and {many(training.last.tokens_total, 'token')} in {span((ended - began) / 1000)};"
        f" {many(len(facts.manifests), 'checkpoint')},"
        f" {many(len(training.attempts) + training.attempts_before - 1, 'restart')}."
    )
    drawing = _losses(time_axis(began, ended), training.by_time.points("loss"), None)
    drawing.marks([one.time for one in facts.manifests[-200:]], "a checkpoint", "mark saved")
    drawing.marks([one.began for one in starts], "started again", "mark again")
    return Section("How steadily did it go on?", says, drawing.done(says))


def ages(training: Training) -> Section:
    points = training.by_time.points("age")
    says = (
        f"The oldest text of the median step was {span(training.age(0.5))} old when it was trained, counted from its"
        f" publishing; in 95 % of the steps at most {span(training.age(0.95))}."
    )
    unit, divisor = next(one for one in (("hours", 3600), ("minutes", 60), ("seconds", 1)) if _fits(points, one[1]))
    scaled = Points(points.x, points.mean / divisor, points.low / divisor, points.high / divisor)
    drawing = Drawing(time_axis(points.x[0], points.x[-1]), value_axis(f"{unit} old", 0, scaled.high.max()))
    drawing.line(scaled, "oldest text of a step, mean", 1, "least to greatest")
    return Section("How old is the text when it is trained?", says, drawing.done(says))


def flow(documents: Documents) -> Section:
    total = documents.accepted + documents.rejected
    says = (
        f"Of {many(total, 'document')} {number(documents.accepted)} were accepted"
        f" ({share(documents.accepted, total)}) and {number(documents.rejected)} rejected."
    )
    reasons: Counter[str] = Counter()
    for (_, reason), times in documents.reasons.items():
        reasons[reason] += times
    most = [reason for reason, _ in reasons.most_common(REASONS)]
    if most:
        says += f" Most were rejected as {most[0]} ({share(reasons[most[0]], documents.rejected)} of the rejected)."
    series, stray = documents.by_time.between(STRAY)
    if stray:
        says += f" {many(stray, 'document was', 'documents were')} published far from these times, and not drawn."
    rows = [
        (reason if stage == "clean" else f"{reason} (by {stage})", number(times), share(times, total))
        for (stage, reason), times in documents.reasons.most_common(ROWS)
    ]
    table = Table(("rejected as", "documents", "of all"), rows) if rows else None
    return Section(
        "What came in, and what was rejected?", says, _flow_chart(series.coarser(BARS), reasons, most, says), table
    )


def mix(facts: Facts) -> list[Section]:
    """In which languages, and from which sources."""
    documents, training = facts.documents, facts.training
    total, found = documents.languages.total(), []
    if told := [(name, times) for name, times in documents.languages.most_common() if name]:
        rows = [
            (name or "not told", number(times), share(times, total))
            for name, times in documents.languages.most_common(ROWS)
        ]
        name, times = told[0]
        says = f"Most accepted documents, {share(times, total)}, are in {name}; {many(len(told), 'language')} in all."
        if untold := documents.languages[""]:
            says += f" Of {share(untold, total)} the language was not told."
        found += [Section("Which languages?", says, table=Table(("language", "accepted", "of all"), rows))]
    tokens = sum(count for count, _ in training.sources.values())
    names = sorted({*documents.sources, *training.sources}, key=lambda name: (-_trained(training, name), name))
    rows_of_sources = [
        (
            name or "not told",
            number(documents.sources[name]),
            number(_trained(training, name)),
            share(_trained(training, name), tokens),
            _mean_loss(training, name),
        )
        for name in names[:ROWS]
    ]
    if not names:
        return found
    says = f"{many(len(names), 'source')}; most tokens, {share(_trained(training, names[0]), tokens)}, came from"
    says += f" {names[0] or 'where no source was told'}."
    if not told:
        says += " No language was told for any document."
    head = ("source", "accepted", "tokens trained", "of these", "mean loss")
    return [*found, Section("From which sources?", says, table=Table(head, rows_of_sources))]


def pace(facts: Facts) -> Section:
    made, trained = facts.windows.by_time, facts.training.by_time
    both = [series for series in (made, trained) if series.stretches]
    low = min(series.edges()[0] for series in both)
    high = max(series.edges()[-1] for series in both)
    lines = [(label, _rate(series)) for label, series in (("made", made), ("trained", trained)) if series.stretches]
    top = max(points.mean.max() for _, points in lines)
    drawing = Drawing(time_axis(low, high), value_axis("tokens a second", 0, top))
    for colour, (label, points) in enumerate(lines):
        drawing.line(points, f"tokens {label} a second", colour)
    seconds = max(1.0, (high - low) / 1000)
    assert facts.training.last is not None
    says = (
        f"The jobs made {many(facts.windows.tokens, 'token')} in {many(facts.windows.blocks, 'block')}, and"
        f" {many(facts.training.last.tokens_total, 'token')} were trained:"
        f" {number(round(trained.totals('tokens').sum() / seconds))} a second on the whole."
    )
    if facts.training.again:
        says += " Steps that were trained again after a restart count again here."
    return Section("Does training keep up with the text?", says, drawing.done(says))


def step_time(training: Training) -> Section:
    parts = sorted(training.parts, key=lambda name: -training.parts[name])
    total = sum(training.parts.values())
    busy = total - training.parts.get("wait", 0.0)
    says = f"A step took {span(busy / training.reports)} on the mean"
    if "wait" in training.parts:
        says += f", and {span(training.parts['wait'] / training.reports)} went by waiting for it to be planned"
    says += f". Most of all time, {share(training.parts[parts[0]], total)}, was {parts[0]}." if parts else "."
    series = training.by_time.coarser(BARS)
    counts = np.maximum(series.counts(), 1)
    shown = parts[:COLOURS]
    heights = {name: 1000 * series.totals(f"part {name}") / counts for name in shown}
    edges = series.edges()
    top = sum(heights.values(), np.zeros(len(counts))).max() if heights else 1.0
    drawing = Drawing(time_axis(edges[0], edges[-1]), value_axis("milliseconds a step", 0, top))
    drawing.bars(edges, heights, range(len(heights)))
    rows = [
        (name, f"{1000 * training.parts[name] / training.reports:,.1f}", share(training.parts[name], total))
        for name in parts
    ]
    return Section(
        "Where does the time of a step go?",
        says,
        drawing.done(says),
        Table(("part", "milliseconds a step", "of all time"), rows),
    )


def checkpoints(facts: Facts) -> Section:
    manifests = facts.manifests
    if not manifests:
        return Section("What was saved?", "No checkpoint of the run lies in the checkpoint directory of this machine.")
    last = manifests[-1]
    kept = sum(sum(file.bytes for file in one.files) for one in manifests if one.step in facts.kept)
    says = (
        f"{many(len(manifests), 'checkpoint')}; {number(len(facts.kept))} with weights, {size(kept)}."
        f" The newest is of step {number(last.step)}, written {moment(last.time)}."
    )
    if facts.training.save_errors:
        errors = "; ".join(f"{text} ({many(times, 'report')})" for text, times in facts.training.save_errors.items())
        says += f" Some could not be written: {errors}."
    rows = [
        (
            moment(one.time),
            one.attempt,
            "yes" if one.step in facts.kept else "no",
            number(one.step),
            number(one.tokens),
            size(sum(file.bytes for file in one.files)),
        )
        for one in reversed(manifests[-ROWS:])
    ]
    head = ("written", "attempt", "weights kept", "next step", "tokens", "size")
    return Section("What was saved?", says, table=Table(head, rows, 3), folded=f"the newest {len(rows)}")


def attempts(training: Training) -> Section:
    starts, all_starts = list(training.attempts.values()), len(training.attempts) + training.attempts_before
    says = (
        "The run was started once and never interrupted."
        if all_starts == 1
        else f"The run was started {number(all_starts)} times; {_steps_again(training)} after that from a checkpoint,"
        " and count once in the model."
    )
    says += (
        f" {many(training.skipped, 'update was', 'updates were')} skipped, for a gradient that was no number."
        if training.skipped
        else " No update was skipped."
    )
    rows = [
        (
            one.name,
            moment(one.began),
            span((one.began - before.ended) / 1000) if before else "",
            str(one.ranks),
            f"{number(one.first_step)} to {number(one.last_step)}",
            number(one.again),
        )
        for before, one in zip([None, *starts], starts, strict=False)
    ][-ROWS:]
    head = ("attempt", "first step", "pause before", "ranks", "steps", "again")
    return Section("Was it interrupted, and what then?", says, table=Table(head, rows, 2))


def _losses(x: Axis, points: Points, entropy: float | None) -> Drawing:
    levels = [entropy] if entropy is not None else []
    # The means decide what is shown: a single wild step must not flatten all the others.
    seen = np.array([*points.mean, *levels]) if len(points.mean) else np.array([0.0, 1.0])
    drawing = Drawing(x, value_axis("nats a token", seen.min(), seen.max()))
    drawing.line(points, "loss", 0, "least to greatest")
    if entropy is not None:
        drawing.level(entropy, "word frequency alone (unigram entropy)")
    return drawing


def _flow_chart(series: Series, reasons: Counter[str], most: list[str], says: str) -> Chart | None:
    edges = series.edges()
    if not len(edges):
        return None
    minutes = series.width / 60_000
    heights: dict[str, Floats] = {"accepted": series.totals("accepted")}
    heights |= {reason: series.totals(reason) for reason in most}
    rest = [series.totals(reason) for reason in reasons if reason not in most]
    if rest:
        heights["other reasons"] = sum(rest, np.zeros(len(edges) - 1))
    rates = {name: values / minutes for name, values in heights.items()}
    top = sum(rates.values(), np.zeros(len(edges) - 1)).max()
    drawing = Drawing(time_axis(edges[0], edges[-1]), value_axis("documents published a minute", 0, top))
    drawing.bars(edges, rates, [2, 3, 4, 5, 1, 6, 7][: len(rates)])
    return drawing.done(says)


def _rate(series: Series) -> Points:
    """Tokens a second, in the middle of each stretch."""
    coarse = series.coarser(BARS)
    edges = coarse.edges()
    rate = coarse.totals("tokens") / (coarse.width / 1000)
    return Points((edges[:-1] + edges[1:]) / 2, rate, rate, rate)


def _fits(points: Points, divisor: int) -> bool:
    return bool(points.high.max() >= 3 * divisor) or divisor == 1


def _first_loss(training: Training) -> float:
    assert training.first is not None
    return training.first.loss


def _steps(training: Training) -> str:
    return many(training.reports - training.again, "step")


def _steps_again(training: Training) -> str:
    return many(training.again, "step was trained again", "steps were trained again")


def _trained(training: Training, source: str) -> int:
    return training.sources.get(source, (0, 0.0))[0]


def _mean_loss(training: Training, source: str) -> str:
    tokens, summed = training.sources.get(source, (0, 0.0))
    return f"{summed / tokens:.2f}" if tokens else ""
