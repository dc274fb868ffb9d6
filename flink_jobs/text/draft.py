"""A text on its way through the steps, with what they have learned about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from flink_jobs.text.rules.characters import ALL_PUNCTUATION, PUNCTUATION
from headrace.contract.documents import Kind


@dataclass(frozen=True)
class Draft:
    """`language`: an ISO 639 code, None where it is not known. `kind`: what the text is before it is taken out of that.
    `normal`: whether the text is in its one spelling. `hidden`: how many private things were, by kind.

    Words and lines are taken once and shared by all rules that read the same text.
    """

    text: str
    language: str | None = None
    kind: Kind = "text"
    normal: bool = False
    hidden: Mapping[str, int] = field(default_factory=dict)

    def edited(self, text: str, kind: Kind | None = None) -> Draft:
        """The same document with another text, and maybe of another kind."""
        if text == self.text and kind in (None, self.kind):
            return self
        return replace(self, text=text, kind=kind or self.kind, normal=False)

    def spelled(self, text: str) -> Draft:
        """In its one spelling."""
        return replace(self, text=text, normal=True)

    def known_as(self, language: str) -> Draft:
        """The same text, in that language."""
        return replace(self, language=language)

    def hiding(self, text: str, hidden: Mapping[str, int]) -> Draft:
        """With another text, in which so many private things were replaced."""
        return replace(self, text=text, hidden=hidden)

    @cached_property
    def words(self) -> list[str]:
        """What white space parts: a comma is no word of its own."""
        return self.text.split()

    @cached_property
    def symbols(self) -> list[str]:
        """The words of nothing but punctuation, of a text in its one spelling: no control characters."""
        return [word for word in self.words if word[0] in PUNCTUATION and not word.strip(ALL_PUNCTUATION)]

    @cached_property
    def lines(self) -> list[str]:
        """Empty ones too."""
        return self.text.split("\n")
