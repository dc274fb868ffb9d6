"""`python -m services.planner`: settings from HEADRACE_* and --config, logs to standard output, ends on SIGTERM."""

from __future__ import annotations

import sys
from contextlib import closing
from threading import Event

from headrace.contract.settings import Settings
from headrace.observe import Pulse, serve_metrics
from headrace.service import serve
from services.planner.service import LIMIT_S, Gauges, Service


def plan(settings: Settings, stopping: Event) -> None:
    """Plan until told to stop."""
    local, pulse = settings.local, Pulse(LIMIT_S)
    serve_metrics(local.ports.planner_metrics, local.bind, pulse)
    with closing(Service(settings, Gauges(), pulse)) as service:
        service.run(stopping)


if __name__ == "__main__":
    sys.exit(serve("planner", "Write train.plan.", plan))
