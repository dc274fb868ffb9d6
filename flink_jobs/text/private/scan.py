"""One pass over a text, by RE2: its time grows with the text alone, whatever stands in it.

RE2 looks neither ahead nor behind, so a pattern finds what may be private, and a method of `Hiding` decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import re2

from flink_jobs.text.draft import Draft
from flink_jobs.text.private import numbers

GATE = re.compile(r"[0-9@]|-----BEGIN")
"""Nothing private is without one of these; a key has digits."""
MOST_PHONES = 300
"""So many runs of digits in a text are looked at as telephones; beyond, all that look like one are taken for one."""


class Hiding:
    """Decides on the hits in one document, and counts by kind what it hides. Each method gives what stands in place."""

    def __init__(self, language: str | None) -> None:
        self.language = language
        self.hidden: Counter[str] = Counter()
        self.asked = 0

    def hide(self, kind: str) -> str:
        self.hidden[kind] += 1
        return f"<{kind}>"

    def secret(self, found: str) -> str:
        return self.hide("SECRET")

    def login(self, found: str) -> str:
        return f"{found.partition('://')[0]}://{self.hide('SECRET')}@"

    def password(self, found: str) -> str:
        """What is said to be a password is one if it has letters and digits; `password: required` is a form."""
        said = PASSWORD_NAME.match(found)
        assert said is not None, "RE2 has found it"
        value = found[said.end() :]
        mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
        return said[0] + self.hide("SECRET") if mixed else found

    def email(self, found: str) -> str:
        return self.hide("EMAIL")

    def iban(self, found: str) -> str:
        account = numbers.iban_in(found)
        return self.hide("IBAN") + found[len(account) :] if account else found

    def address(self, found: str) -> str:
        return self.hide("IP") if numbers.is_public(found) else found

    def number(self, found: str) -> str:
        seen = self.hidden.total()
        text = numbers.SHAPES.sub(self._shape, found)
        return text if self.hidden.total() > seen or found.isdigit() else self._phones(found)

    def _shape(self, hit: re.Match[str]) -> str:
        kind = str(hit.lastgroup)
        return self.hide(kind) if VALID[kind](hit[0]) else hit[0]

    def _phones(self, found: str) -> str:
        self.asked += 1
        if self.asked > MOST_PHONES:
            return self.hide("PHONE")
        for start, end in reversed(numbers.phones_in(found, self.language)):
            found = found[:start] + self.hide("PHONE") + found[end:]
        return found


VALID: Mapping[str, Callable[[str], bool]] = {
    "CARD": lambda found: numbers.is_card(re.sub("[ -]", "", found)),
    "SSN": numbers.is_ssn,
    "IP": numbers.is_public,
}
KEYS = r"""\b(?:AKIA|ASIA)[0-9A-Z]{16}\b
\bgh[pousr]_[A-Za-z0-9]{36,}
\bgithub_pat_[A-Za-z0-9_]{22,}
\bglpat-[A-Za-z0-9_-]{20,}
\bxox[abeoprs]-[A-Za-z0-9-]{10,}
\bAIza[0-9A-Za-z_-]{35}
\bsk-[A-Za-z0-9_-]{20,}
\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}
\bnpm_[A-Za-z0-9]{36}\b
\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"""
"""They say by their shape what they are: AWS, GitHub, GitLab, Slack, Google, OpenAI, Stripe, npm, JSON web tokens."""
NAMES = r"passw(?:or)?d|passphrase|secret|api[ _-]?key|access[ _-]?token|auth[ _-]?token"
PASSWORD_NAME = re.compile(rf"(?:{NAMES})[\"']?\s?[:=]\s?[\"']?", re.IGNORECASE)
SECRETS: Mapping[str, str] = {
    "secret": KEYS.replace("\n", "|"),
    "login": r"\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@]{1,100}:[^\s/@]{1,100}@",
    "password": rf"(?i:{NAMES})[\"']?\s?[:=]\s?[\"']?[!-~]{{8,}}",
}
ALL: Mapping[str, str] = {
    **SECRETS,
    "email": r"[A-Za-z0-9][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z][A-Za-z0-9-]+",
    "iban": r"\b[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b",
    "address": r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b|\b[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){3,7}",
    "number": r"[+(]?[0-9](?:[ ().\-/]{0,3}[0-9]){5,40}",
}
"""What may be private, by the method that decides on it. Repetitions have bounds where a hit could begin again within:
else each hit could cost a look at all the rest."""

PATTERNS: Mapping[str, Any] = {
    name: re2.compile("|".join(f"({pattern})" for pattern in kinds.values()))
    for name, kinds in {"secrets": SECRETS, "all": ALL}.items()
}
DECIDE = tuple(getattr(Hiding, name) for name in ALL)
"""By the number of the group, which is the same in both patterns."""
BEGIN, END = re.compile("-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"), re.compile("-----END [A-Z ]{0,30}PRIVATE KEY-----")


def hide(draft: Draft, kinds: str) -> Draft:
    """The draft with placeholders, and how many of each kind; `kinds`: secrets or all."""
    if not GATE.search(draft.text):
        return draft
    hiding = Hiding(draft.language)
    text = _without_private_keys(draft.text, hiding) if "-----BEGIN" in draft.text else draft.text
    text = PATTERNS[kinds].sub(lambda hit: DECIDE[hit.lastindex - 1](hiding, hit[0]), text)
    return draft.hiding(text, hiding.hidden) if hiding.hidden else draft


def _without_private_keys(text: str, hiding: Hiding) -> str:
    """From each BEGIN to its END, or to the end of the text: half a key is one too."""
    kept, at = [], 0
    while begin := BEGIN.search(text, at):
        end = END.search(text, begin.end())
        kept += [text[at : begin.start()], hiding.hide("SECRET")]
        at = end.end() if end else len(text)
    return "".join([*kept, text[at:]])
