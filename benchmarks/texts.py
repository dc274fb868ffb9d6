"""Small texts that look real and are hardly ever equal: two to four sentences of film reviews, drawn at random."""

from __future__ import annotations

import random
from collections.abc import Iterator

from headrace.contract.settings import Settings
from headrace.local.corpora import SENTENCES, reviews


def texts(settings: Settings, seed: int = 1) -> Iterator[str]:
    """Without end, the same ones for the same seed: about 350 characters, 130 tokens with the tokenizer shipped."""
    sentences = [review.text for review in reviews(settings.cache_dir) if review.source == SENTENCES]
    dice = random.Random(seed)
    while True:
        yield " ".join(dice.choices(sentences, k=dice.randint(2, 4)))
