"""A text on its way through the steps, with what they have learned about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from flink_jobs.text.rules.characters import SYMBOL


@dataclass(frozen=True)
class Draft:
    """`language`: an ISO 639 code, None where it is not known.

    Words and lines are taken once and shared by all rules that read the same text.
    """

    text: str
    language: str | None = None

    def edited(self, text: str) -> Draft:
        """The same document with another text."""
        return self if text == self.text else replace(self, text=text)

    @cached_property
    def words(self) -> list[str]:
        """What white space parts: a comma is no word of its own."""
        return self.text.split()

    @cached_property
    def symbols(self) -> list[str]:
        """The words of nothing but punctuation."""
        return SYMBOL.findall(self.text)

    @cached_property
    def lines(self) -> list[str]:
        """Empty ones too."""
        return self.text.split("\n")
