"""Pairs of texts that are nearly the same, and that a stream can get wrong: the bands they share do not adjoin.

Between two shared bands the two may overtake each other, so that each is the second of them somewhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

from flink_jobs.text.near import band_keys

WORDS = 40
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def vocabulary_of(dice: random.Random) -> list[str]:
    """Words, all of small letters; five in a row are hardly ever drawn twice."""
    return ["".join(dice.choices(LETTERS, k=dice.randint(3, 8))) for _ in range(5000)]


def pairs(count: int, seed: int = 1) -> Iterator[tuple[str, str]]:
    """So many pairs; no text is like one of another pair."""
    dice = random.Random(seed)
    vocabulary = vocabulary_of(dice)
    while count:
        words = dice.choices(vocabulary, k=WORDS)
        place = dice.randrange(5, WORDS - 5)
        other = [*words[:place], dice.choice(vocabulary), *words[place + 1 :]]
        pair = " ".join(words), " ".join(other)
        if part_again(shared_bands(*pair)):
            yield pair
            count -= 1


def shared_bands(one: str, other: str) -> list[int]:
    """The bands in which two texts have the same key."""
    keys = zip(band_keys(one, (0, 0)), band_keys(other, (0, 1)), strict=True)
    return [band for band, (a, b) in enumerate(keys) if a == b]


def part_again(bands: list[int]) -> bool:
    """Whether there are two at least, none beside another."""
    return len(bands) > 1 and all(after - before > 1 for before, after in pairwise(bands))
