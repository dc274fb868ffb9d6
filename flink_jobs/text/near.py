"""Texts that are nearly the same share keys: MinHash signatures over word 5-grams, cut into bands.

112 hashes in 14 bands of 8, as FineWeb does: of two texts that have a share s of all their shingles in common, one key
at least is the same with probability 1 - (1 - s^8)^14, which is 0.92 at 0.8, 0.05 at 0.5 and 1/2 at 0.71.

The job remembers keys for hours and over restarts, so the same text must give the same keys tomorrow: nothing here may
change without a new memory (`headrace jobs upgrade`).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from struct import Struct
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from rensa import RMinHash

BANDS = 14
BAND_HASHES = 8
SHINGLE_WORDS = 5
SEED = 1

GAP = "\0"
"""What parts words in a simplified text, any number of times."""
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Scripts that part no words: Thai, Lao, Burmese, Khmer, kana, Han. Each character counts as a word."""
TABLE_SIZE = 1 << 15
"""Most characters that are looked up only once."""

BASE, STEP = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
"""Odd, so that each has an inverse modulo 2^64, and of as many ones as zeros."""
HALF = np.uint64(32)
SIGNATURE, BAND, KEYS = Struct(f"<{BANDS * BAND_HASHES}I"), 4 * BAND_HASHES, Struct(f"<{BANDS}q")

Hashes = NDArray[np.uint64]


def band_keys(text: str, raw: tuple[int, int]) -> list[int]:
    """One signed 64-bit key for each band; texts that have one in common, at the same place, are taken for alike.

    A text of fewer than five words has keys that are made of its coordinate, so it is like no other.
    """
    hashes = shingles(simplified(text))
    if not len(hashes):
        return [xxhash.xxh3_64_intdigest(repr(raw).encode()) >> 1] * BANDS
    # rensa gives unsigned 32-bit values as a list for each text of a batch, here of one.
    (row,) = RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, (0, len(hashes)), BANDS * BAND_HASHES, SEED
    ).to_rows()
    signature = SIGNATURE.pack(*row)
    bands = (signature[start : start + BAND] for start in range(0, len(signature), BAND))
    return list(KEYS.unpack(b"".join(map(xxhash.xxh3_64_digest, bands))))


class Plain(dict[int, str]):
    """What each character becomes in a simplified text, for str.translate."""

    def __missing__(self, code: int) -> str:
        apart = unicodedata.normalize("NFD", chr(code).casefold())
        plain = "".join(map(_letter, apart))
        if len(self) < TABLE_SIZE:
            self[code] = plain
        return plain


PLAIN = Plain()


def simplified(text: str) -> str:
    """Its words in small letters without accents, every number 0, parted by GAPs."""
    text = text.translate(PLAIN)
    while "00" in text:
        text = text.replace("00", "0")
    return text


def _letter(char: str) -> str:
    if unicodedata.category(char).startswith("M"):
        return ""
    if char.isdecimal():
        return "0"
    if UNSPACED.match(char):
        return GAP + char + GAP
    return char if char.isalnum() else GAP


def shingles(text: str) -> Hashes:
    """A hash of every five words in a row of a simplified text, in order. None of fewer words."""
    words = _word_hashes(text)
    count = max(0, len(words) - SHINGLE_WORDS + 1)
    hashes = np.zeros(count, np.uint64)
    for place in range(SHINGLE_WORDS):
        hashes = hashes * np.uint64(STEP) + words[place : place + count]
    return hashes


def _word_hashes(text: str) -> Hashes:
    """Of each word the sum of code * BASE^place modulo 2^64, mixed: all words at once, where a loop takes as long as
    everything else together."""
    codes = _codes(GAP + text)
    starts = np.flatnonzero((codes[1:] != 0) & (codes[:-1] == 0)) + 1
    if not len(starts):
        return np.zeros(0, np.uint64)
    powers, inverses = _powers(1 << max(12, len(codes).bit_length()))
    sums: Hashes = np.add.reduceat(codes * powers[: len(codes)], starts) * inverses[starts]
    return (sums ^ (sums >> HALF)) * np.uint64(BASE)


def _codes(text: str) -> NDArray[Any]:
    """The code point of every character."""
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@lru_cache(maxsize=1)
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """BASE^n and its inverse for n below `count`, modulo 2^64: 16 bytes a character of the longest text of late."""
    return tuple(
        np.cumprod(np.full(count, base, np.uint64), dtype=np.uint64) for base in (BASE, pow(BASE, -1, 1 << 64))
    )  # type: ignore[return-value]
