"""`clean`: one record of `text.raw` in, exactly one judged row out, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from pyflink.table import DataTypes, TableFunction

from flink_jobs.text.accept import accept
from flink_jobs.text.normalise import fingerprint
from headrace.contract.documents import RejectedHeaders, headers_to_keep
from headrace.contract.errors import Rejected
from headrace.contract.settings import Clean
from headrace.contract.topics import LARGEST_OUTPUT_BYTES

Row = tuple[bytes | None, bytes | None, dict[str, bytes]]
"""value: the encoded CleanDocument, or the original bytes. fingerprint: of an accepted text, else NULL. headers: of the
record in `text.rejected`, for an accepted document in case it is a duplicate."""

RESULT = [DataTypes.BYTES(), DataTypes.BYTES(), DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES())]


class CleanFunction(TableFunction):  # type: ignore[misc]
    """`eval(value, headers, partition, offset, timestamp)` judges one record of `text.raw`."""

    def __init__(self, rules: Clean) -> None:
        self.rules = rules

    def eval(
        self, value: bytes | None, headers: Mapping[str, bytes], partition: int, offset: int, timestamp: datetime
    ) -> Iterator[Row]:
        yield self._judge(value, headers, (partition, offset), round(timestamp.timestamp() * 1000))

    def _judge(self, value: bytes | None, headers: Mapping[str, bytes], raw: tuple[int, int], published: int) -> Row:
        try:
            document = accept(value, headers, raw, published, self.rules)
            encoded = document.encode()
            if len(encoded) > LARGEST_OUTPUT_BYTES:
                raise Rejected("too_long", f"{len(encoded)} bytes encoded, limit {LARGEST_OUTPUT_BYTES}")
            duplicate = RejectedHeaders("duplicate", "clean", "", raw)
            return encoded, fingerprint(document.text), duplicate.encode()
        except Rejected as no:
            return value, None, RejectedHeaders(no.reason, "clean", no.detail, raw, headers_to_keep(headers)).encode()
        # The outermost guard: a defect of ours costs one document and is seen in text.rejected; it stops no stream.
        except Exception as defect:
            kept = headers_to_keep(headers)
            return value, None, RejectedHeaders("internal_error", "clean", type(defect).__name__, raw, kept).encode()
