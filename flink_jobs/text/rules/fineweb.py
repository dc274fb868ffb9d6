"""FineWeb's own rules: a page of text has lines that end like sentences, are long enough, and do not repeat."""

from __future__ import annotations

from flink_jobs.text.draft import Draft
from flink_jobs.text.rules.characters import SENTENCE_ENDS
from flink_jobs.text.rules.gopher_repetition import repeated
from flink_jobs.text.rules.limits import at_least, at_most

SHORT = 30


def check_page(draft: Draft) -> None:
    """The four limits, in FineWeb's order; lines without a character do not count."""
    text, lines = draft.text, [line for line in draft.lines if line and not line.isspace()]
    ends = sum(line[-1] in SENTENCE_ENDS for line in lines) / len(lines)
    at_least(0.12, ends, "fineweb_line_punct", "lines that end in punctuation")
    at_most(0.67, sum(len(line) <= SHORT for line in lines) / len(lines), "fineweb_short_lines", "short lines")
    _, characters = repeated(lines)
    at_most(0.01, characters / (len(text) - text.count("\n")), "fineweb_char_dup", "characters in repeated lines")
    at_most(0.3, text.count("\n") / len(draft.words), "fineweb_list", "line ends per word")
