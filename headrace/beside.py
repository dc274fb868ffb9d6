"""A run beside the main one: on the same plan, with other settings of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from headrace.checkpoints import finished, is_locked, pruned
from headrace.contract.errors import DependencyError, SettingsError
from headrace.contract.settings import Settings, Trainer, flatten, load
from headrace.contract.training import Manifest

SHARED = ("trainer.checkpoint_dir", "trainer.run")
"""Settings of the trainer that all runs on one plan share, or that a run's name stands for."""


def settings_beside(base: Settings, run: str, assignments: Sequence[str]) -> Settings:
    """The settings under which `run` trains on the plan of `base`.

    They are those of `base`, but for what its own manifests keep, and what `assignments` (`key=value`) say on top of
    both. Raises SettingsError for an assignment that is not the run's to make, or contradicts what the run keeps.
    """
    said = {key.strip(): value for key, _, value in (one.partition("=") for one in assignments)}
    asked = load(environment=base.environment(), assignments=assignments).settings
    _check_shared(base, asked, said)
    kept = kept_settings(base, run)
    _check_kept(run, asked, said, kept)
    own = {f"trainer.{key}": value for key, value in kept.items() if key in Trainer.model_fields} | {
        key: value for key, value in said.items() if key.startswith("trainer.")
    }
    own["trainer.run"] = run
    words = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in own.items()]
    return load(environment=base.environment(), assignments=words).settings.absolute


def kept_settings(base: Settings, run: str) -> dict[str, Any]:
    """What the manifests of a run keep; empty for one that has not begun."""
    newest = newest_manifest(base, run)
    return newest.settings if newest else {}


def newest_manifest(base: Settings, run: str) -> Manifest | None:
    """Of the checkpoint that a run goes on from, or went on from before its weights were pruned."""
    folder = base.checkpoint_dir / run
    found = [*pruned(folder), *(checkpoint.manifest for checkpoint in finished(folder))]
    return max(found, key=lambda manifest: manifest.step, default=None)


def check_free(settings: Settings) -> None:
    """Raise DependencyError while a process on this machine trains the run of the settings."""
    if is_locked(settings.checkpoint_dir / (run := settings.trainer.run)):
        raise DependencyError(f"run {run} is being trained now: see `headrace runs list`; end that first")


def _check_shared(base: Settings, asked: Settings, said: dict[str, str]) -> None:
    """All runs on a plan share what it was made with."""
    here, there = dict(flatten(base.model_dump())), dict(flatten(asked.model_dump()))
    for key in said:
        shared = key in SHARED or not key.startswith(("trainer.", "local."))
        if shared and here[key] != there[key]:
            raise SettingsError(
                f"--set {key}={said[key]}: it is {here[key]!r} for all runs on this plan. A run may differ in trainer.*"
                " alone, and its name is the argument: leave it out"
            )


def _check_kept(run: str, asked: Settings, said: dict[str, str], kept: dict[str, Any]) -> None:
    for key, then in kept.items():
        if f"trainer.{key}" in said and (now := getattr(asked.absolute.trainer, key)) != then:
            raise SettingsError(
                f"--set trainer.{key}={now}: run {run} was begun with {then!r}, and a run keeps it: leave it out, or"
                " begin another run under another name"
            )
