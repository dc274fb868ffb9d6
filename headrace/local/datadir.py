"""Whose a data directory is: who made it, with which versions, and where it lay when Flink wrote its state.

<data>/headrace.json is written at the first start and renewed at every later one. Without it nothing is wiped.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from headrace import jobs
from headrace.contract.errors import ContractError, SettingsError
from headrace.contract.settings import Settings
from headrace.flink import newest_state
from headrace.local import jars

LAYOUT = 1
"""Counts up when a data directory means something else than before."""
NAME = "headrace.json"
OURS = ("kafka", "flink", "checkpoints", "logs", "run", "trainers")
"""Folders that a stack makes in its data directory."""


@dataclass(frozen=True)
class Made:
    """What the file says. `flink_state`: the path that Flink's checkpoints name, as it was when they were written."""

    layout: int
    kafka: str
    flink: str
    flink_state: str


def now(settings: Settings) -> Made:
    """What this installation would write."""
    kafka = next(jar.version for jar in jars.locked() if jar.artifact.startswith("kafka_"))
    return Made(LAYOUT, kafka, importlib.metadata.version("apache-flink"), str(settings.flink_state_dir))


def made(data_dir: Path) -> Made | None:
    """What its file says; None for a directory that no stack was started in."""
    path = data_dir / NAME
    if not path.exists():
        return None
    try:
        said = orjson.loads(path.read_bytes())
        return Made(**{name: said[name] for name in Made.__dataclass_fields__})
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ContractError(
            f"{path} cannot be read as what a stack says about its data: restore it from a copy"
        ) from None


def check(settings: Settings) -> None:
    """Whether this installation may start a stack here. Writes nothing.

    Raises ContractError naming both sides for data of a newer version, and for Flink state that was moved without a
    savepoint; SettingsError for a folder of someone else's.
    """
    before, here = made(settings.data_dir), now(settings)
    if before is None:
        _check_empty(settings.data_dir)
        return
    for name in ("layout", "kafka", "flink"):
        then, mine = getattr(before, name), getattr(here, name)
        if _order(then) > _order(mine):
            raise ContractError(
                f"{settings.data_dir} was last used with {name} {then}, this is Headrace with {name} {mine}: older"
                " programs must not touch newer data. Start it with the newer version"
            )
    _check_place(settings, Path(before.flink_state))


def claim(settings: Settings) -> None:
    """Write down that this installation works here. Call it with the directory's lock, after `check`."""
    before, here = made(settings.data_dir), now(settings)
    if before is not None and _named_by_state(settings):
        here = replace(here, flink_state=before.flink_state)  # through a link: the state still names the old place
    path = settings.data_dir / NAME
    new = path.with_suffix(".new")
    new.write_bytes(orjson.dumps(asdict(here), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    new.replace(path)


def _check_empty(data_dir: Path) -> None:
    there = {path.name for path in data_dir.iterdir()} if data_dir.is_dir() else set()
    if there - set(OURS) and there & set(OURS) and not (data_dir / "kafka" / "meta.properties").exists():
        raise SettingsError(
            f"local.data_dir is {data_dir}, which holds {', '.join(sorted(there & set(OURS)))} of something else:"
            " name a new or an empty folder"
        )


def _check_place(settings: Settings, before: Path) -> None:
    here = settings.flink_state_dir
    if before.resolve() == here or not (named := _named_by_state(settings)):
        return
    raise ContractError(
        f"the state of the jobs was moved from {before} to {here} without `headrace down`: its newest checkpoint"
        f" ({named[0]}) names files in {before}. Move it back and end it with `headrace down`, whose savepoints may be"
        f" moved; or link the old place to the new one: mkdir -p {before.parent} && ln -s {here} {before}"
    )


def _named_by_state(settings: Settings) -> list[Path]:
    """The newest state of each job if it is a checkpoint, whose files name others by absolute paths."""
    newest = [newest_state(job.folder(settings)) for job in jobs.JOBS]
    return [state.path for state in newest if state is not None and state.path.name.startswith("chk-")]


def _order(version: int | str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in str(version).split(".") if digits.isdigit())
