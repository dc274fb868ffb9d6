"""A publisher in a process of its own: `python tests/soak/feed.py RATE`, settings from HEADRACE_*; ends on SIGTERM."""

from __future__ import annotations

import signal
import sys
import time
from threading import Event

from benchmarks.texts import texts
from headrace.client import Publisher
from headrace.contract.settings import load


def main(rate: float) -> None:
    """Publish `rate` documents a second, in turns of 50 ms, until told to stop; what was sent is then confirmed."""
    stopping = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    settings = load().settings
    documents, sent, begun = texts(settings), 0, time.monotonic()
    with Publisher(settings) as publisher:
        while not stopping.wait(0.05):
            for _ in range(int((time.monotonic() - begun) * rate) - sent):
                publisher.publish(next(documents), source="soak")
                sent += 1


if __name__ == "__main__":
    main(float(sys.argv[1]))
