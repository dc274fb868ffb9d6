"""The verdicts of our quality rules beside those of datatrove's filters on the same text."""

import json
from collections.abc import Iterator
from pathlib import Path

from flink_jobs.text.draft import Draft
from flink_jobs.text.rules import c4, fineweb, gopher_quality, gopher_repetition
from headrace.contract.errors import Rejected

GOLDEN = Path(__file__).with_name("unit") / "flink_jobs/golden.jsonl"
Verdicts = list[str | None]
"""The reasons of Gopher quality, Gopher repetition, C4 and FineWeb, each alone on the text; and the text after C4."""

OF_ITS_OWN = {
    "lorem_ipsum": "lorem_ipsum",
    "curly_bracket": "c4_curly_bracket",
    "too_few_sentences": "c4_too_few_sentences",
    "line_punct_ratio": "fineweb_line_punct",
    "short_line_ratio": "fineweb_short_lines",
    "char_dup_ratio": "fineweb_char_dup",
    "list_ratio": "fineweb_list",
}
"""What we call datatrove's reasons, where that is another name."""


def golden() -> Iterator[tuple[str, Verdicts]]:
    """Texts that hit every limit, and what datatrove has said of them."""
    for line in GOLDEN.read_text().splitlines():
        kept = json.loads(line)
        yield kept["text"], [*kept["reasons"], kept["text"] if kept["c4"] is None else kept["c4"]]


def quality(draft: Draft) -> None:
    gopher_quality.check_length(draft, 50, 100_000)
    gopher_quality.check_prose(draft)
    gopher_quality.check_stop_words(draft, 2)


def ours(text: str) -> list[str | None]:
    """The four filters' reasons on one text, each alone, and the text as C4 leaves it."""
    given: list[str | None] = []
    edited = text
    for rule in (quality, gopher_repetition.check_repetition, c4.keep_sentences, fineweb.check_page):
        try:
            draft = rule(Draft(text))
            edited = draft.text if draft else edited
            given.append(None)
        except Rejected as no:
            given.append(no.detail.split(" ")[0] if no.reason == "gopher_repetition" else no.reason)
    return [*given, edited]


def theirs(answer: list[str | None]) -> list[str | None]:
    return [*(OF_ITS_OWN.get(reason or "", reason) for reason in answer[:4]), answer[4]]
