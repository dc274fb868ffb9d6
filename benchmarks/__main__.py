"""Run every benchmark, one process each; exit code 1 if one failed or missed a goal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SHARED = ("__init__", "__main__", "results")


def main() -> int:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in SHARED)
    codes = {
        name: subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode for name in names
    }
    missed = [name for name, code in codes.items() if code]
    print(f"{len(names)} benchmarks, missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
