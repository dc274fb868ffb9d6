"""One part of the stack in a container of its own, with the command that `headrace up` gives it.

    python -m headrace.local.container broker|jobmanager|taskmanager|jobs      settings from HEADRACE_*
    python -m headrace.local.container jobs COMMAND…                           a command where the jobs' would run

It writes the part's configuration, then becomes the part. Planner and trainer need none: they are started as they are.
docker-compose.yml does the rest of what `headrace.local.supervisor` does: order, health, restarts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from headrace.contract.errors import HeadraceError
from headrace.contract.settings import ROOT, Settings, load
from headrace.local import parts
from headrace.local.process import Part

ALONE = {parts.BROKER: (), parts.JOBMANAGER: (), parts.TASKMANAGER: (parts.WORKERS,), parts.JOBS: ()}
"""What may be started here, and what runs beside it: Python workers are reached by a socket on the same machine."""
STOP_JOBS = "--stop-jobs"
"""Nobody else in a network of containers would stop them with a savepoint."""


def become(name: str, settings: Settings, instead: Sequence[str] = ()) -> NoReturn:
    """Be the part, or another command in its place; never returns."""
    (settings.data_dir / "logs").mkdir(parents=True, exist_ok=True)
    part, *beside = parts.build(settings, (name, *ALONE[name])).values()
    for other in () if instead else beside:
        subprocess.Popen(other.command, cwd=ROOT, env=environment(other))
    command = tuple(instead) or ((*part.command, STOP_JOBS) if name == parts.JOBS else part.command)
    os.chdir(ROOT)
    os.execvpe(command[0], command, environment(part))


def environment(part: Part) -> dict[str, str]:
    """All that is in a part's environment."""
    return {**os.environ, **part.environment}


def main() -> int:
    """Become the part that is named; the exit code where that fails."""
    name, *instead = sys.argv[1:] or [""]
    if name not in ALONE:
        print(f"python -m headrace.local.container {'|'.join(ALONE)} [COMMAND…]", file=sys.stderr)
        return 2
    try:
        become(name, load().settings, instead)
    except HeadraceError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
