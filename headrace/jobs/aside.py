"""How the state of a job that was emptied is set aside: three moves, of which any may be the last one that is made.

1  JOB.new is written whole: pins, where the job begins anew, what was counted; then replaced.json into JOB
2  JOB becomes JOB.DATE
3  JOB.new becomes JOB
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from headrace.contract.settings import Settings
from headrace.jobs.job import PINNED, Job, Pinned
from headrace.jobs.notes import COUNTED, Begun, Replaced


def set_aside(settings: Settings, job: Job, positions: Mapping[int, int], pinned: Pinned, now: float) -> Path:
    """Make all three moves; returns where the old state lies now. `pinned` is what the job that begins anew pins."""
    folder = job.folder(settings)
    aside = folder.with_name(f"{folder.name}.{time.strftime('%Y-%m-%dT%H%M%S', time.gmtime(now))}")
    prepare(settings, job, positions, pinned, aside, now)
    folder.rename(aside)
    folder.with_suffix(".new").rename(folder)
    return aside


def prepare(
    settings: Settings, job: Job, positions: Mapping[int, int], pinned: Pinned, aside: Path, now: float
) -> None:
    """The first move."""
    folder = job.folder(settings)
    new = folder.with_suffix(".new")
    new.mkdir()
    old = Pinned.read(folder / PINNED)
    pinned.write(new / PINNED)
    if (folder / COUNTED).exists():
        shutil.copy(folder / COUNTED, new / COUNTED)
    begun = Begun(positions=dict(positions), before=aside.name, plan=old.plan if old else "", time=now)
    begun.write(new / Begun.FILE)
    Replaced(positions=dict(positions), time=now).write(folder / Replaced.FILE)


def finish_setting_aside(settings: Settings, job: Job) -> None:
    """After an interruption: go back if the old state is in its place, else make the third move."""
    folder = job.folder(settings)
    new = folder.with_suffix(".new")
    if not new.exists():
        return
    if folder.exists():
        (folder / Replaced.FILE).unlink(missing_ok=True)
        shutil.rmtree(new)
    else:
        new.rename(folder)
