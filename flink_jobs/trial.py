"""One document at a time in a process of its own, which it may kill or stall: `python -m flink_jobs.trial TIMEOUT_S`.

The function and then each document's arguments come in, and rows go out, as pickles over standard input and output.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Generic, TypeVar

from headrace.contract.errors import HeadraceError

Row = TypeVar("Row")
FRAME = re.compile(r'File "(?!.*/lib/)(?:.*/)?([^"/]+)", line (\d+) in (\S+)')
"""The innermost line of Python that is not the standard library's, in what faulthandler writes."""
READY = "ready"


@dataclass(frozen=True)
class Died:
    """A trial that gave no row; `how` in words, with the line of Python where it was."""

    how: str


class Trials(Generic[Row]):
    """Calls of `judge` in a child process, started when it is needed and again after each death."""

    def __init__(self, judge: Callable[..., Row], timeout_s: float) -> None:
        self.judge = judge
        self.timeout_s = timeout_s
        self.child: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: object) -> Row | Died:
        """What `judge(*arguments)` returns there; blocks at most `timeout_s`, and the start of a process.

        Raises HeadraceError when no child gets as far as being ready: that is no document's fault.
        """
        child = self.child or self._start()
        try:
            _send(child.stdin, arguments)
            row: Row = pickle.load(_there(child.stdout))
            return row
        except (EOFError, OSError, pickle.UnpicklingError):
            return Died(self._end())

    def close(self) -> None:
        """End the child, if there is one."""
        if self.child is not None:
            self.child.kill()
            self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in _end)
        self.child = subprocess.Popen(
            [sys.executable, "-m", "flink_jobs.trial", str(self.timeout_s)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        try:
            _send(self.child.stdin, self.judge)
            if pickle.load(_there(self.child.stdout)) == READY:
                return self.child
        except (EOFError, OSError, pickle.UnpicklingError):
            pass
        raise HeadraceError(f"a document cannot be tried apart: {self._end()}")

    def _end(self) -> str:
        """Wait for the child's end; how it died, in words."""
        child = _there(self.child)
        for pipe in (child.stdin, child.stdout):
            try:
                _there(pipe).close()
            except BrokenPipeError:
                continue  # what it had not read
        code = child.wait()
        self.errors.seek(0)
        said = self.errors.read().decode("utf-8", "replace")
        self.errors.close()
        self.child = None
        return _how(code, said, self.timeout_s)


def _how(code: int, said: str, timeout_s: float) -> str:
    if code == -signal.SIGALRM:
        how = f"not done after {timeout_s:g} s"
    else:
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    frame = FRAME.search(said)
    return f"{how} in {frame[3]} ({frame[1]}:{frame[2]})" if frame else f"{how} {said.strip()[-200:]}".strip()


def _send(pipe: IO[bytes] | None, what: object) -> None:
    pickle.dump(what, _there(pipe))
    _there(pipe).flush()


def _there(part: Any) -> Any:
    assert part is not None, "a child that was started has both pipes"
    return part


def serve(timeout_s: float) -> None:
    """The child: answer until standard input ends. A call that takes too long ends the process, whatever it holds."""
    faulthandler.enable(all_threads=False)
    faulthandler.register(signal.SIGALRM, all_threads=False, chain=True)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints
    judge = pickle.load(sys.stdin.buffer)
    _send(answers, READY)
    while True:
        try:
            arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        row = judge(*arguments)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(answers, row)


if __name__ == "__main__":
    serve(float(sys.argv[1]))
