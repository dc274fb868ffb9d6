"""Gopher's quality rules: length, words, symbols, lists, letters, stop words."""

from __future__ import annotations

from collections.abc import Iterable

from flink_jobs.text.draft import Draft
from flink_jobs.text.rules.limits import at_least, at_most
from flink_jobs.text.rules.stop_words import STOP_WORDS

BULLETS = ("•", "-")
ELLIPSES = ("...", "…")


def check_length(draft: Draft, min_words: int, max_words: int) -> None:
    """Words that are more than punctuation: `min_words` to `max_words`."""
    spoken = len(draft.words) - len(draft.symbols)
    at_least(min_words, spoken, "gopher_short_doc", "words")
    at_most(max_words, spoken, "gopher_long_doc", "words")


def check_prose(draft: Draft) -> None:
    """Words as long as words are, mostly with letters; few hashes and ellipses; lines that are no list."""
    text, words, lines = draft.text, draft.words, draft.lines
    if spoken := len(words) - len(draft.symbols):
        mean = (sum(map(len, words)) - sum(map(len, draft.symbols))) / spoken
        at_least(3, mean, "gopher_below_avg_threshold", "mean word length")
        at_most(10, mean, "gopher_above_avg_threshold", "mean word length")
    at_most(0.1, text.count("#") / len(words), "gopher_too_many_hashes", "# per word")
    at_most(0.1, sum(map(text.count, ELLIPSES)) / len(words), "gopher_too_many_ellipsis", "ellipses per word")
    bullets = sum(line.lstrip().startswith(BULLETS) for line in lines) / len(lines)
    at_most(0.9, bullets, "gopher_too_many_bullets", "lines with a bullet")
    ellipses = sum(line.rstrip().endswith(ELLIPSES) for line in lines) / len(lines)
    at_most(0.3, ellipses, "gopher_too_many_end_ellipsis", "lines that end in an ellipsis")
    letters = (len(words) - _without_letter(words)) / len(words)
    at_least(0.8, letters, "gopher_below_alpha_threshold", "words with a letter")


def check_stop_words(draft: Draft, least: int) -> None:
    """Different stop words of its language, written small; a language without a list is let through."""
    if stop_words := STOP_WORDS.get(draft.language or "en"):
        at_least(least, len(stop_words.intersection(draft.words)), "gopher_enough_stop_words", "stop words")


def _without_letter(words: Iterable[str]) -> int:
    """How many words hold no letter; where there is one it is mostly the first character."""
    suspects = [word for word in words if not word[0].isalpha()]
    return sum(not any(map(str.isalpha, word)) for word in suspects)
