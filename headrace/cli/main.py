"""`headrace`: every command stands here; each has a file of its own beside this one."""

from __future__ import annotations

import sys

import typer
from rich.markup import escape

from headrace.cli import (
    checkpoints,
    demo,
    doctor,
    down,
    jobs,
    logs,
    publish,
    rejected,
    report,
    restart,
    retention,
    runs,
    sample,
    settings,
    status,
    tokenizer,
    top,
    topics,
    train,
    trying,
    up,
    verify,
)
from headrace.cli.options import err
from headrace.contract.errors import DependencyError, HeadraceError

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
app.command()(top.top)
app.command()(logs.logs)
app.command()(restart.restart)
app.add_typer(jobs.app)
app.add_typer(topics.app)
app.command()(settings.settings)
app.command()(publish.publish)
app.command("try")(trying.try_)
app.add_typer(checkpoints.app)
app.add_typer(runs.app)
app.command()(train.train)
app.command()(sample.sample)
app.add_typer(tokenizer.app)
app.command()(verify.verify)
app.command()(report.report)
app.command()(retention.retention)
app.add_typer(rejected.app)


def complain(message: str) -> None:
    """Print an error to standard error, word for word."""
    err.print(f"[red bold]headrace:[/] {escape(message)}", highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; an error of ours ends with its message and its exit code, not with a traceback."""
    try:
        app()
    except HeadraceError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        complain(
            f"this command needs {error.name}, which is not installed on this machine."
            " `uv pip sync requirements/demo.txt` brings what every command needs;"
            " publish, verify, topics and settings need requirements/publisher.txt only"
        )
        sys.exit(DependencyError.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        complain(f"{error.filename}: {error.strerror}")  # no room, no permission, a file where a folder should be
        sys.exit(DependencyError.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
