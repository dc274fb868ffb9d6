"""What becomes of one published document: the whole of the clean job but for the memory of what it has seen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate

from flink_jobs.text.draft import Draft
from flink_jobs.text.steps import Step, run, steps_of
from headrace.contract.cleaning import Clean
from headrace.contract.documents import CleanDocument, RawDocument, decode_raw

Headers = Mapping[str, bytes | None]


class Cleaner:
    """Makes clean documents by the profiles of their sources. One for each worker; can be pickled."""

    def __init__(self, rules: Clean) -> None:
        self.rules = rules
        by_name = {name: steps_of(profile, rules) for name, profile in rules.profiles.items()}
        self._usual = by_name[rules.profile]
        self._others = [(re.compile(translate(pattern)), by_name[name]) for pattern, name in rules.patterns]

    def decode(self, value: bytes | None, headers: Headers) -> RawDocument:
        """A record of `text.raw` as its publisher meant it. Raises Rejected."""
        return decode_raw(value, headers, self.rules.max_document_bytes)

    def steps(self, source: str) -> tuple[Step, ...]:
        """What is done to a text of that source."""
        return next((steps for pattern, steps in self._others if pattern.match(source)), self._usual)

    def accept(self, value: bytes | None, headers: Headers, raw: tuple[int, int], published: int) -> CleanDocument:
        """Decode, mend and judge a record of `text.raw`; its time is its own, else `published` (epoch milliseconds).

        Raises Rejected with the first reason that applies.
        """
        said = self.decode(value, headers)
        draft = run(Draft(said.text), self.steps(said.source))
        return CleanDocument(
            raw=raw,
            id=said.id,
            source=said.source,
            time=published if said.time is None else said.time,
            language=draft.language,
            text=draft.text,
            label=said.label,
            hidden=draft.hidden,
        )
