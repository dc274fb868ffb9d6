"""Each quality rule, one step inside and one step outside its limit, and the value that broke it."""

from collections.abc import Callable

import pytest

from flink_jobs.text.draft import Draft
from flink_jobs.text.rules import c4, fineweb, gopher_quality, gopher_repetition, refinedweb
from headrace.contract.documents import REASONS
from headrace.contract.errors import Rejected

Rule = Callable[[Draft], Draft | None]


def length(draft: Draft) -> None:
    gopher_quality.check_length(draft, 3, 100)


def stop_words(draft: Draft) -> None:
    gopher_quality.check_stop_words(draft, 2)


def verdict(rule: Rule, text: str, language: str | None = None) -> str | None:
    try:
        rule(Draft(text, language))
    except Rejected as no:
        assert no.reason in REASONS
        return no.reason
    return None


def lines(*counts: tuple[str, int]) -> str:
    return "\n".join(f"{line} {number}x" for line, count in counts for number in range(count))


def page(count: int, end: str = "") -> str:
    """Lines of 31 characters and more, five words each."""
    return "".join(f"some line with a number {number:07}{end}\n" for number in range(count))


def numbered(count: int, start: int = 0) -> str:
    return " ".join(f"word{number:04}" for number in range(start, start + count))


FIVE = 'One two three. Two? Three! Four: no "end." Five.'
prose, repetition = gopher_quality.check_prose, gopher_repetition.check_repetition


@pytest.mark.parametrize(
    ("rule", "reason", "inside", "outside"),
    [
        (length, "gopher_short_doc", "one two three", "one two"),
        (length, "gopher_short_doc", "one two three", "one two - !! １"),
        (length, "gopher_long_doc", "word " * 99 + "word", "word " * 100 + "word"),
        (prose, "gopher_below_avg_threshold", "abc abc abc", "abc abc ab"),
        (prose, "gopher_below_avg_threshold", "abc abc abc abc !", "abc abc abc ab !!!!!!!"),
        (prose, "gopher_above_avg_threshold", "abcdefghij " * 3 + "ab", "abcdefghij abcdefghij abcdefghijk"),
        (prose, "gopher_too_many_hashes", "word " * 9 + "#word", "word " * 8 + "#word"),
        (prose, "gopher_too_many_ellipsis", "word... " + "word " * 9, "word… " + "word " * 8),
        (
            prose,
            "gopher_too_many_bullets",
            lines(("- listed item number", 9), ("line", 1)),
            lines(("• listed item number", 10)),
        ),
        (prose, "gopher_too_many_end_ellipsis", page(7) + page(3, "…"), page(6) + page(4, "...")),
        (prose, "gopher_below_alpha_threshold", "words words words words 2026", "words words words 2026 2027"),
        (stop_words, "gopher_enough_stop_words", "the end of it", "The end of it"),
        (
            gopher_repetition.check_repeated_lines,
            "gopher_repetition",
            "four five\nnine five\nfive nine\nfive four\nfour five",
            "four five\nnine\nfive\nfour five",
        ),
        (c4.check_lorem_ipsum, "lorem_ipsum", "lorem dolor ipsum amet", "So: Lorem Ipsum dolor"),
        (c4.keep_sentences, "lorem_ipsum", FIVE, f"{FIVE} Lorem ipsum"),
        (c4.keep_sentences, "c4_curly_bracket", f"{FIVE}\n{{ two", f"{FIVE} {{"),
        (c4.keep_sentences, "c4_too_few_sentences", FIVE, FIVE.removesuffix(" Five.")),
        (c4.keep_sentences, "c4_too_few_sentences", "Not one less\n" * 5, "Not one less.\n" * 4 + "No. No.\nNo."),
        (fineweb.check_page, "fineweb_line_punct", page(2, ".") + page(14), page(2, ".") + page(15)),
        (fineweb.check_page, "fineweb_short_lines", page(1, ".") + "ab.\ncd.", " ".join("a" * 15) + "."),
        (fineweb.check_page, "fineweb_char_dup", page(99, ".") + page(1, "."), page(98, ".") + page(1, ".")),
        (fineweb.check_page, "fineweb_list", page(3, "."), page(3, "andmore.").replace(" ", "")),
        (refinedweb.edit_lines, "refinedweb_words_removed", numbered(38) + "\n12 likes", numbered(37) + "\n12 likes"),
        (refinedweb.edit_lines, "refinedweb_words_removed", numbered(19) + "\nWORD", numbered(18) + "\nWORD"),
    ],
)  # fmt: skip
def test_every_limit(rule: Rule, reason: str, inside: str, outside: str) -> None:
    assert verdict(rule, inside.strip()) is None
    assert verdict(rule, outside.strip()) == reason


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("\n\n".join(["a b", "c d", "e f", "a b", "a b"]), "dup_para_frac 0.4 > 0.3"),
        ("\n\n".join(["abc def ghi", "c", "e", "x", "abc def ghi"]), "dup_para_char_frac 0.3333 > 0.2"),
        ("\n".join(["a b", "c d", "e f", "a b", "a b"]), "dup_line_frac 0.4 > 0.3"),
        ("\n".join(["abc def ghi", "c", "e", "x", "abc def ghi"]), "dup_line_char_frac 0.3793 > 0.2"),
        (numbered(40) + " same words" * 10, "top_2_gram 0.2132 > 0.2"),
        (numbered(28) + "".join(f" more than one w{n:05}" for n in range(10)), "top_3_gram"),
        (numbered(30) + "".join(f" most of what it is {n:05}" for n in range(4)), "top_4_gram"),
        (numbered(48) + " " + numbered(10), "duplicated_5_n_grams"),
        (
            " ".join(numbered(5, n * 10 % 50) + f" {n}" for n in range(10)) + " " + numbered(5, 90),
            "duplicated_5_n_grams",
        ),
        (numbered(50) + " " + numbered(8) + " " + numbered(1, 90), "duplicated_8_n_grams"),
    ],
)
def test_what_is_repeated_is_named(text: str, detail: str) -> None:
    with pytest.raises(Rejected, match=f"^gopher_repetition: {detail}"):
        repetition(Draft(text))


