"""C4's rules: lines that are no sentences go, and a page with too little left, or with code in it, goes as a whole.

As FineWeb uses them: a line need not end in punctuation, and the list of bad words is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from flink_jobs.text.draft import Draft
from flink_jobs.text.rules.limits import at_least
from headrace.contract.errors import Rejected

CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
SENTENCE = re.compile(r"[.!?][\"')\]]*\s")
"""Where a sentence ends and another begins, in a line without white space around it."""
LEGAL = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
SUSPECT = ("javascript", "lorem ipsum", *LEGAL)
LEAST_SENTENCES = 5
LEAST_WORDS = 3
LONGEST_WORD = 1000


def check_lorem_ipsum(draft: Draft) -> None:
    """Placeholder text, anywhere in it."""
    if "lorem ipsum" in draft.text.lower():
        raise Rejected("lorem_ipsum", "lorem ipsum 1 > 0")


def keep_sentences(draft: Draft) -> Draft:
    """The text without citations and the lines that are dropped; raises Rejected when fewer than 5 sentences stay."""
    small = draft.text.lower()
    if "{" in draft.text or any(phrase in small for phrase in SUSPECT) or max(map(len, draft.words)) > LONGEST_WORD:
        lines = list(_not_suspect(draft.lines))
    else:
        lines = [line.strip() for line in draft.lines if len(line.split(None, LEAST_WORDS - 1)) == LEAST_WORDS]
    text = "\n".join(lines)
    if "[" in text:
        lines = [CITATION.sub("", line) for line in lines]
        text = "\n".join(lines)
    at_least(LEAST_SENTENCES, _sentences(lines), "c4_too_few_sentences", "sentences")
    return draft.edited(text.strip())


def _not_suspect(lines: Iterable[str]) -> Iterable[str]:
    """Line by line, for a text that holds a phrase, a bracket or a word that must not be there."""
    for line in lines:
        words, bare = line.split(), CITATION.sub("", line)
        if len(words) < LEAST_WORDS or max(map(len, words)) > LONGEST_WORD:
            continue
        small = bare.lower()
        if "lorem ipsum" in small:
            raise Rejected("lorem_ipsum", "lorem ipsum 1 > 0")
        if "javascript" in small:
            continue
        if "{" in bare:
            raise Rejected("c4_curly_bracket", f"{{ {bare.count('{')} > 0")
        if not any(phrase in small for phrase in LEGAL):
            yield line.strip()


def _sentences(lines: Iterable[str]) -> int:
    """How many there are, as far as it matters: every line ends one, whatever it ends in."""
    count = 0
    for line in lines:
        count += 1 + len(SENTENCE.findall(line))
        if count >= LEAST_SENTENCES:
            break
    return count
