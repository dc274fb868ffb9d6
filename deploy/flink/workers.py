"""Python workers of Flink's jobs, forked from one process that has imported what they all need.

    workers.py serve SOCKET MODULE…    that process: imports the modules once, then forks a worker for whoever asks
    workers.py ask SOCKET ARGUMENT…    one worker, as `python ARGUMENT…` would be: its environment, output and end

PyFlink and Beam cost a worker three seconds of CPU before its first row, and after a failure the workers of all
subtasks start at once. A worker lives no longer than its `ask`, which is the process that Flink knows, and no longer
than `serve`. Where nobody serves, and where packages were changed since, `ask` becomes a Python of its own.

Nothing of Headrace may be imported to be forked: an upgraded job would get the old code. Hence this is no module of it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import selectors
import signal
import site
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

OURS = ("headrace", "flink_jobs", "services", "trainer")
MOST_BYTES = 1 << 20
PATIENCE_S = 60.0
"""Time for the imports of a server that has just been started."""
REQUEST_S = 5.0
PR_SET_PDEATHSIG = 1
LENGTH = struct.Struct("<i")


def ask(path: str, arguments: list[str]) -> NoReturn:
    """Have `python ARGUMENTS` forked and wait for its end, or become it."""
    told = {"arguments": arguments, "environment": dict(os.environ), "directory": str(Path.cwd())}
    try:
        with at(path, socket.socket.connect) as server:
            server.settimeout(PATIENCE_S)
            message = json.dumps(told).encode()
            socket.send_fds(server, [LENGTH.pack(len(message))], [0, 1, 2])
            server.sendall(message)
            accepted = server.recv(1) == b"y"
            server.settimeout(None)
            if accepted:
                code = server.recv(LENGTH.size)
                os._exit(LENGTH.unpack(code)[0] if len(code) == LENGTH.size else 1)
    except OSError:
        pass
    os.execv(sys.executable, [sys.executable, *arguments])


def at(path: str, act: Callable[[socket.socket, str], None]) -> socket.socket:
    """A socket that was bound or connected to a path: by its name alone, for the path of a socket may not be long."""
    before, made = Path.cwd(), socket.socket(socket.AF_UNIX)
    os.chdir(Path(path).parent)
    try:
        act(made, Path(path).name)
    finally:
        os.chdir(before)
    return made


class Server:
    """Answers every request until it is killed. One thread, so that a fork has all there is."""

    def __init__(self, path: str, modules: list[str]) -> None:
        Path(path).unlink(missing_ok=True)
        self.listener = at(path, socket.socket.bind)
        self.listener.listen(64)
        self.packages = packages()
        for module in modules:
            __import__(module)
        if ours := sorted(set(sys.modules).intersection(OURS)):
            raise SystemExit(f"{', '.join(ours)} would be old after an upgrade: do not import it here")
        gc.freeze()  # else each worker's collections visit all that was imported, and so copy its pages
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.workers: dict[int, tuple[socket.socket, int]] = {}
        """By the descriptor of its process: who asked for a worker, and its process id."""

    def run(self) -> Callable[[], object]:
        """Serve; returns only in a worker, what it is to do."""
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    if work := self.accept():
                        return work
                elif key.fd in self.workers:
                    self.ended(key.fd)
                elif key.fileobj in {asker for asker, _ in self.workers.values()}:
                    os.kill(key.data, signal.SIGKILL)  # who asked is gone
                    self.selector.unregister(key.fileobj)

    def accept(self) -> Callable[[], object] | None:
        """Take one request. In the worker: what it is to do."""
        asker, _ = self.listener.accept()
        asker.settimeout(REQUEST_S)
        descriptors: list[int] = []
        try:
            told = receive(asker, descriptors)
            if packages() != self.packages:
                raise ValueError("packages have changed")
            asker.sendall(b"y")
            if (pid := os.fork()) == 0:
                return self.worker(asker, told, descriptors)
        except (OSError, ValueError, struct.error):
            asker.close()
            return None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        process = os.pidfd_open(pid)
        self.workers[process] = asker, pid
        self.selector.register(process, selectors.EVENT_READ)
        self.selector.register(asker, selectors.EVENT_READ, pid)
        return None

    def ended(self, process: int) -> None:
        """A worker has ended: tell who asked."""
        asker, pid = self.workers.pop(process)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.selector.unregister(process)
        if asker in self.selector.get_map():
            self.selector.unregister(asker)
            with suppress(OSError):
                asker.sendall(LENGTH.pack(code if code >= 0 else 128 - code))
        asker.close()
        os.close(process)

    def worker(self, asker: socket.socket, told: dict[str, Any], descriptors: list[int]) -> Callable[[], object]:
        """Make this fork what was asked for."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        self.selector.close()
        self.listener.close()
        asker.close()
        for process, (other, _) in self.workers.items():
            os.close(process)
            other.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.environ.clear()
        os.environ.update(told["environment"])
        os.chdir(told["directory"])
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[0:1] = [told["directory"], *(path for path in given if path and path not in sys.path)]
        flag, module, *arguments = told["arguments"]
        assert flag == "-m", "a worker is a module"
        sys.argv = [module, *arguments]
        return lambda: runpy.run_module(module, run_name="__main__", alter_sys=True)


def receive(asker: socket.socket, descriptors: list[int]) -> dict[str, Any]:
    """A request; the descriptors that came with it go where the caller will close them, whatever happens."""
    head, came, _, _ = socket.recv_fds(asker, LENGTH.size, 3)
    descriptors += came
    (length,) = LENGTH.unpack(head)
    if len(descriptors) != 3 or not 0 < length < MOST_BYTES:
        raise ValueError(length)
    message = b""
    while len(message) < length:
        if not (more := asker.recv(length - len(message))):
            raise ValueError(message)
        message += more
    told: dict[str, Any] = json.loads(message)
    return told


def packages() -> list[int]:
    """Changes when a package comes, goes, or is replaced."""
    return [folder.stat().st_mtime_ns for folder in map(Path, site.getsitepackages()) if folder.is_dir()]


def main() -> None:
    what, path, *rest = sys.argv[1:]
    if what == "ask":
        ask(path, rest)
    Server(path, rest).run()()


if __name__ == "__main__":
    main()
