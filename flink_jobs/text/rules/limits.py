"""A measured value against its limit: the detail of a reject names the rule, the value and the limit."""

from __future__ import annotations

from headrace.contract.errors import Rejected


def at_least(limit: float, value: float, reason: str, what: str) -> None:
    """Raise Rejected if the value is too small."""
    if value < limit:
        raise Rejected(reason, f"{what} {value:.4g} < {limit:g}")


def at_most(limit: float, value: float, reason: str, what: str) -> None:
    """Raise Rejected if the value is too large."""
    if value > limit:
        raise Rejected(reason, f"{what} {value:.4g} > {limit:g}")
