"""`python -m services.planner`: settings from HEADRACE_* and --config, logs to standard output, ends on SIGTERM."""

from __future__ import annotations

import signal
import sys
from threading import Event

from headrace.arguments import settings_of
from headrace.contract.errors import HeadraceError
from headrace.observe import serve_metrics, start_logging
from services.planner.service import Gauges, Service


def main() -> int:
    """The exit code: 0 after SIGTERM or SIGINT, else that of the error."""
    log = start_logging("planner", "INFO")
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        settings = settings_of("services.planner", "Write train.plan.")
        log.setLevel(settings.log.level)
        local = settings.local
        log.info("metrics", extra={"port": serve_metrics(local.ports.planner_metrics, local.bind)})
        service = Service(settings, Gauges())
        try:
            service.run(stopping)
        finally:
            service.close()
    except HeadraceError as error:
        log.error(str(error), extra={"exit_code": error.exit_code})
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
