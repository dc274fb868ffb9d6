"""How an attempt begins: rank 0 finds the newest checkpoint or makes the first, and every rank makes sure it fits."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from headrace.beside import origin_of
from headrace.checkpoints import Checkpoint, read, verify
from headrace.contract.digests import file_sha256
from headrace.contract.errors import ContractError
from headrace.contract.settings import Settings
from trainer.checkpoint import Checkpoints
from trainer.fingerprint import fingerprint, fixed_settings
from trainer.group import Group
from trainer.identity import Identity
from trainer.model import check_fits, check_no_leak, new_model, vocabulary_size
from trainer.saver import Saver
from trainer.state import State

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger("headrace")


@dataclass(frozen=True)
class Source:
    """Where the data of a run come from: the cluster's id and the ids of its pinned topics."""

    cluster: str
    topics: dict[str, str]


@dataclass(frozen=True)
class Attempt:
    """What rank 0 decides for all: the attempt's name, its data, the checkpoint to go on from."""

    name: str
    source: Source
    checkpoint: str


def attempt_name(clock: Callable[[], float]) -> str:
    """Unique, and sorting by the time at which attempts began."""
    return f"{int(clock() * 1000):013d}-{secrets.token_hex(4)}"


def begin(
    settings: Settings, checkpoints: Checkpoints, source: Source, device: torch.device, clock: Callable[[], float]
) -> Attempt:
    """On rank 0: the newest checkpoint that holds; a run that has none gets its first weights, on the CPU.

    They are new, or those of trainer.begin_from with all that goes with them. `device` is what will train them, as
    their manifest says. Raises DependencyError when they cannot be written, SettingsError where trainer.begin_from is
    not there.
    """
    name = attempt_name(clock)
    found = checkpoints.newest()
    if found is None:
        origin = origin_of(settings) if settings.trainer.begin_from else None
        state = first_state(settings, origin)
        check_model(settings, state.model)
        identity = identify(settings, name, source, state.model, device)
        parent = None
        if origin:
            parent = f"{origin.manifest.run}/{origin.name}"
            identity.check_same_data(origin.manifest, f"checkpoint {parent}")
        saver = Saver(checkpoints, identity, settings.tokenizer_file, clock, origin=parent)
        saver.save(state)
        found = saver.last
        assert found is not None, "a new saver has saved nothing before"
        log.info("began a run", extra={"run": settings.trainer.run, "path": str(found.path)})
    else:
        checkpoints.prune(found)  # what is torn, before this attempt passes it and it looks like one that held
    return Attempt(name, source, found.name)


def first_state(settings: Settings, origin: Checkpoint | None) -> State:
    """What a run begins with, on the CPU. Raises RecordError for an origin whose files are not as its manifest says."""
    if origin is not None:
        verify(origin)
        return State.load(origin.path, origin.manifest, settings.trainer, torch.device("cpu"))
    vocabulary = vocabulary_size(settings.tokenizer_file)
    return State.first(new_model(settings.trainer.model, vocabulary, settings.trainer.seed), settings.trainer)


def resume(
    settings: Settings, group: Group, checkpoints: Checkpoints, attempt: Attempt
) -> tuple[Identity, Checkpoint, State]:
    """On every rank: load what rank 0 decided, and check that it, this rank and all ranks fit each other.

    Raises ContractError or SettingsError naming both sides. A changed fingerprint only warns, unless
    trainer.require_bitwise.
    """
    checkpoint = read(checkpoints.directory / attempt.checkpoint)
    state = State.load(checkpoint.path, checkpoint.manifest, settings.trainer, group.device)
    check_model(settings, state.model)
    identity = identify(settings, attempt.name, attempt.source, state.model, group.device)
    identity.check_continues(checkpoint.manifest, f"checkpoint {checkpoint.name} of run {identity.run}")
    if (weights := state.weights_sha256()) != checkpoint.manifest.weights:
        raise ContractError(f"weights of {checkpoint.path} are {weights}, manifest says {checkpoint.manifest.weights}")
    _check_fingerprint(settings, identity, checkpoint, warn=group.leads)
    for rank, other in enumerate(group.gather(identity)):
        if other != identity:
            raise ContractError(f"rank {rank} is {other}, rank {group.rank} is {identity}: all must be alike")
    return identity, checkpoint, state


def check_model(settings: Settings, model: PreTrainedModel) -> None:
    """Whether a model can learn from these blocks; raises SettingsError."""
    vocabulary = vocabulary_size(settings.tokenizer_file)
    check_fits(model.config, settings.trainer.model, vocabulary, settings.tokenize.block_tokens)
    check_no_leak(model)


def identify(
    settings: Settings, attempt: str, source: Source, model: PreTrainedModel, device: torch.device
) -> Identity:
    """Who this rank is; equal on all ranks of an attempt."""
    return Identity(
        run=settings.trainer.run,
        attempt=attempt,
        cluster=source.cluster,
        topics=source.topics,
        tokenizer=file_sha256(str(settings.tokenizer_file)),
        fingerprint=fingerprint(model, settings, device),
        settings=fixed_settings(settings),
    )


def _check_fingerprint(settings: Settings, identity: Identity, checkpoint: Checkpoint, warn: bool) -> None:
    differences = "; ".join(identity.differences(checkpoint.manifest))
    if differences and settings.trainer.require_bitwise:
        raise ContractError(
            f"{checkpoint.name} was trained elsewhere ({differences}), so equal bits are not given:"
            " go back, or set trainer.require_bitwise=false"
        )
    if differences and warn:
        log.warning("trained elsewhere before: equal bits are not promised", extra={"differences": differences})
