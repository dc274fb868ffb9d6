"""A run beside the main one: on the same plan, with other settings of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.checkpoints import Checkpoint, finished, is_locked, name_of, pruned
from headrace.contract.errors import DependencyError, SettingsError
from headrace.contract.plan import Step, decode_plan
from headrace.contract.settings import Settings, Trainer, flatten, load
from headrace.contract.topics import BLOCKS, PLAN
from headrace.contract.training import Manifest
from headrace.kafka import Cluster, coordinate

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
    _check_origin(asked, manifests_of(base, run))
    own = {f"trainer.{key}": value for key, value in kept.items() if key in Trainer.model_fields} | {
        key: value for key, value in said.items() if key.startswith("trainer.")
    }
    own["trainer.run"] = run
    words = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in own.items()]
    return load(environment=base.environment(), assignments=words).settings.absolute


def kept_settings(base: Settings, run: str) -> dict[str, Any]:
    """What the manifests of a run keep; empty for one that has not begun."""
    there = manifests_of(base, run)
    return there[-1].settings if there else {}


def manifests_of(base: Settings, run: str) -> list[Manifest]:
    """All of a run, oldest first, also of checkpoints whose weights were pruned."""
    folder = base.checkpoint_dir / run
    found = [*pruned(folder), *(checkpoint.manifest for checkpoint in finished(folder))]
    return sorted(found, key=lambda manifest: manifest.step)


def check_can_begin(cluster: Cluster, settings: Settings) -> None:
    """Whether the run of the settings can be trained on from where it is, or from the beginning of the plan.

    Raises SettingsError where its weights or the blocks that it needs first were deleted, naming which.
    """
    run, folder = settings.trainer.run, settings.checkpoint_dir / settings.trainer.run
    newest = [checkpoint.manifest for checkpoint in finished(folder)][-1:]
    begun = bool(newest) or any(pruned(folder))
    if not newest and begun:
        raise SettingsError(f"run {run} was ended and its weights were deleted: begin another run, with another name")
    if not newest and settings.trainer.begin_from:
        newest = [origin_of(settings).manifest]
    seq, step = (newest[0].seq, newest[0].step) if newest else (1, 0)
    first, starts = cluster.first_offsets(BLOCKS), _positions(cluster, seq - 1)
    for partition, there in sorted(first.items()):
        if there > (needed := starts.get(partition, 0)):
            raise SettingsError(
                f"run {run} has to be trained from step {step:,} on, and the blocks of its first steps were deleted:"
                f" {BLOCKS}[{partition}] begins at {there:,}, needed from {needed:,} on. `headrace retention` deletes"
                " what no run needs. A new run may begin from a newer checkpoint of another one: --from RUN:STEP, see"
                " `headrace checkpoints list --run RUN`"
            )


def origin_of(settings: Settings) -> Checkpoint:
    """The checkpoint that trainer.begin_from names; raises SettingsError where it is not there or does not fit."""
    run, _, step = settings.trainer.begin_from.partition(":")
    there = {checkpoint.manifest.step: checkpoint for checkpoint in finished(settings.checkpoint_dir / run)}
    if (found := there.get(int(step))) is None:
        known = ", ".join(map(str, there)) or "none"
        raise SettingsError(f"run {run} has no checkpoint of step {step} with weights to begin from: there are {known}")
    if (model := found.manifest.settings.get("model")) != settings.trainer.model:
        raise SettingsError(
            f"trainer.model is {settings.trainer.model!r}, checkpoint {step} of run {run} is of {model!r}: a run that"
            f" begins from it has its model: --set trainer.model={model}"
        )
    return found


def _positions(cluster: Cluster, seq: int) -> Mapping[int, int]:
    """Where each partition of blocks goes on behind record `seq` of the plan. Every record stands at seq or later."""
    for message in cluster.read(PLAN, 0, seq, cluster.end_offsets(PLAN)[0]) if seq else ():
        record = decode_plan(message.value(), coordinate(message))
        if isinstance(record, Step) and record.seq == seq:
            return record.next
    return {}


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


def _check_origin(asked: Settings, there: Sequence[Manifest]) -> None:
    """A run begins once."""
    if there and (said := asked.trainer.begin_from):
        run, _, step = said.partition(":")
        if there[0].parent != (parent := f"{run}/{name_of(int(step))}"):
            began = there[0].parent or "step 0"
            raise SettingsError(
                f"--from {said}: run {there[0].run} began from {began}, not from {parent}: leave --from out, or begin"
                " another run under another name"
            )


def _check_kept(run: str, asked: Settings, said: dict[str, str], kept: dict[str, Any]) -> None:
    for key, then in kept.items():
        if f"trainer.{key}" in said and (now := getattr(asked.absolute.trainer, key)) != then:
            raise SettingsError(
                f"--set trainer.{key}={now}: run {run} was begun with {then!r}, and a run keeps it: leave it out, or"
                " begin another run under another name"
            )
