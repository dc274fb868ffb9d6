"""RefinedWeb's line edits, by the parameters of DCLM's reproduction: buttons, counters and headings go.

A page that loses more than a twentieth of its words that way was no text, and goes as a whole.
"""

from __future__ import annotations

import re
import string

from flink_jobs.text.draft import Draft
from flink_jobs.text.rules.limits import at_most

COUNTED = "likes shares comments retweets reposts quotes bookmarks upvotes downvotes downloads views followers"
COUNTER = re.compile(rf"\W*\d[\d,.]*[KkMmBb]?\s+(?:{COUNTED.replace(' ', '|')})\W*", re.IGNORECASE)
BUTTONS = re.compile(r"items in cart|\s*Read more\.\.\.\Z|\ASign-in")
CAPITALS = string.ascii_uppercase.encode()
FEW_WORDS = 10
"""In longer lines a button's words are part of a sentence."""


def edit_lines(draft: Draft) -> Draft:
    """The text without lines in capitals, of digits, of one word, and counters, and without the words of buttons."""
    lines = [left for line in draft.lines if (left := _edited(line)) is not None]
    edited = draft.edited("\n".join(lines).strip("\n"))
    lost = (len(draft.words) - len(edited.words)) / len(draft.words)
    at_most(0.05, lost, "refinedweb_words_removed", "words removed")
    return edited


def _edited(line: str) -> str | None:
    """What stays of a line, None for nothing. An empty one parts paragraphs, and stays."""
    if not line:
        return line
    words = line.split(None, FEW_WORDS)
    if len(words) < 2 or 2 * _capitals(line) > len(line):
        return None
    if len(words) > FEW_WORDS:
        return line
    return None if COUNTER.fullmatch(line) else BUTTONS.sub("", line)


def _capitals(line: str) -> int:
    """How many characters are capitals; of most lines one pass over bytes says it."""
    if line.isascii():
        return len(line) - len(line.encode().translate(None, CAPITALS))
    return sum(map(str.isupper, line))
