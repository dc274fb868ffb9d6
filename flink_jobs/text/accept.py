"""What becomes of one published document: the whole of the clean job but for the memory of what it has seen."""

from __future__ import annotations

from collections.abc import Mapping

from flink_jobs.text.charset import guess
from flink_jobs.text.draft import Draft
from flink_jobs.text.steps import Step, run, steps_of
from headrace.contract.cleaning import Clean
from headrace.contract.documents import PLAIN, CleanDocument, RawDocument, decode_raw
from headrace.contract.errors import Rejected

Headers = Mapping[str, bytes | None]


class Cleaner:
    """Makes clean documents by the profiles of their sources. One for each worker; can be pickled."""

    def __init__(self, rules: Clean) -> None:
        self.rules = rules
        self._steps = {name: steps_of(profile, rules) for name, profile in rules.profiles.items()}

    def decode(self, value: bytes | None, headers: Headers) -> RawDocument:
        """A record of `text.raw` as its publisher meant it. Raises Rejected."""
        limit = self.rules.max_document_bytes
        try:
            return decode_raw(value, headers, limit)
        except Rejected as no:
            source = (headers.get("source") or b"").decode("utf-8", "replace")
            guessed = self.rules.guesses_encoding_of(source) and no.reason == "invalid_utf8" and guess(value or b"")
            if not guessed:
                raise
            kind = (headers.get("content-type") or PLAIN.encode()).partition(b";")[0]
            return decode_raw(value, {**headers, "content-type": kind + b"; charset=" + guessed.encode()}, limit)

    def steps(self, source: str) -> tuple[Step, ...]:
        """What is done to a text of that source."""
        return self._steps[self.rules.profile_of(source)]

    def accept(self, value: bytes | None, headers: Headers, raw: tuple[int, int], published: int) -> CleanDocument:
        """Decode, mend and judge a record of `text.raw`; its time is its own, else `published` (epoch milliseconds).

        Raises Rejected with the first reason that applies.
        """
        said = self.decode(value, headers)
        draft = run(Draft(said.text, kind=said.kind), self.steps(said.source))
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
