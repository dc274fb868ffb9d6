"""Near duplicates: shingles, signature and index by our functions, against datasketch in a loop; and who finds what.

    python -m benchmarks.neardup_vs_datasketch [--documents 20000] [--pairs 10000]

Both take the same reviews and mails through the same simplified text, 112 hashes, 14 bands of 8. Turn by turn, so that
both meet the same machine; CPU seconds of this one process count. The index is here a dictionary for each band; in the
job Flink keeps it. Pairs are texts and what is left of them when words are replaced: alike from exact Jaccard 0.8 on,
not alike below 0.5.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from datasketch import MinHash, MinHashLSH

from benchmarks.results import tell
from flink_jobs.text.near import BAND_HASHES, BANDS, SHINGLE_WORDS, band_keys, simplified
from headrace.contract.settings import load
from headrace.local.corpora import mail, reviews

TURN = 500
LEAST_WORDS, MOST_WORDS = 30, 400
ALIKE, NOT_ALIKE = 0.8, 0.5
SLACK = 0.01
"""How far recall and false drops may be from datasketch's."""

Shingles = frozenset[tuple[str, ...]]


class Ours:
    """What the clean job does, but for Flink's state."""

    def __init__(self) -> None:
        self.seen: list[dict[int, int]] = [{} for _ in range(BANDS)]

    def like(self, number: int, text: str) -> int | None:
        """An earlier text that this one is like; one that is like none is remembered."""
        keys = band_keys(text, (0, number))
        found = next((seen[key] for seen, key in zip(self.seen, keys, strict=True) if key in seen), None)
        if found is None:
            for seen, key in zip(self.seen, keys, strict=True):
                seen[key] = number
        return found


class Datasketch:
    """The same by its own MinHash and index."""

    def __init__(self) -> None:
        self.index = MinHashLSH(num_perm=BANDS * BAND_HASHES, params=(BANDS, BAND_HASHES))

    def like(self, number: int, text: str) -> int | None:
        """As Ours.like."""
        words = words_of(text)
        sketch = MinHash(BANDS * BAND_HASHES)
        windows = zip(*(words[place:] for place in range(SHINGLE_WORDS)), strict=False)
        sketch.update_batch([" ".join(window).encode() for window in windows])
        found: list[int] = self.index.query(sketch)
        if not found:
            self.index.insert(number, sketch)
        return min(found, default=None)


def words_of(text: str) -> list[str]:
    """The words that both sides see."""
    return simplified(text).replace("\0", " ").split()


def shingles_of(text: str) -> Shingles:
    """For the exact Jaccard index."""
    words = words_of(text)
    return frozenset(zip(*(words[place:] for place in range(SHINGLE_WORDS)), strict=False))


def jaccard(one: Shingles, other: Shingles) -> float:
    return len(one & other) / len(one | other)


def through(texts: Sequence[str]) -> tuple[float, float, list[int | None]]:
    """CPU seconds of ours and of datasketch; what ours found for each text."""
    ours, theirs = Ours(), Datasketch()
    seconds = [0.0, 0.0]
    found: list[int | None] = []
    for start in range(0, len(texts), TURN):
        turn = list(enumerate(texts[start : start + TURN], start))
        seconds[0] += cpu(lambda turn=turn: found.extend(ours.like(*one) for one in turn))  # type: ignore[misc]
        seconds[1] += cpu(lambda turn=turn: [theirs.like(*one) for one in turn])  # type: ignore[misc]
    return seconds[0], seconds[1], found


def cpu(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def planted(texts: Sequence[str], count: int) -> Iterator[tuple[str, str]]:
    """Texts with a few of their words replaced, from hardly any to every tenth."""
    dice = random.Random(7)
    vocabulary = list({word for text in texts[:500] for word in text.split()})
    fitting = [words for text in texts if LEAST_WORDS <= len(words := text.split()) <= MOST_WORDS]
    for _ in range(count):
        words = dice.choice(fitting)
        share = dice.random() ** 2 / 10
        yield " ".join(words), " ".join(dice.choice(vocabulary) if dice.random() < share else word for word in words)


def rates(pairs: Sequence[tuple[str, str]], found: Sequence[bool]) -> tuple[float, float]:
    """Share of the alike pairs that was found, and of those that are not alike."""
    indices = [jaccard(shingles_of(one), shingles_of(other)) for one, other in pairs]
    alike = [hit for hit, index in zip(found, indices, strict=True) if index >= ALIKE]
    others = [hit for hit, index in zip(found, indices, strict=True) if index < NOT_ALIKE]
    print(f"{len(alike)} pairs with Jaccard from {ALIKE} on, {len(others)} with less than {NOT_ALIKE}")
    return sum(alike) / len(alike), sum(others) / len(others)


def is_found(kind: type[Ours] | type[Datasketch], pair: tuple[str, str]) -> bool:
    index = kind()
    index.like(0, pair[0])
    return index.like(1, pair[1]) is not None


def false_drops(texts: Sequence[str], found: Sequence[int | None]) -> tuple[int, int]:
    """How many texts were dropped, and of how many of these the text that they were found like is none."""
    dropped = [(number, first) for number, first in enumerate(found) if first is not None]
    wrong = [1 for one, other in dropped if jaccard(shingles_of(texts[one]), shingles_of(texts[other])) < NOT_ALIKE]
    return len(dropped), len(wrong)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, default=20_000)
    arguments.add_argument("--pairs", type=int, default=10_000)
    said = arguments.parse_args()
    cache = load(environment={}).settings.cache_dir
    everything = [document.text for source in (reviews, mail) for document in source(cache)]
    random.Random(1).shuffle(everything)
    texts = [text for text in islice(everything, said.documents) if len(shingles_of(text)) > 0]
    ours, theirs, found = through(texts)
    size = sum(map(len, texts))
    print(f"{len(texts)} texts of {size / len(texts):,.0f} characters, {size / 1e6:.1f} MB")
    print(f"ours {len(texts) / ours:,.0f} texts/s and core, datasketch {len(texts) / theirs:,.0f}")
    dropped, wrong = false_drops(texts, found)
    print(f"dropped {dropped} of {len(texts)}; {wrong} of them are like no text ({wrong / len(texts):.3%} of all)")
    pairs = list(planted(texts, said.pairs))
    recall, false = rates(pairs, [is_found(Ours, pair) for pair in pairs])
    their_recall, their_false = rates(pairs, [is_found(Datasketch, pair) for pair in pairs])
    print(f"recall: ours {recall:.4f}, datasketch {their_recall:.4f}; false: {false:.4f}, {their_false:.4f}")
    as_good = abs(recall - their_recall) <= SLACK and false - their_false <= SLACK
    if not as_good:
        print(f"MISSED: recall or false drops are more than {SLACK} away from datasketch's")
    return 0 if tell("neardup_vs_datasketch", theirs / ours) and as_good else 1


if __name__ == "__main__":
    sys.exit(main())
