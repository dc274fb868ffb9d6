"""`headrace …` inside the test's own process: many commands in the time in which one would start."""

from __future__ import annotations

import json
import os
from typing import Any

from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.contract.errors import HeadraceError
from headrace.contract.settings import Settings


def headrace(settings: Settings, *words: str) -> tuple[int, str, str]:
    """Exit code, standard output, and messages, as the installed program would give them."""
    environment = {**settings.environment(), "HEADRACE_CONFIG": os.devnull}
    result = CliRunner().invoke(app, list(words), env=environment)
    if isinstance(result.exception, HeadraceError):
        return result.exception.exit_code, result.stdout, f"{result.stderr}{result.exception}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def headrace_json(settings: Settings, *words: str) -> tuple[int, Any, str]:
    """The same with what it printed as JSON, None if it did not."""
    code, printed, message = headrace(settings, *words)
    return code, json.loads(printed) if printed[:1] in ("{", "[") else None, message
