"""Quality rules on normalised text: Gopher's (Rae et al. 2021, appendix A.1.1), and one of C4 (Raffel et al. 2020).

Thresholds and their order are those of datatrove's filters; words are what `str.split` gives, so that a comma is no
word of its own. The stop-word rule is left out: it holds for English only.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable

from headrace.contract.errors import Rejected

BULLETS = ("•", "-")
ELLIPSES = ("...", "…")
LINES = re.compile("\n+")


def check(text: str, min_words: int, max_words: int) -> None:
    """Raise Rejected with the first rule that `text` (normalised, not empty) breaks; detail is the measured value."""
    words, lines = text.split(), LINES.split(text)
    spoken = [word for word in words if not _is_symbol(word)]
    _at_least("gopher_short_doc", len(spoken), min_words)
    _at_most("gopher_long_doc", len(spoken), max_words)
    if spoken:
        mean = sum(map(len, spoken)) / len(spoken)
        _at_least("gopher_below_avg_threshold", mean, 3)
        _at_most("gopher_above_avg_threshold", mean, 10)
    _at_most("gopher_too_many_hashes", text.count("#") / len(words), 0.1)
    _at_most("gopher_too_many_ellipsis", sum(map(text.count, ELLIPSES)) / len(words), 0.1)
    _at_most("gopher_too_many_bullets", _share(line.lstrip().startswith(BULLETS) for line in lines), 0.9)
    _at_most("gopher_too_many_end_ellipsis", _share(line.rstrip().endswith(ELLIPSES) for line in lines), 0.3)
    _at_least("gopher_below_alpha_threshold", _share(any(map(str.isalpha, word)) for word in words), 0.8)
    _at_most("dup_line_chars", repeated_characters(lines) / len(text), 0.2)
    if "lorem ipsum" in text.lower():
        raise Rejected("lorem_ipsum")


def repeated_characters(lines: list[str]) -> int:
    """Characters of all lines that stood there before; the first of equal ones does not count."""
    return sum(map(len, lines)) - sum(map(len, set(lines)))


def _is_symbol(word: str) -> bool:
    """Whether a word has no character but punctuation."""
    return not word.isalnum() and all(
        char in string.punctuation or unicodedata.category(char).startswith("P") for char in word
    )


def _share(answers: Iterable[bool]) -> float:
    """Which part of the answers is yes; there is at least one."""
    given = list(answers)
    return sum(given) / len(given)


def _at_least(reason: str, value: float, limit: float) -> None:
    if value < limit:
        raise Rejected(reason, f"{value:.4g}, at least {limit:g}")


def _at_most(reason: str, value: float, limit: float) -> None:
    if value > limit:
        raise Rejected(reason, f"{value:.4g}, at most {limit:g}")
