"""`headrace report`: a run as one page of HTML."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from headrace.cli.options import OfRun, err, out, say, with_settings
from headrace.contract.errors import ContractError, SettingsError
from headrace.contract.settings import Settings

if TYPE_CHECKING:
    from headrace.audit.report import Report


@with_settings
def report(
    settings: Settings,
    run: OfRun = None,
    file: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page.")] = Path("report.html"),
    verify: Annotated[bool, typer.Option(help="Prove that all of it was trained once; reads every log.")] = True,
) -> None:
    """Write a page about a run: the verdict, loss, age of the text, flow, rejects, step time, checkpoints, restarts.

    One HTML file that loads nothing, for a browser, a phone, a mail or a printer. Where verify finds something
    wrong, the page says so and the exit code is 4.
    """
    from headrace.audit.verify import verify_deployment
    from headrace.cli.verify import progress_of_verify
    from headrace.runs import chosen_run

    if file.is_dir():
        raise SettingsError(f"--out {file} is a directory: name a file, such as {file / 'report.html'}")
    name, proof = chosen_run(settings, run), None
    with err.status("reading"):
        page = Page(settings, name)
    if verify:
        with progress_of_verify(hidden=False) as begin:
            proof = verify_deployment(settings, name, 0, begin)
    page.write(file, proof)
    if proof is not None:
        colour = "green" if proof.holds else "red"
        out.print(f"[bold {colour}]{proof.headline}[/]", highlight=False)
    say(f"page  {escape(str(file))}")
    if proof is not None and not proof.holds:
        raise typer.Exit(ContractError.exit_code)


class Page:
    """What a page says of a run, as of the moment it is made; raises SettingsError where there is nothing to say."""

    def __init__(self, settings: Settings, run: str) -> None:
        from headrace.kafka import Cluster
        from headrace.page.gather import gather

        self.facts = gather(Cluster(settings), run)

    def write(self, file: Path, proof: Report | None, written: str = "") -> None:
        """Write the file, whole or not at all; `written` is what the model writes. Raises SettingsError."""
        from headrace.page.page import render

        page = render(self.facts, proof, int(time.time() * 1000), written)
        part = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            part.write_text(page, "utf-8")
            part.replace(file)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise SettingsError(f"--out {file} cannot be written ({error.strerror}): name another file") from None
