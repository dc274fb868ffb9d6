"""Texts that look real and are hardly ever equal: sentences of film reviews, drawn at random."""

from __future__ import annotations

import random
from collections.abc import Iterator

from headrace.contract.settings import Settings
from headrace.local.corpora import SENTENCES, reviews

MESSAGE, PAGE = (2, 4), (10, 40)
"""Sentences of a small text (about 350 characters, 130 tokens with the tokenizer shipped), and of a page (2,900)."""


def texts(settings: Settings, seed: int = 1, sentences: tuple[int, int] = MESSAGE) -> Iterator[str]:
    """Without end, the same ones for the same seed."""
    known = [review.text for review in reviews(settings.cache_dir) if review.source == SENTENCES]
    dice = random.Random(seed)
    while True:
        yield " ".join(dice.choices(known, k=dice.randint(*sentences)))
