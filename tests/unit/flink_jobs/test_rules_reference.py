"""The rules with their short-cuts against the same rules written down plainly: equal verdicts on whatever comes.

What is written here is in turn held against datatrove itself, in tests/soak/test_datatrove.py.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flink_jobs.text.draft import Draft
from flink_jobs.text.normalise import normalise
from flink_jobs.text.rules import c4, fineweb, gopher_quality, gopher_repetition, refinedweb
from flink_jobs.text.rules.characters import PUNCTUATION, SENTENCE_ENDS
from headrace.contract.errors import Rejected


def quality(text: str, words: list[str]) -> str | None:
    spoken = [word for word in words if any(char not in PUNCTUATION for char in word)]
    lines = text.splitlines()
    mean = sum(map(len, spoken)) / len(spoken) if spoken else 5
    starts = [line.lstrip().startswith(("•", "-")) for line in lines]
    ends = [line.rstrip().endswith(("...", "…")) for line in lines]
    broken = {
        "gopher_below_avg_threshold": mean < 3,
        "gopher_above_avg_threshold": mean > 10,
        "gopher_too_many_hashes": text.count("#") / len(words) > 0.1,
        "gopher_too_many_ellipsis": (text.count("...") + text.count("…")) / len(words) > 0.1,
        "gopher_too_many_bullets": sum(starts) / len(lines) > 0.9,
        "gopher_too_many_end_ellipsis": sum(ends) / len(lines) > 0.3,
        "gopher_below_alpha_threshold": sum(any(c.isalpha() for c in word) for word in words) / len(words) < 0.8,
    }
    return next((reason for reason, is_broken in broken.items() if is_broken), None)


def repetition(text: str, words: list[str]) -> str | None:
    for name, pieces in {"para": re.split(r"\n{2,}", text), "line": re.split(r"\n+", text)}.items():
        again = [piece for number, piece in enumerate(pieces) if piece in pieces[:number]]
        if len(again) / len(pieces) > 0.3:
            return f"dup_{name}_frac"
        if sum(map(len, again)) / len(text) > 0.2:
            return f"dup_{name}_char_frac"
    for n, share in {2: 0.2, 3: 0.18, 4: 0.16}.items():
        grams = Counter(" ".join(words[start : start + n]) for start in range(len(words) - n + 1))
        if grams and len(grams.most_common(1)[0][0]) * grams.most_common(1)[0][1] / len(text) > share:
            return f"top_{n}_gram"
    for n, share in {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1}.items():
        if in_repeated(words, n) / len(text) > share:
            return f"duplicated_{n}_n_grams"
    return None


def in_repeated(words: Sequence[str], n: int) -> int:
    seen, characters, start = set(), 0, 0
    while start <= len(words) - n:
        gram = "".join(words[start : start + n])
        characters += len(gram) * (gram in seen)
        start += n if gram in seen else 1
        seen.add(gram)
    return characters


def sentences(text: str, words: list[str]) -> str | None:
    count, kept = 0, []
    for raw in text.splitlines():
        line = re.sub(r"\[\d*]|\[edit]|\[citation needed]", "", raw.strip())
        small = line.lower()
        if any(len(word) > 1000 for word in raw.split()) or len(raw.split()) < 3:
            continue
        if "lorem ipsum" in small:
            return "lorem_ipsum"
        if "javascript" in small:
            continue
        if "{" in line:
            return "c4_curly_bracket"
        if any(phrase in small for phrase in c4.LEGAL):
            continue
        count += 1 + len(c4.SENTENCE.findall(line))
        kept.append(line)
    return "c4_too_few_sentences" if count < 5 else "\n".join(kept).strip()


def page(text: str, words: list[str]) -> str | None:
    lines = [line for line in text.split("\n") if line.strip()]
    again = [line for number, line in enumerate(lines) if line in lines[:number]]
    broken = {
        "fineweb_line_punct": sum(line.endswith(tuple(SENTENCE_ENDS)) for line in lines) / len(lines) < 0.12,
        "fineweb_short_lines": sum(len(line) <= 30 for line in lines) / len(lines) > 0.67,
        "fineweb_char_dup": sum(map(len, again)) / len(text.replace("\n", "")) > 0.01,
        "fineweb_list": text.count("\n") / len(words) > 0.3,
    }
    return next((reason for reason, is_broken in broken.items() if is_broken), None)


def edits(text: str, words: list[str]) -> str | None:
    kept = []
    for line in text.split("\n"):
        long = len(line.split()) > 10
        if line and (len(line.split()) < 2 or sum(c.isupper() for c in line) / len(line) > 0.5):
            continue
        if not long and refinedweb.COUNTER.fullmatch(line):
            continue
        kept.append(line if long else refinedweb.BUTTONS.sub("", line))
    edited = "\n".join(kept).strip("\n")
    return "refinedweb_words_removed" if (len(words) - len(edited.split())) / len(words) > 0.05 else edited


PAIRS: dict[str, tuple[Callable[[str, list[str]], str | None], Callable[[Draft], Draft | None]]] = {
    "quality": (quality, gopher_quality.check_prose),
    "repetition": (repetition, gopher_repetition.check_repetition),
    "c4": (sentences, c4.keep_sentences),
    "fineweb": (page, fineweb.check_page),
    "refinedweb": (edits, refinedweb.edit_lines),
}

SOME = """Ab Abc Word Wording Words, Another “Quoted” Great! ÀÉÎ Слово 2026 1.5 １１ ... … - • # #tag [1] [edit] { ! ☃
LOUD LOUDER lorem ipsum JavaScript uses cookies 12 likes items in cart Sign-in Read more... Sentenceend."""
some_words = st.sampled_from(SOME.split())
gaps = st.sampled_from([" "] * 12 + ["\n", "\n\n", ". ", "? "])
phrases = st.lists(st.tuples(some_words, gaps), min_size=1, max_size=12).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Phrases of a few words, some of them again and again, among words of their own."""
    known = draw(st.lists(phrases, min_size=1, max_size=5))
    parts = draw(st.lists(st.sampled_from(known) | phrases, min_size=1, max_size=20))
    own = draw(st.integers(0, 60))
    return "".join(parts) + " ".join(f"Own{number:02}" for number in range(own))


@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=300)
@given(text=texts())
def test_short_cuts_change_no_verdict(name: str, text: str) -> None:
    """A word begins with a capital or a sign here, so that words without what parts them can be told apart: datatrove
    joins them for its longer n-grams, and takes `ab c` for `a bc`. Only where a 5-gram repeats do we do the same."""
    plainly, rule = PAIRS[name]
    text = normalise(text, "NFC")
    assert verdict(rule, text) == plainly(text, text.split())


def verdict(rule: Callable[[Draft], Draft | None], text: str) -> str | None:
    try:
        edited = rule(Draft(text))
    except Rejected as no:
        return no.detail.split(" ")[0] if no.reason == "gopher_repetition" else no.reason
    return edited.text if edited else None