def test_c4_drops_lines_and_citations() -> None:
    kept, left = "One two three [12]. Four.", "Five. Six. Seven [edit]"
    dropped = ["no", "We love javascript so much.", "Our Privacy Policy is here.", f"a b c {'w' * 1001}"]
    assert c4.keep_sentences(Draft("\n".join([kept, *dropped, left]))).text == "One two three . Four.\nFive. Six. Seven"


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("BREAKING NEWS of", None),
        ("BREAKING NEWS of the day", "BREAKING NEWS of the day"),
        ("ГЛАВНЫЕ НОВОСТИ", None),
        ("W E L C O M E", None),
        ("ⒶⒷ ⒸⒹ", None),
        ("Home", None),
        ("", ""),
        ("1.2K likes", None),
        ("12 people", "12 people"),
        ("3 items in cart now", "3  now"),
        ("Sign-in please", " please"),
        ("see it Read more...", "see it"),
        (f"{numbered(9)} Read more...", f"{numbered(9)} Read more..."),
    ],
)  # fmt: skip
def test_line_edits(line: str, left: str | None) -> None:
    assert refinedweb._edited(line) == left


def test_stop_words_are_those_of_the_language() -> None:
    text = "der Hund und die Katze"
    assert verdict(stop_words, text, "de") is None
    assert verdict(stop_words, text, "en") == "gopher_enough_stop_words"
    assert verdict(stop_words, text, "xx") is None, "there is no list"


def test_the_detail_says_what_was_measured() -> None:
    with pytest.raises(Rejected, match="gopher_short_doc: words 2 < 3"):
        length(Draft("one two"))


def test_a_text_without_a_word_divides_by_nothing() -> None:
    assert verdict(prose, "!") == "gopher_below_alpha_threshold"
    assert verdict(prose, "\u200b") == "gopher_below_avg_threshold"
