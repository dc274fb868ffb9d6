"""`headrace restart`: end one part and start it again."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from headrace.cli.options import err, out, with_settings
from headrace.contract.errors import DependencyError, SettingsError
from headrace.contract.settings import Settings


@with_settings
def restart(
    settings: Settings,
    part: Annotated[str, typer.Argument(help="A part, as `headrace status` names it.")],
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Give up waiting after this.")] = 180.0,
) -> None:
    """End one part, start it again, and wait until it runs; one that had failed for good gets a new chance.

    Nothing is lost: Flink goes on from its last checkpoint, the trainer saves first, the others read their position.
    """
    from headrace.local import stack, state

    if (running := state.running(settings.data_dir)) is None:
        raise DependencyError(f"nothing runs in {settings.data_dir}: start it with `headrace up`")
    names = [there.name for there in running.parts]
    if part not in names:
        raise SettingsError(f"there is no part {part}: this stack has {', '.join(names)}")
    began = time.monotonic()
    with err.status(f"restarting {part}"):
        for _ in stack.order(running.settings, timeout, part, do="restart", part=part):
            pass
    out.print(f"{part} runs again after {time.monotonic() - began:.0f} s")
