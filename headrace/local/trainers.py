"""Which runs a stack trains beside the one of its settings, through `down` and `up`.

<data>/trainers/RUN.json holds what the run was told by --set, as a list of key=value
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson

from headrace.beside import settings_beside
from headrace.contract.settings import Settings
from headrace.local import ports, state

FOLDER = "trainers"


def kept(data_dir: Path) -> dict[str, list[str]]:
    """What each run was told, by its name."""
    found = sorted((data_dir / FOLDER).glob("*.json"))
    return {path.stem: orjson.loads(path.read_bytes()) for path in found}


def keep(data_dir: Path, run: str, assignments: Sequence[str]) -> None:
    """Let the stack train a run from its next start on; what it was told before stays, where it is not told anew."""
    told = {key: value for key, _, value in (one.partition("=") for one in (*_told(data_dir, run), *assignments))}
    state.replace_file(_path(data_dir, run), orjson.dumps([f"{key}={value}" for key, value in told.items()]))


def forget(data_dir: Path, run: str) -> None:
    """Let the stack train it no more from its next start on."""
    _path(data_dir, run).unlink(missing_ok=True)


def settings_of(base: Settings, run: str) -> Settings:
    """The settings under which the stack of `base` trains a run, with free ports; raises SettingsError."""
    own = settings_beside(base, run, _told(base.data_dir, run))
    free = own.local.ports.model_copy(update={"trainer_metrics": ports.free_row(own.trainer.ranks)})
    return own.model_copy(update={"local": own.local.model_copy(update={"ports": free})})


def _told(data_dir: Path, run: str) -> list[str]:
    return kept(data_dir).get(run, [])


def _path(data_dir: Path, run: str) -> Path:
    return data_dir / FOLDER / f"{run}.json"
