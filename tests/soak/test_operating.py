"""Every command of docs/operating.md, in its order, as an operator types them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from headrace.contract.settings import ROOT, Ports
from headrace.local import process

PAGE = ROOT / "docs/operating.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^\$ (?P<command>.*?)\s*(?:# exit (?P<code>\d+).*)?$")


class Command(NamedTuple):
    """A line of the page."""

    line: str
    exit_code: int


def commands() -> list[Command]:
    """All of them, as they stand."""
    lines = [line for block in BLOCK.findall(PAGE.read_text()) for line in block.splitlines()]
    found = [LINE.match(line) for line in lines]
    assert all(found), "a line of a console block begins with $"
    return [Command(line["command"], int(line["code"] or 0)) for line in found if line]


def corpus(folder: Path) -> None:
    """Some documents to accept, and some that are too short."""
    folder.mkdir()
    texts = [f"This is the document with number {number} of a small archive of text." for number in range(200)]
    texts += [f"No. {number}" for number in range(5)]
    (folder / "archive.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))


def environment(tmp_path: Path) -> dict[str, str]:
    """Ports and data of its own, a tiny model, and `headrace` on the path."""
    settings = {
        "CONFIG": os.devnull,
        "LOCAL__DATA_DIR": str(tmp_path / "data"),
        "TRAINER__MODEL": "tiny",
        "TOKENIZE__BLOCK_TOKENS": "64",
        "TOKENIZE__WINDOW_S": "1",
        **{f"LOCAL__PORTS__{name.upper()}": "0" for name in Ports.model_fields},
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **{f"HEADRACE_{k}": v for k, v in settings.items()}}


@pytest.mark.timeout(1800)
def test_every_command_of_the_page_does_what_it_says(jars_there: None, tmp_path: Path) -> None:
    corpus(tmp_path / "corpus")
    try:
        for command in commands():
            done = subprocess.run(
                command.line,
                shell=True,
                cwd=tmp_path,
                env=environment(tmp_path),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=400,
                check=False,
            )
            print(f"$ {command.line}\n{done.stdout}{done.stderr}(exit {done.returncode})")
            assert done.returncode == command.exit_code, command.line
    finally:
        for folder in ("data", "data.moved"):
            subprocess.run(
                ["headrace", "down", "--set", f"local.data_dir={tmp_path / folder}"],
                env=environment(tmp_path),
                capture_output=True,
                timeout=300,
                check=False,
            )
            assert process.marked(tmp_path / folder) == []
