"""What several commands show or take in the same way: a row of bars, a span of time, --since."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headrace.cli.screen import duration, sparkline
from headrace.cli.since import moment
from headrace.contract.errors import SettingsError

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


def test_a_row_of_bars_goes_from_the_least_to_the_greatest() -> None:
    assert sparkline([], 10) == ""
    assert sparkline([2, 2], 10) == "▁▁"
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8) == "█▇▆▅▄▃▂▁"
    assert sparkline(range(1000, 0, -1), 8) == "█▇▆▅▄▃▂▁"


def test_what_is_no_number_is_a_dot() -> None:
    assert sparkline([0, 1, 2, float("nan"), 9], between=(0, 2)) == "▁▅█·█"
    assert sparkline([3, 3], between=(3, 3)) == "▁▁"
    assert sparkline([2, float("nan"), 1, float("inf")], 10) == "█·▁·"
    assert sparkline([float("nan")] * 3, 10) == "···"


def test_a_span_has_the_unit_that_fits() -> None:
    assert [duration(seconds) for seconds in (-5, 119, 120, 7200, 172_800)] == [
        "0 s",
        "119 s",
        "2 min",
        "2.0 h",
        "2.0 d",
    ]


def test_since_is_an_age_or_a_time() -> None:
    assert moment("90s", NOW) == datetime(2026, 11, 25, 2, 58, 30, tzinfo=UTC)
    assert moment("1.5h", NOW) == datetime(2026, 11, 25, 1, 30, tzinfo=UTC)
    assert moment("2d", NOW) == datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
    assert moment("2026-11-25T04:00:00+02:00", NOW) == moment("2026-11-25T02:00", NOW)


@pytest.mark.parametrize("since", ["yesterday", "5", "-3h", "99999999d", "9" * 400 + "s", "0001-01-01T00:00+05:00"])
def test_what_is_neither_is_named(since: str) -> None:
    with pytest.raises(SettingsError, match=f"--since {since[:20]}".replace("+", r"\+")):
        moment(since, NOW)
