"""datatrove's verdicts on texts: JSON strings come in, one a line, and one line for each goes out.

Runs in the environment of `benchmarks.peers`, and imports nothing of ours.

    verdicts        [reason of each filter, text after C4] for each text, with words as str.split gives them
    seconds         [CPU seconds for all texts, how many were accepted], with datatrove's own tokenizer (spaCy)
    seconds split   the same with str.split
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils import word_tokenizers

SENTENCE = re.compile(r"[.!?][\"')\]]*\s")
LINES_NEED_NO_PUNCTUATION = {"filter_no_terminal_punct": False}


class Split:
    """Words and sentences as Headrace takes them, behind datatrove's interface."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        ends = [match.end() for match in SENTENCE.finditer(text)]
        return list(zip([0, *ends], [*ends, len(text)], strict=True))


def filters() -> list[Any]:
    return [
        GopherQualityFilter(),
        GopherRepetitionFilter(),
        C4QualityFilter(**LINES_NEED_NO_PUNCTUATION),
        FineWebQualityFilter(),
    ]


def reason_of(judge: Any, text: str) -> tuple[str | None, str]:
    """None where it is accepted; and the text, which C4 edits."""
    document = Document(text=text, id="")
    verdict = judge.filter(document)
    return (None if verdict is True else verdict[1]), document.text


def passed(judges: Sequence[Any], text: str) -> bool:
    """Whether all of them accept it, in order, each what the one before left."""
    document = Document(text=text, id="")
    return all(judge.filter(document) is True for judge in judges)


def verdicts(texts: Sequence[str]) -> None:
    judges = filters()
    for text in texts:
        given = [reason_of(judge, text) for judge in judges]
        print(json.dumps([*(reason for reason, _ in given), given[2][1]]))


def seconds(texts: Sequence[str]) -> None:
    judges = filters()
    passed(judges, texts[0])  # loads the tokenizer
    begun = time.process_time()
    accepted = sum(map(partial(passed, judges), texts))
    print(json.dumps([time.process_time() - begun, accepted]))


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "verdicts" or words:
        word_tokenizers.load_word_tokenizer = lambda language: Split()
    {"verdicts": verdicts, "seconds": seconds}[what]([json.loads(line) for line in sys.stdin])
