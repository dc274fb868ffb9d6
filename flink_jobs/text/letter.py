"""Mail: the body out of a message, and the writer's own words out of the body."""

from __future__ import annotations

import re
from email import message_from_string
from email.message import Message

from flink_jobs.text.charset import decoded
from flink_jobs.text.draft import Draft
from headrace.contract.documents import Kind
from headrace.contract.errors import Rejected

NAME = r"[A-Za-z][A-Za-z0-9-]{1,60}:"
HEADERS = re.compile(rf"(?:From |{NAME} ).*\n(?:(?:{NAME}|[ \t]).*\n)+\r?\n")
"""How a message begins that nobody declared: two headers at least, and an empty line."""
QUOTED = re.compile(r"^ ?>.*\n?", re.MULTILINE)
WROTE = "wrote|writes|said|schrieb|écrit|escribió|ha scritto|schreef|пишет"
ATTRIBUTION = re.compile(rf"^(?! ?>)[^\n]{{0,200}}(?:{WROTE})[^\n]{{0,80}}:\n(?=\n? ?>)", re.MULTILINE)
"""The line above a quotation that says whose it is."""
BELOW = "Original Message|Forwarded message|Ursprüngliche Nachricht|Message d'origine|Mensaje original"
END = re.compile(rf"^--$|^-{{2,}} ?(?:{BELOW}) ?-{{2,}}", re.MULTILINE)
"""Where the writer's own text ends: the signature, or the message that it answers."""
WANTED: tuple[tuple[str, Kind], ...] = (("text/plain", "text"), ("text/html", "html"))


def take_body(draft: Draft, undeclared: bool) -> Draft:
    """What stands in a message: its first part of plain text, else of HTML. Raises Rejected when there is neither.

    `undeclared`: also of a text that begins with headers. What is no message stays as it is.
    """
    if draft.kind != "mail":
        if not (undeclared and draft.kind == "text" and HEADERS.match(draft.text)):
            return draft
        draft = draft.edited(draft.text.encode().decode("ascii", "surrogateescape"))
    parts = [part for part in message_from_string(draft.text).walk() if not part.is_multipart()]
    for wanted, kind in WANTED:
        for part in parts:
            if part.get_content_type() == wanted and not part.get_filename() and (text := _text_of(part)).strip():
                return draft.edited(text, kind)
    raise Rejected("empty")


def own_words(draft: Draft) -> Draft:
    """A normalised body without what others wrote, which is trained on where they wrote it, and without signature."""
    text = draft.text
    if ">" in text:
        text = QUOTED.sub("", ATTRIBUTION.sub("", text))
    if "--" in text and (end := END.search(text)):
        text = text[: end.start()]
    return draft.edited(text)


def _text_of(part: Message) -> str:
    payload = part.get_payload(decode=True)
    return decoded(payload, part.get_content_charset()) if isinstance(payload, bytes) else ""
