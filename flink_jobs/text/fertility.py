"""How well a tokenizer suits a text: by language, and which scripts it has never learned."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from flink_jobs.text.language import identify

SURE = 0.65
UNKNOWN = "unknown"
WORD = re.compile(r"\w+")

Tokens = Callable[[str], int]
"""How many tokens a text takes."""


def measure(texts: Iterable[str], tokens: Tokens) -> tuple[Mapping[str, Counter[str]], Mapping[str, Counter[str]]]:
    """documents, words, characters and tokens of each language; and words, bytes and tokens of each script.

    A word counts for the script of its first character.
    """
    languages: dict[str, Counter[str]] = {}
    words: Counter[str] = Counter()
    for text in texts:
        language, score = identify(text) if text else (UNKNOWN, 1.0)
        counts = languages.setdefault(language if score >= SURE else UNKNOWN, Counter())
        counts.update(documents=1, words=len(text.split()), characters=len(text), tokens=tokens(text))
        words.update(WORD.findall(text))
    scripts: dict[str, Counter[str]] = {}
    for word, times in words.items():
        counts = scripts.setdefault(script(word[0]), Counter())
        counts.update(words=times, bytes=times * len(word.encode()), tokens=times * tokens(f" {word}"))
    return languages, scripts


def is_unknown(counts: Mapping[str, int]) -> bool:
    """Whether a script takes a token for nearly every byte: the tokenizer has learned nothing of it."""
    return counts["tokens"] > 0.9 * counts["bytes"]


@lru_cache(4096)
def script(char: str) -> str:
    """LATIN, CYRILLIC, CJK, …: the first word of the character's name."""
    return unicodedata.name(char, UNKNOWN.upper()).split(" ")[0].partition("-")[0]
