"""Ten thousand pairs of near duplicates: what tests/integration/test_near_dedup.py shows, on more of them."""

from __future__ import annotations

import pytest

from headrace.contract.settings import Settings
from tests.integration.jobs_stream import Stream
from tests.integration.test_near_dedup import check_survivors, stream

__all__ = ["stream"]  # a fixture


@pytest.mark.timeout(900)
def test_one_of_each_of_ten_thousand_pairs_survives(stream: Stream, broker: Settings, flink: dict[str, str]) -> None:
    check_survivors(stream, broker, flink, 10_000)
