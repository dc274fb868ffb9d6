"""What `python -m flink_jobs.clean` and `… .tokenize` do: compile the job, then describe or submit it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import orjson
import xxhash
from pyflink.table import CompiledPlan, StreamTableEnvironment

from flink_jobs.environment import BACKENDS, make_environment
from headrace.contract.errors import ContractError, HeadraceError
from headrace.contract.settings import Settings, load
from headrace.flink import FlinkRest, rest_of

Build = Callable[[StreamTableEnvironment, Settings], CompiledPlan]


def main(name: str, build: Build, arguments: Sequence[str] | None = None) -> int:
    """Run job `name`'s command line; returns the exit code. The last line on standard output is the JSON answer."""
    parser = argparse.ArgumentParser(f"python -m flink_jobs.{name}", description=f"Submit the {name} job to Flink.")
    parser.add_argument("--restore", metavar="PATH", help="a checkpoint or savepoint to go on from; Flink then owns it")
    parser.add_argument("--expect", metavar="HASH", help="submit only if this is the hash of the compiled plan")
    parser.add_argument("--describe", action="store_true", help="print the hash of the compiled plan, submit nothing")
    options = parser.parse_args(arguments)
    try:
        said = answer(name, build, load().settings, options.restore, options.expect, options.describe)
    except HeadraceError as error:
        print(f"flink_jobs.{name}: {error}", file=sys.stderr)
        return error.exit_code
    print(orjson.dumps(said).decode())
    return 0


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
