"""Who an attempt is: what every manifest keeps of it, and whether it may go on from one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.contract.errors import ContractError, SettingsError, another_tokenizer
from headrace.contract.training import Manifest


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
        self.check_same_data(manifest, where)
        for key, then in manifest.settings.items():
            if (now := self.settings.get(key)) != then:
                raise SettingsError(
                    f"trainer.{key} is {now!r}, {where} was trained with {then!r}, and a run keeps it:"
                    " set it back, or begin another trainer.run"
                )

    def check_same_data(self, manifest: Manifest, where: str) -> None:
        """Whether a manifest speaks of the same data; raises ContractError naming both sides."""
        if manifest.cluster != self.cluster:
            raise ContractError(
                f"{where} was trained with cluster {manifest.cluster}, now it is {self.cluster}: its offsets mean other"
                " data; set it back, or begin another trainer.run"
            )
        if manifest.tokenizer != self.tokenizer:
            raise another_tokenizer(f"{where} was", manifest.tokenizer, self.tokenizer)
        for topic, pinned in manifest.topics.items():
            if (here := self.topics.get(topic, "none")) != pinned:
                raise ContractError(
                    f"{where} pins topic {topic} with id {pinned}, here it has {here}: it was deleted and made again,"
                    " or this is a mirror; begin another trainer.run"
                )

    def differences(self, manifest: Manifest) -> list[str]:
        """What of the fingerprint is not as it was; with any of it, equal bits are not promised."""
        keys = sorted({*self.fingerprint, *manifest.fingerprint})
        pairs = [(key, manifest.fingerprint.get(key), self.fingerprint.get(key)) for key in keys]
        return [f"{key}: {then} then, {now} now" for key, then, now in pairs if then != now]
