"""Each quality rule, one step inside and one step outside its limit."""

import pytest

from flink_jobs.text.quality import check
from headrace.contract.documents import REASONS
from headrace.contract.errors import Rejected


def verdict(text: str, min_words: int = 3, max_words: int = 100) -> str | None:
    try:
        check(text, min_words, max_words)
    except Rejected as no:
        return no.reason
    return None


def lines(*counts: tuple[str, int]) -> str:
    return "\n".join(f"{line} {number}x" for line, count in counts for number in range(count))


@pytest.mark.parametrize(
    ("reason", "inside", "outside"),
    [
        ("gopher_short_doc", "one two three", "one two"),
        ("gopher_short_doc", "one two three", "one two - !!"),
        ("gopher_long_doc", "word " * 99 + "word", "word " * 100 + "word"),
        ("gopher_below_avg_threshold", "abc abc abc", "abc abc ab"),
        ("gopher_above_avg_threshold", "abcdefghij " * 3 + "ab", "abcdefghij abcdefghij abcdefghijk"),
        ("gopher_too_many_hashes", "word " * 9 + "#word", "word " * 8 + "#word"),
        ("gopher_too_many_ellipsis", "word... " + "word " * 9, "word… " + "word " * 8),
        (
            "gopher_too_many_bullets",
            lines(("- listed item number", 9), ("line", 1)),
            lines(("- listed item number", 10)),
        ),
        (
            "gopher_too_many_bullets",
            lines(("• listed item number", 9), ("line", 1)),
            lines(("• listed item number", 10)),
        ),
        (
            "gopher_too_many_end_ellipsis",
            "\n".join(
                [f"many words are here {n} and..." for n in "abc"] + [f"these are enough {n}" for n in "abcdefg"]
            ),
            "\n".join(
                [f"many words are here {n} and..." for n in "abcd"] + [f"these are enough {n}" for n in "abcdef"]
            ),
        ),
        ("gopher_below_alpha_threshold", "words words words words 2026", "words words words 2026 2027"),
        ("dup_line_chars", "four five\nnine five\nfive nine\nfive four\nfour five", "four five\nnine\nfive\nfour five"),
        ("lorem_ipsum", "lorem dolor ipsum amet", "So: Lorem Ipsum dolor"),
    ],
)
def test_every_limit(reason: str, inside: str, outside: str) -> None:
    assert reason in REASONS
    assert verdict(inside.strip()) is None
    assert verdict(outside.strip()) == reason


def test_the_detail_says_what_was_measured() -> None:
    with pytest.raises(Rejected, match="2, at least 3"):
        check("one two", 3, 100)


def test_a_text_without_a_word_divides_by_nothing() -> None:
    assert verdict("!", min_words=0) == "gopher_below_alpha_threshold"
    assert verdict("\u200b", min_words=0) == "gopher_below_avg_threshold"
