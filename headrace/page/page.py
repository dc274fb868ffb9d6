"""The page itself: facts and proof into one HTML file that asks nobody for anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from headrace.audit.report import HEADS, Report
from headrace.page.gather import Facts
from headrace.page.sections import Table, final_loss, sections
from headrace.page.series import MOST
from headrace.page.words import many, moment, number, span


class Verdict(NamedTuple):
    """`state`: good, bad or unknown, a class of the style sheet."""

    state: str
    headline: str
    says: str


class Fact(NamedTuple):
    """One of the few numbers that stand at the top."""

    name: str
    value: str
    about: str = ""


@dataclass(frozen=True)
class Proof:
    """What `verify` found, as a table and in words."""

    table: Table
    says: str
    wrong: Sequence[tuple[str, Sequence[str]]] = ()


def render(facts: Facts, report: Report | None, now_ms: int, written: str = "") -> str:
    """The whole page. `report`: what verify found, None where nobody asked; `written`: what the model writes."""
    environment = Environment(
        loader=PackageLoader("headrace.page", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        run=facts.training.run,
        verdict=verdict(report),
        facts=headline(facts),
        sections=sections(facts),
        proof=proof(report) if report else None,
        written=written,
        made=moment(now_ms),
        most=MOST,
    )


def verdict(report: Report | None) -> Verdict:
    """The first words of the page."""
    if report is None:
        return Verdict("unknown", "not verified", "Nobody asked verify for this page: it shows what was reported.")
    if not report.holds:
        kinds = ", ".join(finding["kind"] for finding in report.wrong()) or "documents that are still on their way"
        return Verdict("bad", report.headline, f"The logs contradict what is promised: {kinds}. See the proof below.")
    trained = report.stages[-1].left if report.stages else 0
    says = f"{many(trained, 'accepted document')} trained exactly once, counted from the logs alone."
    return Verdict("good", report.headline, says)


def headline(facts: Facts) -> list[Fact]:
    """What one wants to know first."""
    training = facts.training
    assert training.first is not None
    assert training.last is not None
    began, ended = training.by_time.points("tokens").x[[0, -1]]
    again = f", {number(training.again)} of them twice" if training.again else ""
    return [
        Fact("loss", f"{training.first.loss:.2f} → {final_loss(training):.2f}", "nats a token, first step to now"),
        Fact("text", f"{span(training.age(0.5))} old", "when it was trained, oldest of the median step"),
        Fact("tokens", number(training.last.tokens_total), f"up to step {number(training.last.step)}{again}"),
        Fact("time", span((ended - began) / 1000), f"{moment(began)} to {moment(ended)}"),
    ]


def proof(report: Report) -> Proof:
    """The table of `headrace verify`."""
    says = f"{report.progress}."
    if report.start.seq:
        says += (
            f" {report.start.counts.published:,} of the documents were verified before {moment(report.start.time)}"
            " and not read again."
        )
    else:
        says += " Read from the first document on."
    if report.settled:
        says += " What is in flight counts as lost."
    wrong = [
        (f"{finding['kind']}, {finding['count']:,}: {finding['meaning']}", finding["examples"])
        for finding in report.wrong()
    ]
    return Proof(Table(HEADS, report.cells()), says, wrong)
