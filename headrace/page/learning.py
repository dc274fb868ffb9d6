"""Whether a model learned more than how frequent words are, in nats a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def unigram_entropy(frequencies: NDArray[np.int64]) -> float:
    """Entropy in nats of a token drawn by these counts: the loss of the best model that knows no context."""
    shares = frequencies[frequencies > 0] / frequencies.sum()
    return float(-(shares * np.log(shares)).sum())


def last_tenth_loss(tokens: Sequence[float] | NDArray[Any], losses: Sequence[float] | NDArray[Any]) -> float:
    """Mean loss over the last tenth of the tokens, of steps in order; of a step half in it, half the tokens count."""
    sizes = np.asarray(tokens, np.float64)
    weights = np.clip(sizes.cumsum() - sizes.sum() * 0.9, 0, sizes)
    return float((weights * losses).sum() / weights.sum())
