"""`--since`: a moment, by how long ago it was or by the clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from headrace.contract.errors import SettingsError

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(since: str, now: datetime) -> datetime:
    """30s, 10m, 1.5h, 2d before `now`, or an ISO 8601 time, UTC where it names no zone; raises SettingsError."""
    try:
        if ago := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", since):
            return now - timedelta(**{UNITS[ago[2]]: float(ago[1])})
        given = datetime.fromisoformat(since)
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"--since {since}: write 30s, 10m, 2h, 3d, or an ISO 8601 time such as 2026-11-25T03:00"
        ) from None
