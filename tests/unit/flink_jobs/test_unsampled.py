"""A bundle without Beam's sampler: no thread for it, and Beam's own way of ending it still works."""

from __future__ import annotations

import threading

import pytest
from apache_beam.runners.worker.statesampler import StateSampler, get_current_tracker
from apache_beam.utils.counters import CounterFactory

from flink_jobs.unsampled import stop_sampling


def bundle(sampler: StateSampler) -> int:
    """One bundle as Beam's BundleProcessor has it; how many threads it had."""
    sampler.start()
    assert get_current_tracker() is sampler
    there = threading.active_count()
    sampler.stop_if_still_running()
    sampler.reset()
    return there


def test_a_bundle_has_no_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StateSampler, "start", StateSampler.start)  # put back afterwards
    sampler, before = StateSampler("stage", CounterFactory()), threading.active_count()
    assert bundle(sampler) == before + 1
    sampler.start()
    stop_sampling()  # in the midst of the first bundle, as from `open` of a function
    sampler.stop_if_still_running()
    sampler.reset()
    assert [bundle(sampler) for _ in range(3)] == [before] * 3
