"""HTML to the text that a reader sees."""

from __future__ import annotations

import re

from resiliparse.extract.html2text import extract_plain_text

from flink_jobs.text.draft import Draft

TAG = re.compile(
    r"<(?:!doctype html|html|head|body|title|div|span|p|br|table|td|a href|font|script|style)\b[^<>]*>", re.IGNORECASE
)
LOOKED_AT = 4000
"""Characters at the beginning in which an undeclared page must show a tag."""


def take_text(draft: Draft, undeclared: bool, main: bool) -> Draft:
    """The text of a page; `main` leaves out navigation, headers and footers.

    `undeclared`: also of what looks like a page though nobody said so. What is none stays as it is.
    """
    if draft.kind != "html" and not (undeclared and "<" in draft.text and TAG.search(draft.text[:LOOKED_AT])):
        return draft
    text = extract_plain_text(draft.text, preserve_formatting=True, main_content=main, alt_texts=False)
    return draft.edited(text, "text")
