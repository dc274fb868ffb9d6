"""Python workers without Beam's sampler of where a bundle's time goes.

For every bundle Beam starts a thread that looks each few milliseconds, and at the bundle's end waits for the thread's
sleep to end: two milliseconds at least, of a bundle of messages a third. What it gathers goes to Beam's runners; Flink
shows none of it.
"""

from __future__ import annotations

from apache_beam.runners.worker.statesampler import StateSampler, set_current_tracker


def stop_sampling() -> None:
    """From the next bundle of this process on."""
    StateSampler.start = start  # type: ignore[method-assign, assignment]


def start(sampler: StateSampler) -> None:
    """All that Beam's own does but the thread; a sampler that is not `started` is not stopped either."""
    set_current_tracker(sampler)  # type: ignore[no-untyped-call]
