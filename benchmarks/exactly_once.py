"""What exactly-once costs: both Flink jobs as they are, against the same ones that write without transactions.

    python -m benchmarks.exactly_once [--documents 60000] [--rounds 2]

The other version is a copy of the repository whose sinks say at-least-once and whose checkpoints do not hold back what
came behind their barrier. Each is a stack of its own, in turn. Its rate is that between the first and the last moment
at which readers see more documents, so that the wait for the first commit does not count.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.results import tell
from headrace.contract.settings import ROOT

COPIED = ("headrace", "flink_jobs", "deploy", "benchmarks")
WEAKER: Mapping[str, tuple[str, str]] = {
    "flink_jobs/clean/clean.sql": ("'exactly-once'", "'at-least-once'"),
    "flink_jobs/tokenize/tokenize.sql": ("'exactly-once'", "'at-least-once'"),
    "flink_jobs/environment.py": ('"EXACTLY_ONCE"', '"AT_LEAST_ONCE"'),
}
RATE = re.compile(r"steady rate ([\d.]+) documents/s")


def weaker(folder: Path) -> Path:
    """A copy of the repository that promises less."""
    for part in COPIED:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (before, after) in WEAKER.items():
        file = folder / name
        text = file.read_text()
        if text.count(before) != 1:
            raise RuntimeError(f"{name} does not say {before} once")
        file.write_text(text.replace(before, after))
    return folder


def rate(checkout: Path, documents: int) -> float:
    """Documents a second through the jobs of a version."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.raw_to_blocks",
            "--text",
            "page",
            "--jobs-only",
            "--documents",
            str(documents),
        ],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = RATE.search(done.stdout)
    assert found, done.stdout
    return float(found[1])


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, default=60_000)
    arguments.add_argument("--rounds", type=int, default=2)
    said = arguments.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        versions = {"exactly-once": ROOT, "at-least-once": weaker(Path(folder))}
        for _ in range(said.rounds):
            rates = {name: rate(checkout, said.documents) for name, checkout in versions.items()}
            load = os.getloadavg()[0]
            print(", ".join(f"{name} {each:,.0f} documents/s" for name, each in rates.items()), f"load {load:.1f}")
            ratios.append(rates["exactly-once"] / rates["at-least-once"])
    return 0 if tell("exactly_once", median(ratios)) else 1


if __name__ == "__main__":
    sys.exit(main())
