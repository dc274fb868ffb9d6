"""The ranks of tests/unit/trainer, on a GPU."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit/trainer"))
