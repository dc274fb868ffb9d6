"""docker-compose.yml as Docker Compose itself resolves it, with .env alone: no engine, no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from headrace.contract.settings import PREFIX, ROOT, Settings, load

ALL_PROFILES = "cpu,gpu,observe,tools"


def tool(name: str) -> str:
    """A program that requirements/dev.txt brings."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert path, f"{name} is missing: make"
    return path


def compose(*arguments: str, **variables: str) -> str:
    """What `docker compose ARGUMENTS` says in a shell that has only these variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "COMPOSE_"))}
    done = subprocess.run(
        [tool("docker-compose"), "--project-directory", str(ROOT), *arguments],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def project(profiles: str = ALL_PROFILES) -> dict[str, Any]:
    """The whole project."""
    found: dict[str, Any] = json.loads(compose("config", "--format", "json", COMPOSE_PROFILES=profiles))
    return found


def services(profiles: str = ALL_PROFILES) -> dict[str, Any]:
    """Its services by name."""
    found: dict[str, Any] = project(profiles)["services"]
    return found


def settings_of(service: dict[str, Any]) -> Settings:
    """The settings that a process in the container has."""
    return load(environment={**service["environment"], "HEADRACE_CONFIG": os.devnull}).settings


def ours() -> dict[str, Any]:
    """The services that run programs of ours."""
    return {name: service for name, service in services().items() if "build" in service}
