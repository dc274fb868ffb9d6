"""`headrace restart`: end one part and start it again."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.options import out, with_settings
from headrace.contract.errors import DependencyError, SettingsError
from headrace.contract.settings import Settings


@with_settings
def restart(
    settings: Settings,
    part: Annotated[str, typer.Argument(help="broker, jobmanager, taskmanager, jobs, planner or trainer")],
) -> None:
    """End one part and start it again; one that had failed for good gets a new chance. Returns at once."""
    from headrace.local import state

    if (running := state.running(settings.data_dir)) is None:
        raise DependencyError(f"nothing runs in {settings.data_dir}: start it with `headrace up`")
    names = [there.name for there in running.parts]
    if part not in names:
        raise SettingsError(f"there is no part {part}: this stack has {', '.join(names)}")
    state.request(settings.data_dir, do="restart", part=part)
    out.print(f"{part} is restarted: see `headrace status`")
