"""A long-running process: settings from HEADRACE_*, --config and --set, logs to standard output, ends on SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import Event

from headrace.arguments import settings_of
from headrace.contract.errors import HeadraceError
from headrace.contract.settings import Settings
from headrace.observe import start_logging


def serve(part: str, description: str, work: Callable[[Settings, Event], None]) -> int:
    """Be `python -m services.PART`: do `work` until its event is set.

    The exit code: 0 after SIGTERM or SIGINT, else that of the error.
    """
    log = start_logging(part, "INFO")
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        settings = settings_of(f"services.{part}", description)
        log.setLevel(settings.log.level)
        work(settings, stopping)
    except HeadraceError as error:
        log.error(str(error), extra={"exit_code": error.exit_code})
        return error.exit_code
    return 0
