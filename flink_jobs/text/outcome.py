"""One row for one record, whatever it holds: what the two jobs' Python functions give, as plain calls.

A judge raises nothing. Its outermost guard turns a defect of ours into a reject, which costs one document and is seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from flink_jobs.text.accept import Cleaner
from flink_jobs.text.near import band_keys
from flink_jobs.text.normalise import fingerprint
from flink_jobs.text.pack import Encoded
from flink_jobs.text.tokens import Encoder
from headrace.contract.cleaning import Clean
from headrace.contract.digests import shard_of
from headrace.contract.documents import CleanDocument, RejectedHeaders, headers_to_keep
from headrace.contract.errors import Coordinate, RecordError, Rejected
from headrace.contract.record import check_schema
from headrace.contract.topics import LARGEST_OUTPUT_BYTES

CleanRow = tuple[bytes | None, bytes | None, dict[str, bytes], list[int] | None]
"""value: the encoded CleanDocument, or the original bytes. fingerprint: of an accepted text, else NULL. headers: of the
record in `text.rejected`, for an accepted document in case it is a duplicate. bands: of an accepted text, with
clean.near_dedup, else NULL."""

EncodedRow = tuple[int | None, bytes | None, dict[str, bytes] | None]
"""shard and document of a record that could be encoded; else both NULL, and the headers of its reject."""

RAW = re.compile(rb'\{"schema":\d+,"raw":\[(\d{1,18}),(\d{1,18})\]')
"""How a record of `text.clean` begins."""
SCHEMA_OF = re.compile(rb'\{"schema":(\d{1,9}),')
UNKNOWN = (-1, -1)
"""Raw coordinate of a record of `text.clean` that does not say it; its own stands in the detail."""


@dataclass(frozen=True)
class CleanJudge:
    """Judges records of `text.raw`."""

    rules: Clean

    @cached_property
    def cleaner(self) -> Cleaner:
        """Made by the first document of a worker."""
        return Cleaner(self.rules)

    def __call__(
        self, value: bytes | None, headers: Mapping[str, bytes | None], raw: tuple[int, int], published: int
    ) -> CleanRow:
        try:
            document = self.cleaner.accept(value, headers, raw, published)
            encoded = document.encode()
            if len(encoded) > LARGEST_OUTPUT_BYTES:
                raise Rejected("too_long", f"{len(encoded)} bytes encoded, limit {LARGEST_OUTPUT_BYTES}")
            duplicate = RejectedHeaders("duplicate", "clean", "", raw)
            bands = band_keys(document.text, raw) if self.rules.near_dedup else None
            return encoded, fingerprint(document.text), duplicate.encode(), bands
        except Rejected as no:
            return self.rejected(value, headers, raw, no.reason, no.detail)
        except Exception as defect:
            return self.rejected(value, headers, raw, "internal_error", type(defect).__name__)

    def rejected(
        self,
        value: bytes | None,
        headers: Mapping[str, bytes | None],
        raw: tuple[int, int],
        reason: str,
        detail: str,
    ) -> CleanRow:
        """The row of a document that is not accepted."""
        return value, None, RejectedHeaders(reason, "clean", detail, raw, headers_to_keep(headers)).encode(), None


@dataclass(frozen=True)
class TokenizeJudge:
    """Encodes records of `text.clean`."""

    encoder: Encoder
    shards: int

    def __call__(self, value: bytes | None, at: Coordinate, published: int) -> EncodedRow:
        raw = UNKNOWN
        try:
            document = CleanDocument.decode(value, at)
            raw = document.raw
            tokens = self.encoder.encode(document.text)
            encoded = Encoded((at.partition, at.offset), raw, published, document.source, tokens)
            return shard_of(*raw, self.shards), encoded.to_bytes(), None
        except Rejected as no:
            return self.rejected(raw, no.reason, no.detail)
        except RecordError as error:
            return self.rejected(raw, "bad_record", str(error)[:200])
        except Exception as defect:
            return self.rejected(raw, "internal_error", type(defect).__name__)

    def rejected(self, raw: tuple[int, int], reason: str, detail: str) -> EncodedRow:
        """The row of a record that gives no tokens."""
        return None, None, RejectedHeaders(reason, "tokenize", detail, raw).encode()


def raw_of(value: bytes | None) -> tuple[int, int]:
    """The raw coordinate in a record of `text.clean` that must not be decoded: decoding may be what kills."""
    found = RAW.match(value or b"")
    return (int(found[1]), int(found[2])) if found else UNKNOWN


def stop_at_newer(value: bytes | None, at: Coordinate) -> None:
    """Raise SchemaError for a record that a newer clean job wrote: it stops the job, where a reject would lose it."""
    if found := SCHEMA_OF.match(value or b""):
        check_schema(int(found[1]), at)
