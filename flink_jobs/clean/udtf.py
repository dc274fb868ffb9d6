"""`clean`: one record of `text.raw` in, exactly one judged row out, whatever it holds or does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from pyflink.table import DataTypes, FunctionContext, TableFunction

from flink_jobs.quarantine import Quarantine, Quarantined
from flink_jobs.text.outcome import CleanJudge, CleanRow
from flink_jobs.unsampled import stop_sampling

RESULT = [
    DataTypes.BYTES(),
    DataTypes.BYTES(),
    DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES()),
    DataTypes.ARRAY(DataTypes.BIGINT()),
]


class CleanFunction(TableFunction):  # type: ignore[misc]
    """`eval(value, headers, partition, offset, timestamp)` judges one record of `text.raw`; of NULL as offset it makes
    nothing: such rows stand behind a long document."""

    def __init__(self, judge: CleanJudge, quarantine: Quarantine[CleanRow]) -> None:
        self.judge = judge
        self.quarantine = quarantine

    def open(self, function_context: FunctionContext) -> None:
        stop_sampling()
        self.quarantine.open(self.judge)

    def eval(
        self,
        value: bytes | None,
        headers: Mapping[str, bytes],
        partition: int,
        offset: int | None,
        timestamp: datetime,
    ) -> Iterator[CleanRow]:
        if offset is None:
            return
        raw = partition, offset
        row = self.quarantine.run(raw, value, headers, raw, round(timestamp.timestamp() * 1000))
        yield self.judge.rejected(value, headers, raw, *row.reason) if isinstance(row, Quarantined) else row

    def close(self) -> None:
        self.quarantine.close()
