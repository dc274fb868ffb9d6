"""Lag is what lies between a group's commit and the end, and never less than nothing."""

from headrace.contract import metrics
from services.exporter.lag import of_group


def test_lag_by_partition_and_in_sum() -> None:
    committed = {("text.raw", 0): 7, ("text.raw", 1): 12, ("gone", 0): 1}
    found = list(of_group("clean", committed, {("text.raw", 0): 10, ("text.raw", 1): 11, ("text.raw", 2): 5}))
    assert (metrics.GROUP_LAG, ("clean", "text.raw", "0"), 3) in found
    assert (metrics.GROUP_LAG, ("clean", "text.raw", "1"), 0) in found
    assert (metrics.GROUP_LAG_SUM, ("clean", "text.raw"), 3) in found
    assert {labels[1] for _, labels, _ in found} == {"text.raw"}
