"""The short form of `make observe`: beside a stack that runs anyway, while a little text flows."""

from __future__ import annotations

import random
import time
from pathlib import Path

from headrace.client import Publisher
from headrace.contract.settings import Settings
from tests.observe.prom import SCRAPE_S, prometheus
from tests.observe.scene import text
from tests.observe.verdict import lacking


def assert_all_is_shown(settings: Settings, folder: Path, timeout_s: float = 90) -> None:
    """Block until every panel returned data, every metric was served, every alert was judged by a real Prometheus.

    Publishes documents, some of which are rejected. `folder`: for Prometheus' own files.
    """
    dice = random.Random(1)
    with prometheus(settings, folder) as asked, Publisher(settings) as publisher:
        start = time.time()
        while missing := lacking(asked, start):
            assert time.time() < start + timeout_s, missing
            for document in ("no", *(text(dice) for _ in range(20))):
                publisher.publish(document, source="chat")
            time.sleep(SCRAPE_S)
