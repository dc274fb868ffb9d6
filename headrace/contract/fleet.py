"""What a fleet of ranks says of itself on disk, for the supervisor of the stack: run/fleets/RUN.json."""

from __future__ import annotations

from pathlib import Path

from headrace.contract.errors import Coordinate
from headrace.contract.record import Record


class FleetState(Record):
    """The fleet `pid` has these `ranks` (process ids by rank; none while they start), for the `restarts`-th time anew.

    `why` says how the ranks before them ended.
    """

    pid: int
    restarts: int = 0
    ranks: tuple[int, ...] = ()
    why: str = ""

    def write(self, data_dir: Path, run: str) -> None:
        """Replace the file in one move."""
        path = path_of(data_dir, run)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_bytes(self.encode())
        new.replace(path)


def path_of(data_dir: Path, run: str) -> Path:
    """The file of a run's fleet."""
    return data_dir / "run" / "fleets" / f"{run}.json"


def read(data_dir: Path, run: str) -> FleetState | None:
    """What the run's last fleet said, which may be gone; None if there was none."""
    path = path_of(data_dir, run)
    try:
        return FleetState.decode(path.read_bytes(), Coordinate(str(path), 0, 0))
    except FileNotFoundError:
        return None
