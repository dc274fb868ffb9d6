"""What becomes of one published document: the whole of the clean job but for the memory of what it has seen."""

from __future__ import annotations

from collections.abc import Mapping

from flink_jobs.text.normalise import normalise
from flink_jobs.text.quality import check
from headrace.contract.documents import CleanDocument, decode_raw
from headrace.contract.errors import Rejected
from headrace.contract.settings import Clean


def accept(
    value: bytes | None, headers: Mapping[str, bytes | None], raw: tuple[int, int], published: int, rules: Clean
) -> CleanDocument:
    """Decode, normalise and judge a record of `text.raw`; its time is its own, else `published` (epoch milliseconds).

    Raises Rejected with the first reason that applies.
    """
    said = decode_raw(value, headers, rules.max_document_bytes)
    text = normalise(said.text, rules.normal_form)
    if not text:
        raise Rejected("empty")
    if rules.quality:
        check(text, rules.min_words, rules.max_words)
    return CleanDocument(
        raw=raw,
        id=said.id,
        source=said.source,
        time=published if said.time is None else said.time,
        language=None,
        text=text,
        label=said.label,
    )
