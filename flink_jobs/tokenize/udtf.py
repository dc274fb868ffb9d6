"""`tokenize`: a record of `text.clean` in, one row out. `pack`: a window of one shard in, its blocks and seal out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pyflink.table import DataTypes, FunctionContext, TableFunction

from flink_jobs.quarantine import Quarantine, Quarantined
from flink_jobs.text.outcome import EncodedRow, TokenizeJudge, raw_of, stop_at_newer
from flink_jobs.text.pace import Pace
from flink_jobs.text.pack import Encoded, Window, pack
from flink_jobs.text.tokens import Encoder
from flink_jobs.unsampled import stop_sampling
from headrace.contract.blocks import Seal
from headrace.contract.digests import block_digest, run_digest
from headrace.contract.errors import ContractError, Coordinate
from headrace.contract.topics import BLOCKS, CLEAN, WINDOWS

HEADERS = DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES())
ENCODED = [DataTypes.INT(), DataTypes.BYTES(), HEADERS]
PACKED = [DataTypes.STRING(), DataTypes.BYTES(), DataTypes.BYTES(), DataTypes.BIGINT()]

PackedRow = tuple[str, bytes | None, bytes, int]
"""topic, key, value, Kafka timestamp in epoch milliseconds."""


class TokenizeFunction(TableFunction):  # type: ignore[misc]
    """`eval(value, partition, offset, timestamp)` of a record of `text.clean`; of NULL as offset it makes nothing.

    Lets through `rate` bytes of encoded documents a second: what comes faster waits, and Kafka holds it.
    """

    def __init__(
        self,
        judge: type[TokenizeJudge],
        tokenizer: Path,
        digest: str,
        shards: int,
        quarantine: Quarantine[EncodedRow],
        rate: float,
    ) -> None:
        self.make_judge = judge
        self.tokenizer = tokenizer
        self.digest = digest
        self.shards = shards
        self.quarantine = quarantine
        self.rate = rate

    def open(self, function_context: FunctionContext) -> None:
        stop_sampling()
        self.judge = self.make_judge(load(self.tokenizer, self.digest), self.shards)
        self.quarantine.open(self.judge)
        self.pace = Pace(self.rate, time.monotonic, time.sleep)

    def eval(
        self, value: bytes | None, partition: int, offset: int | None, timestamp: datetime
    ) -> Iterator[EncodedRow]:
        if offset is None:
            return
        at = Coordinate(CLEAN, partition, offset)
        stop_at_newer(value, at)
        row = self.quarantine.run((partition, offset), value, at, milliseconds(timestamp))
        if isinstance(row, Quarantined):
            row = self.judge.rejected(raw_of(value), *row.reason)
        self.pace.take(len(row[1] or b""))
        yield row

    def close(self) -> None:
        self.quarantine.close()


class PackFunction(TableFunction):  # type: ignore[misc]
    """`eval(shard, start, end, documents)` of one window of one shard.

    No guard here: what comes in is our own, and a window left out would be documents lost. A defect stops the job.
    """

    def __init__(self, digest: str, begin: int, block_tokens: int) -> None:
        self.digest = digest
        self.begin = begin
        self.block_tokens = block_tokens

    def eval(self, shard: int, start: datetime, end: datetime, documents: Sequence[bytes]) -> Iterator[PackedRow]:
        window = Window(milliseconds(start), shard, self.digest, self.begin)
        inside = [Encoded.from_bytes(document) for document in documents]
        digests = []
        for block, published in pack(inside, window, self.block_tokens):
            value = block.encode()
            digests.append(block_digest(value))
            yield BLOCKS, str(shard).encode(), value, published
        seal = Seal(
            start=window.start,
            end=milliseconds(end),
            shard=shard,
            documents=len(inside),
            tokens=sum(len(document.tokens) for document in inside),
            blocks=len(digests),
            digest=run_digest(digests).hex(),
        )
        yield WINDOWS, None, seal.encode(), min(document.published for document in inside)


def load(path: Path, digest: str) -> Encoder:
    """The encoder; raises ContractError when the file here is not the one that the job was submitted with."""
    encoder = Encoder.load(path)
    if encoder.digest != digest:
        raise ContractError(f"tokenizer {path} has sha256 {encoder.digest}, the job was submitted with {digest}")
    return encoder


def milliseconds(moment: datetime) -> int:
    """Epoch milliseconds; a time without zone is in UTC, the jobs' zone."""
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
