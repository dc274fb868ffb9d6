"""Any causal language model of transformers, and what it must not do: look from one document into another."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from headrace.contract.blocks import Block
from headrace.contract.errors import SettingsError
from headrace.contract.settings import SHIPPED_MODELS
from trainer.batch import Leaf, make_leaf

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHIPPED = Path(__file__).parent / "models"
VOCABULARY_MULTIPLE = 64
LEAK = 1e-3
"""Largest difference of logits, as a part of the largest logit, that rounding explains; a leak shows 0.1 and more."""


def read_tokenizer(file: Path) -> Tokenizer:
    """A tokenizer.json. Raises SettingsError if it is not there, or none."""
    if not file.exists():
        raise SettingsError(f"tokenizer {file} does not exist: set tokenizer.path to a tokenizer.json")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise SettingsError(f"tokenizer.path: {file} is no tokenizer.json: {error}") from error


def vocabulary_size(tokenizer_file: Path) -> int:
    """Ids that the tokenizer can give; raises SettingsError as `read_tokenizer` does."""
    return max(read_tokenizer(tokenizer_file).get_vocab().values()) + 1


def new_model(name: str, vocabulary: int, seed: int) -> PreTrainedModel:
    """A model with its first weights, on the CPU, a function of the seed alone: `small`, `tiny`, or a directory.

    A directory without weights, like the shipped ones, gets a vocabulary that fits the tokenizer; weights keep theirs.
    Raises SettingsError where there is no such directory, or no causal language model in it.
    """
    directory = SHIPPED / name if name in SHIPPED_MODELS else Path(name).expanduser()
    if not (directory / "config.json").exists():
        raise SettingsError(f"trainer.model = {name!r}: neither small nor tiny, nor a directory with a config.json")
    seed_everything(seed)
    try:
        if any(directory.glob("*.safetensors")):
            return load_model(directory)
        config = AutoConfig.from_pretrained(directory, local_files_only=True)
        config.vocab_size = -(-vocabulary // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except (ValueError, OSError, SafetensorError) as error:
        raise SettingsError(f"trainer.model = {name!r} is no causal language model of transformers: {error}") from error


def load_model(directory: Path) -> PreTrainedModel:
    """The model of a checkpoint, on the CPU, in float32."""
    transformers_logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(directory, local_files_only=True, dtype=torch.float32)


def check_fits(config: Any, name: str, vocabulary: int, block_tokens: int) -> None:
    """Whether a model knows every token and every position; raises SettingsError. `name` is trainer.model."""
    if config.vocab_size < vocabulary:
        raise SettingsError(
            f"trainer.model = {name!r} knows {config.vocab_size} tokens, the tokenizer gives {vocabulary}:"
            " set tokenizer.path to the tokenizer that the model was made with"
        )
    longest = getattr(config, "max_position_embeddings", None)
    if longest is not None and longest < block_tokens:
        raise SettingsError(
            f"trainer.model = {name!r} takes {longest} positions, tokenize.block_tokens is {block_tokens}:"
            " choose another model or shorter blocks"
        )


def seed_everything(seed: int) -> None:
    """Set every generator that a model may draw from, on all devices."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def token_losses(model: PreTrainedModel, leaf: Leaf, dtype: torch.dtype) -> torch.Tensor:
    """Cross-entropy of every target in nats, fp32 [rows * columns], 0 where there is padding.

    No attention_mask and no cache: with either, transformers does not see in the positions where a document ends.
    """
    targets = leaf.targets.to(model.device).view(-1)
    logits = _logits(model, leaf, dtype)
    return torch.nn.functional.cross_entropy(logits.view(targets.numel(), -1), targets, reduction="none")


def _logits(model: PreTrainedModel, leaf: Leaf, dtype: torch.dtype) -> torch.Tensor:
    """fp32 [rows, columns, vocabulary]."""
    with _autocast(model.device, dtype):
        output = model(
            input_ids=leaf.inputs.to(model.device), position_ids=leaf.positions.to(model.device), use_cache=False
        )
    logits: torch.Tensor = output.logits
    return logits.float()


def _autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


@torch.no_grad()
def check_no_leak(model: PreTrainedModel) -> None:
    """Two documents packed into one row must give the logits that each gives alone.

    Raises SettingsError for a model that looks across documents; nothing else would ever tell.
    """
    ids = np.arange(1, 1 + min(40, model.config.vocab_size - 1), dtype=np.uint32)
    first, second = ids[: len(ids) // 3], ids[len(ids) // 3 :]
    model.eval()
    packed = _logits(model, make_leaf([_block([first, second])]), torch.float32)[0]
    alone = [_logits(model, make_leaf([_block([piece])]), torch.float32)[0, : len(piece)] for piece in (first, second)]
    model.train()
    expected = torch.cat(alone)
    error = (packed[: len(expected)] - expected).abs().max() / expected.abs().max()
    if not error < LEAK:
        raise SettingsError(
            f"the model {model.config.model_type} sees one document while it reads another (logits differ by"
            f" {float(error):.1%}): it does not tell documents apart by position_ids; choose another trainer.model"
        )


def _block(documents: Iterable[np.ndarray[Any, np.dtype[np.uint32]]]) -> Block:
    """A block of whole documents, without a place in any topic."""
    documents = list(documents)
    lengths = [len(document) for document in documents]
    zeros = np.zeros(len(documents), np.int32)
    return Block(
        tokens=np.concatenate(documents),
        doc_raw=np.zeros((len(documents), 2), np.int64),
        doc_start=np.cumsum([0, *lengths[:-1]]).astype(np.int32),
        doc_from=zeros,
        doc_tokens=np.array(lengths, np.int32),
        doc_before=zeros,
        doc_source=zeros,
        sources=("probe",),
        tokenizer="",
        window=0,
        shard=0,
        number=0,
    )
