"""Bytes to text where nobody says how, or says it wrong."""

from __future__ import annotations

from resiliparse.parse.encoding import detect_encoding

from headrace.contract.documents import decode_as

LOOKED_AT = 20_000
"""Bytes at each end by which an encoding is guessed."""


def guess(value: bytes) -> str | None:
    """The encoding that the bytes seem to have; None for what is no text."""
    if b"\0" in value and not value.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    page = value[:200].lstrip().startswith(b"<")
    found: str | None = detect_encoding(value, max_len=LOOKED_AT, html5_compatible=True, from_html_meta=page)
    return found


def decoded(value: bytes, declared: str | None) -> str:
    """UTF-8 if it is that, for nothing else looks like it; else as declared; else as guessed; else what is left."""
    for charset in ("utf-8", declared, guess(value)):
        if charset and (text := decode_as(value, charset)) is not None:
            return text
    return value.decode("ascii", "replace")
