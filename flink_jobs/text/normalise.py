"""One spelling for one text, so that equal texts have equal fingerprints and a model sees no invisible differences."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Literal

import xxhash

LINE_END = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]")
BLANKS = "\t \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
SPACES = re.compile(f" [{BLANKS}]+|[{BLANKS.replace(' ', '')}][{BLANKS}]*")
"""White space within a line that is not one space, for of those there are many."""
LINE_GAP = re.compile("( ?\n)+")

HIDDEN_MARKS = dict.fromkeys(map(ord, "\u0f73\u0f75\u0f81\uff9e\uff9f"), "\u0301")
"""Characters that become marks only when they are taken apart."""
MAY_BE_MARKS = re.compile("[^\x00-\u02ff]{8}")
"""Marks begin at U+0300; where a text is in Latin script, hardly anything else is there."""
MANY_MARKS = b"\1" * 8
TOO_MANY_MARKS = re.compile(b"\1{30}(?=\1)")
JOINER = "\u034f"

NormalForm = Literal["NFC", "NFKC"]


def normalise(text: str, form: NormalForm, layout: bool = False) -> str:
    """The text in one Unicode normal form, without control characters and byte order marks, white space collapsed.

    Every line end becomes \\n, a run of spaces and tabs one space, three or more line ends two; no line ends in a
    space, and nothing stands around the whole. Applying it twice changes nothing more. May be empty.

    With `layout` what indents and parts lines stays, as code needs it; only what stands behind a line goes.
    """
    if not _plain(text):
        text = CONTROL.sub("", LINE_END.sub("\n", text))
    # Only now: a removed control character may have stood between a letter and its accent.
    if not text.isascii():
        text = unicodedata.normalize(form, _stream_safe(text, form))
    if layout:
        return "\n".join(line.rstrip(BLANKS) for line in text.split("\n")).strip("\n")
    if "  " in text or not _plain(text):
        text = SPACES.sub(" ", text)
    if " \n" in text or "\n\n\n" in text:
        text = LINE_GAP.sub(_at_most_two, text)
    return text.strip(" \n")


def fingerprint(text: str) -> bytes:
    """16 bytes that are equal for equal texts, and for no others by chance."""
    return xxhash.xxh3_128_digest(text.encode())


def _plain(text: str) -> bool:
    """Whether all of it can be seen, but for spaces and line ends: so no other white space, no control character."""
    return text.replace("\n", "").isprintable()


def _stream_safe(text: str, form: NormalForm) -> str:
    """Unicode's Stream-Safe Text Format (UAX #15, section 13): a joiner after every 30 combining marks in a row.

    Sorting a run of marks takes quadratic time: a megabyte of them would hold the stream for minutes.
    """
    # Seven, and what a letter brings, are fewer than 30 when taken apart.
    if not MAY_BE_MARKS.search(text) or MANY_MARKS not in _marks(text):
        return text
    apart = "".join(unicodedata.normalize("NFD" if form == "NFC" else "NFKD", char) for char in text)
    edges = [run.end() for run in TOO_MANY_MARKS.finditer(_marks(apart))]
    return JOINER.join(apart[start:end] for start, end in pairwise([0, *edges, len(apart)]))


def _marks(text: str) -> bytes:
    """One byte a character: 1 for a combining mark, else 0."""
    return bytes(map(bool, map(unicodedata.combining, text.translate(HIDDEN_MARKS))))


def _at_most_two(gap: re.Match[str]) -> str:
    return "\n" * min(2, gap[0].count("\n"))
