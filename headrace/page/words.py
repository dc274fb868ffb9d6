"""Numbers, spans of time and moments, as a page writes them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
SPANS = ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "h"), (120, 60, "min"))


def number(value: float) -> str:
    """With separators; whole where it is one."""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.3g}"


def short(value: float) -> str:
    """As an axis says it: 12k, 1.5M, 0.25."""
    for size, unit in UNITS:
        if abs(value) >= size:
            return f"{value / size:.6g}{unit}"
    return f"{value:.6g}"


def span(seconds: float) -> str:
    """4.1 s, 12 min, 3.5 h, 2.5 days."""
    if not math.isfinite(seconds):
        return "unknown"
    for least, size, unit in SPANS:
        if seconds >= least:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 0.1 or not seconds else f"{seconds * 1000:.0f} ms"


def size(count: float) -> str:
    """Bytes: 14.2 MiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def share(part: float, whole: float) -> str:
    """12 %, or 0.3 % below one."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.0f} %" if percent >= 1 or not percent else f"{percent:.1g} %"


def many(count: float, one: str, more: str = "") -> str:
    """1 step, 2 steps."""
    return f"{number(count)} {one if count == 1 else more or one + 's'}"


def moment(ms: float) -> str:
    """2026-11-28 04:05:06 UTC"""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
