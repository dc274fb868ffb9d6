"""Gopher's repetition rules: how much of a text is in lines, paragraphs and word n-grams that stand there twice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import accumulate

from flink_jobs.text.draft import Draft
from flink_jobs.text.rules.limits import at_most

REASON = "gopher_repetition"
PARAGRAPHS = re.compile("\n{2,}")
LINES = re.compile("\n+")
TOP = {2: 0.2, 3: 0.18, 4: 0.16}
"""Share of the characters that the most frequent n-gram may take, by n."""
TWICE = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1}
"""Share of the characters that may be in n-grams which stood there before, by n."""
LEAST_TWICE = min(TWICE)

_limit = partial(at_most, reason=REASON)


def check_repeated_lines(draft: Draft) -> None:
    """A fifth of the characters may be in lines that stood there before: the one rule that suits a short message."""
    if "\n" in draft.text:
        _, characters = repeated(LINES.split(draft.text))
        _limit(0.2, characters / len(draft.text), what="dup_line_char_frac")


def check_repetition(draft: Draft) -> None:
    """All of Gopher's limits, by datatrove's names, in its order."""
    text, words = draft.text, draft.words
    for parts, name in ((PARAGRAPHS, "para"), (LINES, "line")) if "\n" in text else ():
        pieces = parts.split(text)
        count, characters = repeated(pieces)
        _limit(0.3, count / len(pieces), what=f"dup_{name}_frac")
        _limit(0.2, characters / len(text), what=f"dup_{name}_char_frac")
    _check_top(words, len(text))
    _check_twice(words, len(text))


def repeated(pieces: Sequence[str]) -> tuple[int, int]:
    """How many pieces stood there before, and their characters; the first of equal ones does not count."""
    if len(once := set(pieces)) == len(pieces):
        return 0, 0
    return len(pieces) - len(once), sum(map(len, pieces)) - sum(map(len, once))


def _check_top(words: Sequence[str], size: int) -> None:
    """The most frequent n-gram; of several, the first.

    No n-gram is more frequent than the most frequent of a smaller n, nor longer than n of the longest words: mostly
    that says enough, and none but pairs are counted.
    """
    most, longest = len(words), max(map(len, words))
    for n, share in TOP.items():
        if most * (n * longest + n - 1) <= share * size or len(words) < n:
            continue
        grams = Counter(zip(*(words[start:] for start in range(n)), strict=False))
        top = max(grams, key=grams.__getitem__)
        most = grams[top]
        _limit(share, most * len(" ".join(top)) / size, what=f"top_{n}_gram")


def _check_twice(words: Sequence[str], size: int) -> None:
    """Where every 5-gram is unique no longer one is looked for, so that mostly one set says it all."""
    ends = list(accumulate(map(len, words), initial=0))
    solid = "".join(words)
    for n, share in TWICE.items():
        characters = repeated_characters([solid[start:end] for start, end in zip(ends, ends[n:], strict=False)], n)
        if n == LEAST_TWICE and not characters:
            return
        _limit(share, characters / size, what=f"duplicated_{n}_n_grams")


def repeated_characters(grams: Sequence[str], n: int) -> int:
    """Characters of the n-grams that stood there before, read from left to right and none counted twice.

    `grams`: of n words each, joined, one from every word on. Those that are there once are passed over.
    """
    if len(set(grams)) == len(grams):
        return 0
    counts, seen, characters, free = Counter(grams), set[str](), 0, 0
    for at, gram in enumerate(grams):
        if at < free or counts[gram] == 1:
            continue
        if gram in seen:
            characters += len(gram)
            free = at + n
        else:
            seen.add(gram)
    return characters
