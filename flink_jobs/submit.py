"""What `python -m flink_jobs.clean` and `… .tokenize` do: compile the job, then describe or submit it."""

from __future__ import annotations

import argparse
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence

import orjson
import xxhash
from pyflink.table import CompiledPlan, StreamTableEnvironment

from flink_jobs.environment import make_environment, rest_of
from headrace.contract.errors import DependencyError, HeadraceError
from headrace.contract.settings import Settings, load

Build = Callable[[StreamTableEnvironment, Settings], CompiledPlan]


def main(name: str, build: Build, arguments: Sequence[str] | None = None) -> int:
    """Run job `name`'s command line; returns the exit code. The last line on standard output is the JSON answer."""
    parser = argparse.ArgumentParser(
        prog=f"python -m flink_jobs.{name}", description=f"Submit the {name} job to Flink."
    )
    parser.add_argument(
        "--restore", metavar="PATH", help="go on from this checkpoint or savepoint, which Flink then owns"
    )
    parser.add_argument("--describe", action="store_true", help="print the hash of the compiled plan, submit nothing")
    options = parser.parse_args(arguments)
    try:
        settings = load().settings
        answer = run(name, build, settings, options.restore, options.describe)
    except HeadraceError as error:
        print(f"flink_jobs.{name}: {error}", file=sys.stderr)
        return error.exit_code
    print(orjson.dumps(answer).decode())
    return 0


def run(name: str, build: Build, settings: Settings, restore: str | None, describe: bool) -> dict[str, str]:
    """Compile the job and, unless only to be described, submit it; blocks until Flink has taken it, not until it runs.

    Raises DependencyError when no JobManager answers.
    """
    if not describe:
        check_cluster(rest_of(settings))
    compiled = build(make_environment(settings, name, restore), settings)
    plan = plan_hash(compiled.as_json_string())
    if describe:
        return {"plan": plan}
    client = compiled.execute().get_job_client()
    assert client is not None, "an INSERT always has a job"
    return {"job_id": str(client.get_job_id()), "plan": plan}


def plan_hash(plan: str) -> str:
    """Hex that is equal for equal queries in one version of Flink: state fits the plan that made it, and no other.

    A compiled plan names tables and functions but not their options or code, so brokers and paths do not enter.
    """
    return xxhash.xxh3_128_hexdigest(plan.encode())


def check_cluster(rest: str) -> None:
    """Raise DependencyError unless a JobManager answers at host:port within 10 s."""
    try:
        with urllib.request.urlopen(f"http://{rest}/overview", timeout=10):
            pass
    except (urllib.error.URLError, TimeoutError) as error:
        raise DependencyError(f"no Flink answers at {rest}: {error}. Start it with `headrace up`") from None
