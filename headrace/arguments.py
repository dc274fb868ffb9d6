"""How a long-running process gets its settings: HEADRACE_* in the environment, --config, --set."""

from __future__ import annotations

import argparse
from pathlib import Path

from headrace.contract.settings import Settings, load


def settings_of(program: str, description: str) -> Settings:
    """The settings that this process was started with; raises SettingsError."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--config", type=Path, help="TOML file with settings")
    parser.add_argument("--set", dest="assign", action="append", default=[], metavar="KEY=VALUE", help="one setting")
    said = parser.parse_args()
    return load(said.config, said.assign).settings
