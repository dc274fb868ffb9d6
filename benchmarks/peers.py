"""Peers that do not live beside Flink: an environment of their own, made once, and a script that runs in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from headrace.contract.digests import file_sha256
from headrace.contract.errors import DependencyError
from headrace.contract.settings import ROOT, Settings

LOCK = ROOT / "requirements/oracle.txt"


def environment(settings: Settings) -> Path:
    """The Python of the environment that requirements/oracle.txt locks; the first call downloads it. Blocks.

    Raises DependencyError, with what uv said, where it cannot be made.
    """
    home = settings.cache_dir / "oracle" / file_sha256(str(LOCK))[:16]
    if not (home / "ready").exists():
        uv = [sys.executable, "-m", "uv"]
        python = f"{home}/bin/python"
        _run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)])
        _run([*uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, str(LOCK)])
        (home / "ready").touch()
    return home / "bin/python"


def answers(python: Path, script: str, questions: Sequence[object], *arguments: str) -> Iterator[object]:
    """What `benchmarks/SCRIPT ARGUMENTS` answers to each question, JSON lines both."""
    asked = "".join(json.dumps(question) + "\n" for question in questions)
    command = [str(python), str(Path(__file__).with_name(script)), *arguments]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DependencyError(f"{script} failed:\n{done.stderr[-2000:]}")
    return map(json.loads, done.stdout.splitlines())


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DependencyError(f"`{' '.join(command)}` failed; are you offline? It said:\n{done.stderr.strip()}")
