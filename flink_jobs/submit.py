"""Compiles, describes and submits jobs, one request a line; headrace/jobs/program.py asks.

A line in is a request, {"job": …} and optionally "restore", "expect", "describe"; the line out is its answer: that of
`answer`, or {"error": …, "code": …}.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import xxhash
from pyflink.table import CompiledPlan, StreamTableEnvironment

from flink_jobs.environment import BACKENDS, make_environment
from headrace.contract.errors import ContractError, HeadraceError, SettingsError
from headrace.contract.settings import Settings, load
from headrace.flink import FlinkRest, rest_of

Build = Callable[[StreamTableEnvironment, Settings], CompiledPlan]


def serve(builds: Mapping[str, Build]) -> int:
    """Answer for these jobs until standard input ends, under the environment's settings; returns the exit code."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # PyFlink and its JVM may print, too
    try:
        settings = load().settings
    except SettingsError as error:
        print(f"flink_jobs: {error}", file=sys.stderr)
        return error.exit_code
    for line in sys.stdin:
        said = answer_or_error(builds, settings, **orjson.loads(line))
        answers.write(orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))
    return 0


def answer_or_error(builds: Mapping[str, Build], settings: Settings, job: str, **request: Any) -> dict[str, str | int]:
    """One answer; of an error in Flink only what caused it, for its stack traces are pages."""
    try:
        return {**answer(job, builds[job], settings, **request)}
    except HeadraceError as error:
        return {"error": str(error), "code": error.exit_code}
    except Exception:  # whatever it is, whoever asked gets to know it
        lines = traceback.format_exc().strip().splitlines()
        causes = [line for line in lines if line.startswith("Caused by: ")] or lines[-5:]
        return {"error": "\n".join(causes), "code": HeadraceError.exit_code}


def answer(
    name: str,
    build: Build,
    settings: Settings,
    restore: str | None = None,
    expect: str | None = None,
    describe: bool = False,
) -> dict[str, str]:
    """Compile the job and submit it, unless it is only to be described; returns its plan, and job_id if submitted."""
    if describe:
        return {"plan": plan_hash(name, compiled(name, build, settings))}
    return submit(name, build, settings, restore, expect)


def submit(
    name: str, build: Build, settings: Settings, restore: str | None = None, expect: str | None = None
) -> dict[str, str]:
    """Compile and submit the job; blocks until Flink has taken it, not until it runs. Returns job_id and plan.

    Raises DependencyError when no JobManager answers, ContractError when the plan's hash is not `expect`.
    """
    FlinkRest(rest_of(settings)).slots()
    job = compiled(name, build, settings, restore)
    plan = plan_hash(name, job)
    if expect and plan != expect:
        raise ContractError(
            f"state of job {name} was made by plan {expect}, its program now compiles to {plan}: state does not fit a"
            " changed query. Run `headrace jobs upgrade`, which empties the job and starts it anew, or go back to the"
            " version that made it"
        )
    client = job.execute().get_job_client()
    assert client is not None, "an INSERT always has a job"
    return {"job_id": str(client.get_job_id()), "plan": plan}


def compiled(name: str, build: Build, settings: Settings, restore: str | None = None) -> CompiledPlan:
    """The job's plan in an environment of its own; needs no cluster."""
    env = make_environment(settings, name, restore)
    number_from_one(env)
    return build(env, settings)


def number_from_one(env: StreamTableEnvironment) -> None:
    """Let the nodes of the next plan begin with number 1, as in a JVM that has compiled none.

    State belongs to a number, and Flink goes on counting from plan to plan, in a class that only its planner can load.
    """
    loader = env._j_tenv.getPlanner().getClass().getClassLoader()
    counter = loader.loadClass("org.apache.flink.table.planner.plan.nodes.exec.ExecNodeContext")
    counter.getMethod("resetIdCounter", None).invoke(None, None)


def plan_hash(name: str, plan: CompiledPlan) -> str:
    """Hex that is equal for equal queries in one version of Flink: state fits the plan that made it, and no other. Nor
    does it fit another state backend.

    A compiled plan names tables and functions but not their options or code, so brokers, ports and paths do not enter.
    """
    return xxhash.xxh3_128_hexdigest((plan.as_json_string() + BACKENDS.get(name, "")).encode())
