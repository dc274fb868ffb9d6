"""Keys of near duplicates: equal to a plain reference, and as good at finding pairs as theory and datasketch."""

import random
import re
import unicodedata

import pytest
from datasketch import MinHash
from hypothesis import example, given
from hypothesis import strategies as st

from flink_jobs.text.near import BAND_HASHES, BANDS, BASE, SHINGLE_WORDS, STEP, band_keys, shingles, simplified
from tests.planted import vocabulary_of

FOX = "The quick brown fox jumps over the lazy dog, and 17 more foxes than that jump over 3 dogs."
RAW = (1, 7)


def plain_words(text: str) -> list[str]:
    apart = unicodedata.normalize("NFD", text.casefold())
    letters = "".join(char for char in apart if unicodedata.category(char)[0] != "M")
    parted = re.sub(
        "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])", r" \1 ", letters
    )
    return re.sub(r"\d+", "0", re.sub(r"[\W_]", " ", parted)).split()


def plain_shingles(words: list[str]) -> list[int]:
    hashes = []
    for word in words:
        total = sum(ord(char) * BASE**place for place, char in enumerate(word)) % 2**64
        hashes.append((total ^ total >> 32) * BASE % 2**64)
    windows = [hashes[start : start + SHINGLE_WORDS] for start in range(len(hashes) - SHINGLE_WORDS + 1)]
    return [sum(value * STEP ** (SHINGLE_WORDS - 1 - at) for at, value in enumerate(row)) % 2**64 for row in windows]


texts = st.text(max_size=200) | st.lists(
    st.sampled_from(["ab", "Ab", "7", "71", "é", "漢字", "ไทย", " ", "_", "-"])
).map("".join)


@given(texts)
@example("ſ İ ß a\u0301 \ud800 ① ٣٤")
def test_shingles_are_those_of_the_plain_reference(text: str) -> None:
    words = plain_words(text)
    assert [word for word in simplified(text).split("\0") if word] == words
    assert shingles(simplified(text)).tolist() == plain_shingles(words)


@given(st.lists(st.integers(2, 9000), min_size=5, max_size=8))
def test_a_word_has_its_hash_wherever_it_stands(lengths: list[int]) -> None:
    words = ["ab" * length for length in lengths]
    at_once = shingles("\0".join(words)).tolist()
    assert at_once == [shingles("\0".join(words[at : at + 5])).item() for at in range(len(words) - 4)]


def test_case_accents_numbers_punctuation_and_layout_make_no_difference() -> None:
    other = "the  QUICK brówn fox jumps\nover the lazy dog - and 1,234 ... more foxes than that jump over 99 dogs!"
    assert band_keys(FOX.replace("17", "1 2"), RAW) == band_keys(other, (0, 0))
    assert band_keys(FOX, RAW) == band_keys(FOX.upper(), RAW)
    assert set(band_keys(FOX, RAW)).isdisjoint(band_keys("Something else with more than five words in it.", RAW))


def test_a_text_too_short_for_shingles_is_like_no_other() -> None:
    assert band_keys("only four words here", (1, 7)) == band_keys("", (1, 7))
    keys = {tuple(band_keys("only four words here", (part, at))) for part in range(4) for at in range(100)}
    assert len(keys) == 400
    assert all(0 <= key < 2**63 for row in keys for key in row)


def test_keys_are_those_of_the_last_version() -> None:
    """Jobs remember them: if they change, a restored job knows nothing any more. Then `jobs upgrade` is needed."""
    assert band_keys(FOX, RAW)[:3] == GOLDEN


GOLDEN = [3002849741548723187, 2291328749335310267, -371357187414832913]


def jaccard(one: list[str], other: list[str]) -> float:
    first, second = ({tuple(words[at : at + 5]) for at in range(len(words) - 4)} for words in (one, other))
    return len(first & second) / len(first | second)


def datasketch_alike(one: list[str], other: list[str]) -> bool:
    values = []
    for words in (one, other):
        sketch = MinHash(BANDS * BAND_HASHES)
        sketch.update_batch([" ".join(words[at : at + 5]).encode() for at in range(len(words) - 4)])
        values.append(sketch.hashvalues.reshape(BANDS, BAND_HASHES))
    return bool((values[0] == values[1]).all(axis=1).any())


@pytest.mark.parametrize("changes", [1, 3, 6, 12, 25])
def test_pairs_are_found_as_often_as_theory_and_datasketch_say(changes: int) -> None:
    dice, pairs = random.Random(changes), 400
    vocabulary = vocabulary_of(dice)
    ours = theirs = expected = 0.0
    for _ in range(pairs):
        one = dice.choices(vocabulary, k=120)
        changed = set(dice.sample(range(120), changes))
        other = [dice.choice(vocabulary) if at in changed else word for at, word in enumerate(one)]
        alike = zip(band_keys(" ".join(one), RAW), band_keys(" ".join(other), RAW), strict=True)
        ours += any(a == b for a, b in alike) / pairs
        theirs += datasketch_alike(one, other) / pairs
        expected += (1 - (1 - jaccard(one, other) ** BAND_HASHES) ** BANDS) / pairs
    spread = 3.5 * (max(0.01, expected * (1 - expected)) / pairs) ** 0.5  # 3.5 standard deviations
    assert abs(ours - expected) < spread
    assert abs(ours - theirs) < 1.5 * spread
