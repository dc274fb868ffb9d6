"""Normalising: what goes, what stays, and that a second time changes nothing."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.text.normalise import (
    CONTROL,
    LINE_END,
    LINE_GAP,
    SPACES,
    NormalForm,
    _at_most_two,
    _stream_safe,
    fingerprint,
    normalise,
)

AWKWARD = st.sampled_from("a \t\n\r\v\f\x00\x07\x85\xa0\u0301\u0316\u0344\u0f73\uff9e\u2003\u2028\u3000\ufb01\ufeffé")
TEXTS = st.text(st.one_of(AWKWARD, st.characters(exclude_categories=("Cs",))), max_size=80)


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("one\x07 two\x00", "one two"),
        ("one \t two\u00a0\u3000three", "one two three"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\n\n\n\nb", "a\n\nb"),
        ("a \n \n \n b", "a\n\n b"),
        ("  a  ", "a"),
        ("\ufeffa", "a"),
        ("e\u0301", "é"),
        ("e\x02\u0301", "é"),
        ("\n \t\n", ""),
        ("x <|endoftext|> y", "x <|endoftext|> y"),
    ],
)
def test_examples(published: str, expected: str) -> None:
    assert normalise(published, "NFC") == expected


@given(TEXTS, st.sampled_from(["NFC", "NFKC"]))
def test_what_is_left_out_where_it_changes_nothing_changes_nothing(text: str, form: NormalForm) -> None:
    seen = CONTROL.sub("", LINE_END.sub("\n", text))
    spelled = unicodedata.normalize(form, _stream_safe(seen, form))
    assert normalise(text, form) == LINE_GAP.sub(_at_most_two, SPACES.sub(" ", spelled)).strip(" \n")


def test_the_normal_form_is_a_choice() -> None:
    assert normalise("\ufb01n", "NFC") == "\ufb01n"
    assert normalise("\ufb01n", "NFKC") == "fin"


@given(TEXTS, st.sampled_from(["NFC", "NFKC"]))
def test_twice_is_once(text: str, form: NormalForm) -> None:
    once = normalise(text, form)
    assert normalise(once, form) == once
    assert unicodedata.is_normalized(form, once)
    assert not re.search(r"[\t\r]|  | \n|\n\n\n|^\s|\s$", once)
    assert all(char == "\n" or unicodedata.category(char) != "Cc" for char in once)


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.parametrize(
    "marks", ["\u0301\u0316" * 200_000, "\u0344" * 100, "\u0f73\u0f71" * 100, "\uff9e\u0316" * 100]
)
def test_a_heap_of_marks_is_parted(marks: str, form: NormalForm) -> None:
    """Sorting all of it in one run would take minutes; the file's time limit would notice."""
    piled = normalise(f"a{marks}b", form)
    longest = max(map(len, re.findall(b"\1+", bytes(bool(unicodedata.combining(char)) for char in piled))))
    assert longest <= 30
    assert normalise(piled, form) == piled


def test_thirty_marks_are_left_alone() -> None:
    zalgo = "x" + "\u0316" * 30
    assert normalise(zalgo, "NFC") == zalgo


@given(st.text(max_size=20), st.text(max_size=20))
def test_fingerprints_tell_texts_apart(one: str, other: str) -> None:
    one, other = (text.encode("utf-8", "replace").decode() for text in (one, other))
    assert (fingerprint(one) == fingerprint(other)) == (one == other)
    assert len(fingerprint(one)) == 16
