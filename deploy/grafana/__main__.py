"""`python -m deploy.grafana [FOLDER]`: write every dashboard as JSON; without a folder, those of the repository."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.boards import BOARDS
from deploy.grafana.panels import build

FOLDER = Path(__file__).with_name("dashboards")


def main(folder: Path = FOLDER) -> None:
    """Write them all."""
    for board in BOARDS:
        text = json.dumps(build(board), cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / f"{board.uid}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
