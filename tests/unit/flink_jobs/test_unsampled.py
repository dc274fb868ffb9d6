"""A bundle without Beam's sampler: no thread for it, and Beam's own way of ending it still works."""

from __future__ import annotations

import importlib.util
import threading
from types import ModuleType

import pytest
from apache_beam.utils.counters import CounterFactory

from flink_jobs import unsampled


@pytest.fixture
def beam(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Beam's module, loaded once more: another test may have had a function opened in this process."""
    spec = importlib.util.find_spec("apache_beam.runners.worker.statesampler")
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    for name in ("StateSampler", "set_current_tracker"):
        monkeypatch.setattr(unsampled, name, getattr(fresh, name))
    return fresh


def test_a_bundle_has_no_thread_of_its_own(beam: ModuleType) -> None:
    sampler, before = beam.StateSampler("stage", CounterFactory()), threading.active_count()

    def bundle() -> int:
        """One bundle as Beam's BundleProcessor has it; how many threads it had more."""
        sampler.start()
        assert beam.get_current_tracker() is sampler
        more = threading.active_count() - before
        sampler.stop_if_still_running()
        sampler.reset()
        return more

    assert bundle() == 1
    sampler.start()
    unsampled.stop_sampling()  # in the midst of the first bundle, as from `open` of a function
    sampler.stop_if_still_running()
    sampler.reset()
    assert [bundle() for _ in range(3)] == [0, 0, 0]
