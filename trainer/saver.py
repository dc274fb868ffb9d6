"""Writes the checkpoints of a run: who it is, where its data come from, and what state it is in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headrace.contract.errors import ContractError, SettingsError
from headrace.contract.training import Manifest
from trainer.checkpoint import Checkpoint, Checkpoints
from trainer.state import State


@dataclass(frozen=True)
class Identity:
    """What does not change while an attempt lives. Every manifest keeps it; every rank must have the same."""

    run: str
    attempt: str
    cluster: str
    topics: dict[str, str]
    tokenizer: str
    fingerprint: dict[str, str]
    settings: dict[str, Any]

    def check_continues(self, manifest: Manifest, where: str) -> None:
        """Whether this attempt may go on from a manifest.

        Raises ContractError for other data, SettingsError for a setting that is fixed for a run; both name both sides.
        """
        for name in ("cluster", "tokenizer"):
            if (then := getattr(manifest, name)) != (now := getattr(self, name)):
                raise ContractError(f"{where} was trained with {name} {then}, now it is {now}: its offsets or ids mean"
                                    " other data; set it back, or begin another trainer.run")  # fmt: skip
        for topic, then in manifest.topics.items():
            if (now := self.topics.get(topic, "none")) != then:
                raise ContractError(
                    f"{where} pins topic {topic} with id {then}, here it has {now}: it was deleted and made again,"
                    " or this is a mirror; begin another trainer.run"
                )
        for key, then in manifest.settings.items():
            if (now := self.settings.get(key)) != then:
                raise SettingsError(
                    f"trainer.{key} is {now!r}, {where} was trained with {then!r}, and a run keeps it:"
                    " set it back, or begin another trainer.run"
                )

    def differences(self, manifest: Manifest) -> list[str]:
        """What of the fingerprint is not as it was; with any of it, equal bits are not promised."""
        keys = sorted({*self.fingerprint, *manifest.fingerprint})
        pairs = [(key, manifest.fingerprint.get(key), self.fingerprint.get(key)) for key in keys]
        return [f"{key}: {then} then, {now} now" for key, then, now in pairs if then != now]


class Saver:
    """Saves states of one attempt, each the child of the `last`. `clock` gives epoch seconds."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        identity: Identity,
        tokenizer_file: Path,
        clock: Callable[[], float],
        last: Checkpoint | None = None,
    ) -> None:
        self.checkpoints = checkpoints
        self.identity = identity
        self.tokenizer_file = tokenizer_file
        self.clock = clock
        self.last = last

    def save(self, state: State) -> Checkpoint | None:
        """Write a checkpoint and wait until it is on the disk; None if the last one is of the same step."""
        if self.last is not None and self.last.manifest.step == state.step:
            return None
        path = self.checkpoints.begin(state.step)
        state.write(path)
        shutil.copyfile(self.tokenizer_file, path / "tokenizer.json")
        self.last = self.checkpoints.finish(path, self._facts(state))
        return self.last

    def _facts(self, state: State) -> dict[str, Any]:
        return {
            **asdict(self.identity),
            "seq": state.seq,
            "step": state.step,
            "tokens": state.tokens,
            "fed": state.fed.hex(),
            "parent": self.last.name if self.last else None,
            "weights": state.weights_sha256(),
            "time": int(self.clock() * 1000),
        }
