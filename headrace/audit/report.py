"""What `verify` found, as numbers, as a table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace.audit.findings import KINDS, Findings, Stage
from headrace.contract.audit import BEGINNING, VerifiedCut

HEADS = ("stage", "entered", "left", "lost", "duplicated", "in flight")
"""What stands above the columns of `Report.cells`."""


@dataclass
class Report:
    """`trained`: the step that the run comes to next, by its reports; `saved`: the same by its newest checkpoint.

    All counts are from the first document on, though only what comes after `start` was read. `unsealed` names the last
    window of a shard where its seal has not come yet. Settled, whatever is in flight counts as lost, and no seal may be
    missing.
    """

    run: str
    findings: Findings
    stages: list[Stage] = field(default_factory=list)
    unsealed: list[str] = field(default_factory=list)
    planned: int = 0
    trained: int = 0
    saved: int | None = None
    records: int = 0
    seconds: float = 0.0
    settled: bool = False
    start: VerifiedCut = BEGINNING

    def __post_init__(self) -> None:
        past = self.start.counts
        counted = (past.published, past.accepted, past.planned, past.planned)
        for stage, documents in zip(self.stages, counted, strict=False):
            stage.entered += documents
            stage.left += documents

    @property
    def waiting(self) -> int:
        """Documents in flight, whatever they count as."""
        return sum(stage.in_flight for stage in self.stages)

    @property
    def lost(self) -> int:
        return self.findings.documents("lost") + (self.waiting if self.settled else 0)

    @property
    def duplicated(self) -> int:
        return self.findings.documents("duplicated")

    @property
    def in_flight(self) -> int:
        return 0 if self.settled else self.waiting

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings and not (self.settled and not self.drained)

    @property
    def drained(self) -> bool:
        """Whether nothing is on its way any more."""
        return not self.waiting and not self.unsealed

    @property
    def headline(self) -> str:
        """In documents; what is wrong without losing or doubling one stands in the findings alone."""
        return f"lost {self.lost}  duplicated {self.duplicated}  in flight {self.in_flight}"

    def rows(self) -> list[dict[str, Any]]:
        """The table: one row a stage, in documents."""
        return [
            {
                "stage": stage.name,
                "entered": stage.entered,
                "left": stage.left,
                "lost": self.findings.documents("lost", stage.name),
                "duplicated": self.findings.documents("duplicated", stage.name),
                "in_flight": stage.in_flight,
            }
            for stage in self.stages
        ]

    def cells(self) -> list[list[str]]:
        """The table as text."""
        return [[f"{value:,}" if isinstance(value, int) else value for value in row.values()] for row in self.rows()]

    @property
    def progress(self) -> str:
        """How far the run is, in words."""
        saved = "no checkpoint" if self.saved is None else f"saved up to step {self.saved:,}"
        return f"{self.trained:,} of {self.planned:,} planned steps trained, {saved}"

    def wrong(self) -> list[dict[str, Any]]:
        """What is wrong: each kind with its meaning, how often, and the first examples."""
        return [
            {"kind": kind, "meaning": KINDS[kind].meaning, "count": tally.count, "examples": tally.examples}
            for kind, tally in self.findings.tallies.items()
        ]

    def as_json(self) -> dict[str, Any]:
        """All of it; what `headrace verify --json` prints."""
        names = ("run", "holds", "lost", "duplicated", "in_flight", "settled", "planned", "trained", "saved", "records")
        return {
            **{name: getattr(self, name) for name in names},
            "seconds": round(self.seconds, 3),
            "verified_before": self.start.counts.model_dump(exclude={"version"}) if self.start.seq else None,
            "unsealed": self.unsealed,
            "stages": self.rows(),
            "findings": self.wrong(),
        }
