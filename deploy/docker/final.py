"""Runs a command; where its exit code says that a restart cannot help, waits to be stopped instead of ending.

    final.py CODE[,CODE…] COMMAND…

Docker starts again whatever ends, and cannot tell one exit code from another. A container that waits is shown as
unhealthy, the last line of its log says why, and `docker compose restart SERVICE` gives it a new chance.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from types import FrameType

TOLD = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    """The command's exit code, as a shell would say it."""
    final, command = {int(code) for code in sys.argv[1].split(",")}, sys.argv[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, TOLD)  # none may come before there is a child to pass it on to
    child = subprocess.Popen(command, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD))
    told = False

    def tell(number: int, frame: FrameType | None) -> None:
        nonlocal told
        told = True
        child.send_signal(number)

    for number in TOLD:
        signal.signal(number, tell)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD)
    code = child.wait()
    signal.pthread_sigmask(signal.SIG_BLOCK, TOLD)  # from here on one waits for them
    if code in final and not told:
        event = "ended for good: nothing starts it again before `docker compose restart`"
        print(json.dumps({"level": "ERROR", "event": event, "exit_code": code, "command": command}), flush=True)
        signal.sigwait(TOLD)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
