"""From the sum of gradients to the next weights (docs/step.md, 8 to 10): equal inputs, equal bits on all ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import Parameter

from headrace.contract.settings import Trainer


class Update(NamedTuple):
    """What one step did: the norm before clipping, the rate, and whether the update was skipped (norm not finite)."""

    grad_norm: float
    learning_rate: float
    skipped: bool


def make_optimizer(parameters: Sequence[Parameter], settings: Trainer) -> torch.optim.AdamW:
    """AdamW, foreach and not fused (fused differs on shards); vectors (norms, biases) do not decay."""
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=betas,
        weight_decay=settings.weight_decay,
        foreach=True,
        fused=False,
    )


def learning_rate(settings: Trainer, nominal_tokens: int, tokens_before: int, tokens: int) -> float:
    """The rate of a step: a pure function of the tokens before it and in it.

    It rises from 0 over `warmup_tokens`, is constant or falls with the inverse square root of all tokens, and a step
    shorter than `nominal_tokens` learns in proportion: its gradient is a mean over fewer tokens, and just as long.
    """
    after = tokens_before + tokens
    warm = max(settings.warmup_tokens, 1)
    rate = settings.learning_rate * min(1.0, after / warm)
    if settings.decay == "inverse_sqrt":
        rate *= math.sqrt(min(1.0, warm / after))
    return rate * min(1.0, tokens / nominal_tokens)


def gradient_norm(gradients: Sequence[torch.Tensor]) -> float:
    """sqrt of the sum, in parameter order, of float64 sums of squares of the full gradient."""
    squares = torch.stack([gradient.double().square().sum() for gradient in gradients])
    return math.sqrt(sum(squares.tolist()))


@torch.no_grad()
def apply_update(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[Parameter],
    total: torch.Tensor,
    tokens: int,
    rate: float,
    clip_norm: float,
) -> Update:
    """Normalise the summed flat gradients once by the step's tokens, clip, and move `parameters` in place.

    Where the norm is not finite nothing moves; every rank holds the same bits, so all decide alike.
    """
    flat = total * (1.0 / tokens)
    pieces = torch.split(flat, [parameter.numel() for parameter in parameters])
    gradients = [piece.view_as(parameter) for piece, parameter in zip(pieces, parameters, strict=True)]
    norm = gradient_norm(gradients)
    if not math.isfinite(norm):
        return Update(norm, rate, skipped=True)
    if norm > clip_norm:
        flat *= clip_norm / norm
    for group in optimizer.param_groups:
        group["lr"] = rate
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return Update(norm, rate, skipped=False)
