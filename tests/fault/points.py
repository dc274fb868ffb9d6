"""Named points inside the work of trainer and planner, where a process of the stack under test falls or stands still.

Where they are stands in `tests/fault/places.py`. A test arms one of them by a file in FOLDER. The process that comes
there says so, in a file of its own, and does to itself what the order says. It comes there only while it works:
so a fault that has fired met work.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = "FAULT_FOLDER"
"""Environment variable: where orders and answers lie."""
ARMED = "armed.json"


class Visits:
    """What this process has to know between two points: who it is, the step in hand, and how often it came by.

    `who`: a rank, once it has joined the others, else the part of the stack that this process belongs to.
    """

    def __init__(self) -> None:
        self.who = os.environ.get("_HEADRACE_PART", "").rpartition(":")[2]
        self.step = 0
        self.seen: Counter[str] = Counter()

    def come(self, point: str, subject: Any = None) -> None:
        """The process is at a point, `subject` in hand. Does what was ordered for it, if anything was."""
        folder = Path(os.environ[FOLDER])
        try:
            order = json.loads((folder / ARMED).read_bytes())
        except FileNotFoundError:
            return
        if (order["point"], order["victim"]) != (point, self.who) or self.step < order["step"]:
            return
        self.seen[order["id"]] += 1
        if self.seen[order["id"]] >= order["visit"] and self._claim(folder, order):
            DEEDS[order["deed"]](order, subject)

    def _claim(self, folder: Path, order: Mapping[str, Any]) -> bool:
        """Say that it is here, all at once; only the first that says so goes on."""
        said = folder / f"{order['id']}.{os.getpid()}.{threading.get_ident()}"
        said.write_text(json.dumps({"pid": os.getpid(), "step": self.step, "at": time.monotonic()}))
        try:
            os.link(said, folder / f"{order['id']}.fired")
        except FileExistsError:
            return False
        finally:
            said.unlink()
        return True


VISITS = Visits()


def kill(order: Mapping[str, Any], subject: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pause(order: Mapping[str, Any], subject: Any) -> None:
    """Until somebody continues this process."""
    os.kill(os.getpid(), signal.SIGSTOP)


def hold(order: Mapping[str, Any], subject: Any) -> None:
    """This thread alone waits until the test lets go."""
    released = Path(os.environ[FOLDER]) / f"{order['id']}.released"
    while not released.exists():
        time.sleep(0.02)


def tear(order: Mapping[str, Any], subject: Any) -> None:
    """The manifest that was just written is cut in half, and its writer is dead: as after a crash of a machine."""
    manifest = subject.path / "manifest.json"
    os.truncate(manifest, manifest.stat().st_size // 2)
    kill(order, subject)


def disconnect(order: Mapping[str, Any], subject: Any) -> None:
    """Every connection of this process to the broker is shut down under it."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # closed meanwhile, or without a peer
            if str(entry.readlink()).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(entry.name))) as one:
                    if one.getpeername()[1:2] == (order["broker_port"],):
                        one.shutdown(socket.SHUT_RDWR)


DEEDS: dict[str, Callable[[Mapping[str, Any], Any], None]] = {
    deed.__name__: deed for deed in (kill, pause, hold, tear, disconnect)
}
