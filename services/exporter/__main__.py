"""`python -m services.exporter`: settings from HEADRACE_* and --config, logs to standard output, ends on SIGTERM."""

from __future__ import annotations

import sys
from contextlib import closing
from threading import Event

from prometheus_client import REGISTRY

from headrace.contract.settings import Settings
from headrace.observe import Pulse, Samples, serve_metrics
from headrace.service import serve
from services.exporter.service import LIMIT_S, Service


def export(settings: Settings, stopping: Event) -> None:
    """Count and look until told to stop."""
    local, pulse = settings.local, Pulse(LIMIT_S)
    with closing(Service(settings, pulse)) as service:
        REGISTRY.register(Samples(service.samples))
        serve_metrics(local.ports.exporter_metrics, local.bind, pulse)
        service.run(stopping)


if __name__ == "__main__":
    sys.exit(serve("exporter", "Show as metrics what only the topics know.", export))
