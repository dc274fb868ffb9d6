"""Run every benchmark, or those named, one process each, one after the other. `python -m benchmarks [NAME ...]`

Exit code 0 when all ran and reached their goals, 1 when one missed its goal or failed, 2 for a name that is none.
A benchmark without a RESULT line has failed. One that fails hides none: the summary at the end names all.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.results import RESULT, machine

SHARED = (
    "__init__",
    "__main__",
    "cpu",
    "local",
    "peer_datatrove",
    "peer_presidio",
    "peers",
    "records",
    "results",
    "texts",
    "trainers",
)


def main(wanted: list[str]) -> int:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in SHARED)
    if unknown := set(wanted) - set(names):
        print(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(names)}", file=sys.stderr)
        return 2
    print(machine(), flush=True)
    ran = {name: run(name) for name in wanted or names}
    print(f"\n{machine()}")
    for name, (code, results) in ran.items():
        print("\n".join(results) or f"FAILED {name}: exit code {code} and no result, see its output above")
    return 1 if any(code for code, _ in ran.values()) else 0


def run(name: str) -> tuple[int, list[str]]:
    """Run one, its output shown as it comes; its exit code, 1 at least without a result, and its RESULT lines."""
    print(f"\n=== {name}", flush=True)
    results = []
    with subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, text=True, bufsize=1
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", flush=True)
            if line.startswith(RESULT):
                results.append(line.rstrip())
    return running.returncode or int(not results), results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
