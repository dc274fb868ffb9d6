"""`python -m flink_jobs`: compiles, describes and submits both jobs in one JVM; headrace/jobs/program.py asks it.

A line in is a request, {"job": …} and optionally "restore", "expect", "describe"; the line out is its answer: that of
`submit.answer`, or {"error": …, "code": …}. It ends when its input does.
"""

import os
import sys
import traceback
from typing import Any

import orjson

from flink_jobs.clean.job import build as build_clean
from flink_jobs.submit import Build, answer
from flink_jobs.tokenize.job import build as build_tokenize
from headrace.contract.errors import HeadraceError
from headrace.contract.settings import Settings, load

BUILD: dict[str, Build] = {"clean": build_clean, "tokenize": build_tokenize}


def main() -> int:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # PyFlink and its JVM may print, too
    settings = load().settings
    for line in sys.stdin:
        answers.write(orjson.dumps(answer_or_error(settings, **orjson.loads(line)), option=orjson.OPT_APPEND_NEWLINE))
    return 0


def answer_or_error(settings: Settings, job: str, **request: Any) -> dict[str, str | int]:
    """One answer; of an error in Flink only what caused it, for its stack traces are pages."""
    try:
        return {**answer(job, BUILD[job], settings, **request)}
    except HeadraceError as error:
        return {"error": str(error), "code": error.exit_code}
    except Exception:  # whatever it is, whoever asked gets to know it
        lines = traceback.format_exc().strip().splitlines()
        causes = [line for line in lines if line.startswith("Caused by: ")] or lines[-5:]
        return {"error": "\n".join(causes), "code": HeadraceError.exit_code}


if __name__ == "__main__":
    sys.exit(main())
