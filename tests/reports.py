"""A report of a step with something in each field, for tests that care for a few of them."""

from __future__ import annotations

from typing import Any

from headrace.contract.training import StepReport

PLAIN: dict[str, Any] = {
    "run": "main",
    "attempt": "a",
    "seq": 1,
    "step": 0,
    "fed": "",
    "loss": 1.0,
    "tokens": 1,
    "tokens_total": 1,
    "grad_norm": 1.0,
    "learning_rate": 0.1,
    "skipped": False,
    "seconds": {},
    "age_s": 0.0,
    "sources": {},
    "ranks": 2,
    "time": 0,
}


def step_report(**fields: Any) -> StepReport:
    """One with these fields, else plain ones."""
    return StepReport(**PLAIN | fields)
