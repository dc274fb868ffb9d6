"""The jobs' own program, which alone knows PyFlink: a process that compiles and submits what it is asked to."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import cached_property
from threading import Lock
from types import TracebackType
from typing import IO, Self

import orjson

from headrace.contract import errors
from headrace.contract.errors import ContractError, DependencyError, HeadraceError
from headrace.contract.settings import ROOT, Settings
from headrace.jobs.job import Job

_ERRORS: Mapping[int, type[HeadraceError]] = {
    kind.exit_code: kind for kind in (errors.SettingsError, DependencyError, ContractError)
}


class Program:
    """`python -m MODULE`, started when it is first asked and ended with the `with` block.

    One for both jobs: its JVM and Flink's planner take most of the time that a submission takes.
    """

    def __init__(self, settings: Settings, module: str = "flink_jobs") -> None:
        self.settings = settings
        self.module = module
        self.one_at_a_time = Lock()
        self.ending = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ending.close()

    def ask(self, job: Job, **request: str | bool) -> dict[str, str]:
        """What `flink_jobs.submit.answer` returns for the job; blocks for seconds, threads wait for each other.

        Raises the error that the program met, with what it said.
        """
        with self.one_at_a_time:
            answer = self._ask(orjson.dumps({"job": job.name, **request}))
        if "error" not in answer:
            return answer
        raise _ERRORS.get(int(answer["code"]), HeadraceError)(f"job {job.name} was not submitted: {answer['error']}")

    def _ask(self, request: bytes) -> dict[str, str]:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(BrokenPipeError):  # it has ended: then it does not answer either
            stdin.write(request + b"\n")
            stdin.flush()
        if line := stdout.readline():
            said: dict[str, str] = orjson.loads(line)
            return said
        code = self.process.wait()
        self.errors.seek(0)
        last = self.errors.read().decode(errors="replace").strip().splitlines()[-5:]
        return {"error": "\n".join([f"its program ended with exit code {code}", *last]), "code": str(code)}

    @cached_property
    def errors(self) -> IO[bytes]:
        """What the program writes on standard error."""
        return self.ending.enter_context(tempfile.TemporaryFile())

    @cached_property
    def process(self) -> subprocess.Popen[bytes]:
        """It runs from here on."""
        process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            cwd=ROOT,
            env={**self.settings.child_environment(), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        self.ending.callback(process.communicate)
        return process
