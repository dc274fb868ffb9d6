"""`headrace`: every command stands here; each has a file of its own beside this one."""

from __future__ import annotations

import sys

import typer

from headrace.cli import (
    demo,
    doctor,
    down,
    jobs,
    logs,
    publish,
    restart,
    sample,
    settings,
    status,
    tokenizer,
    topics,
    up,
    verify,
)
from headrace.cli.options import err
from headrace.contract.errors import HeadraceError

app = typer.Typer(
    name="headrace",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)


@app.callback()
def headrace() -> None:
    """A live stream of text in, a language model that keeps learning from it out, proof included."""


app.command()(demo.demo)
app.command()(doctor.doctor)
app.command()(up.up)
app.command()(down.down)
app.command()(status.status)
app.command()(logs.logs)
app.command()(restart.restart)
app.add_typer(jobs.app)
app.add_typer(topics.app)
app.command()(settings.settings)
app.command()(publish.publish)
app.command()(sample.sample)
app.add_typer(tokenizer.app)
app.command()(verify.verify)


def main() -> None:
    """Run the command line; an error of ours ends with its message and its exit code, not with a traceback."""
    try:
        app()
    except HeadraceError as error:
        err.print(f"[red bold]headrace:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
