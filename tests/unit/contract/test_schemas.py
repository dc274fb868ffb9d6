"""Rolling upgrades: a field that was added is passed over or has its default, another version stops its reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
import safetensors.numpy
from reports import step_report

from flink_jobs.text.outcome import stop_at_newer
from headrace.audit.blockview import view
from headrace.contract.blocks import SPAN_TENSORS, Block, Seal
from headrace.contract.documents import CleanDocument
from headrace.contract.errors import ContractError, Coordinate, RecordError, SchemaError
from headrace.contract.plan import Origin, Run, Step, decode_plan
from headrace.contract.record import READS, SCHEMA, Record
from headrace.contract.training import (
    CheckpointAnnouncement,
    CheckpointFile,
    Command,
    IdleReport,
    Manifest,
    decode_report,
)

AT = Coordinate("some.topic", 3, 41)
WHO = {"run": "main", "attempt": "a", "seq": 4, "step": 3, "time": 1}
PINS = {"cluster": "c", "topics": {"text.raw": "t"}, "tokenizer": "t"}
RECORDS: list[tuple[Callable[[bytes | None, Coordinate], Record], Record]] = [
    (
        CleanDocument.decode,
        CleanDocument(raw=(0, 1), id=None, source="s", time=1, language=None, text="a text", label=None),
    ),
    (Seal.decode, Seal(start=0, end=1, shard=0, documents=1, tokens=1, blocks=1, digest="")),
    (decode_plan, Origin(**PINS, time=1)),
    (decode_plan, Step(seq=1, step=0, blocks=(Run(0, 0, 0, 1, ""),), tokens=1, tokens_before=0, next={0: 1}, time=1)),
    (decode_report, step_report(**WHO)),
    (decode_report, IdleReport(**WHO, fed="")),
    (CheckpointAnnouncement.decode, CheckpointAnnouncement(**WHO, path="p", bytes=1)),
    (Command.decode, Command(run="main", id="i", command="stop", time=1)),
    (
        Manifest.decode,
        Manifest(
            **WHO,
            **PINS,
            tokens=1,
            fed="",
            parent=None,
            weights="",
            fingerprint={},
            settings={},
            files=(CheckpointFile(name="n", bytes=1, sha256=""),),
        ),
    ),
]
every_record = pytest.mark.parametrize(("read", "made"), RECORDS, ids=lambda one: type(one).__name__)


def changed(made: Record, **fields: Any) -> bytes:
    return json.dumps(json.loads(made.encode()) | fields).encode()


@every_record
def test_a_field_that_a_newer_writer_added_is_passed_over(
    read: Callable[[bytes | None, Coordinate], Record], made: Record
) -> None:
    assert read(changed(made, added_later={"by": "somebody"}), AT) == made


@every_record
def test_a_newer_version_stops_the_reader_and_names_both_sides(
    read: Callable[[bytes | None, Coordinate], Record], made: Record
) -> None:
    named = rf"some\.topic\[3\]@41: is of schema {SCHEMA + 1}, this program reads 1: renew this program first"
    with pytest.raises(SchemaError, match=named) as caught:
        read(changed(made, schema=SCHEMA + 1), AT)
    assert isinstance(caught.value, ContractError)
    assert caught.value.exit_code == 4
    with pytest.raises(SchemaError, match=named):  # also where it looks quite different
        read(b'{"schema": %d, "kind": "unheard of"}' % (SCHEMA + 1), AT)


@every_record
def test_a_version_that_is_not_read_any_more_is_named(
    read: Callable[[bytes | None, Coordinate], Record], made: Record
) -> None:
    with pytest.raises(SchemaError, match="is of schema 0, this program reads 1: read it with the version that wrote"):
        read(changed(made, schema=min(READS) - 1), AT)


@every_record
def test_a_record_that_does_not_fit_is_no_question_of_versions(
    read: Callable[[bytes | None, Coordinate], Record], made: Record
) -> None:
    for broken in (b"{}", b"[]", b"no json", changed(made, time="never", start="never", schema="one")):
        with pytest.raises(RecordError) as caught:
            read(broken, AT)
        assert not isinstance(caught.value, SchemaError)


def test_a_field_that_an_older_writer_did_not_know_has_its_default() -> None:
    made = IdleReport(**WHO, fed="")
    older = {name: value for name, value in json.loads(made.encode()).items() if name != "save_error"}
    assert decode_report(json.dumps(older).encode(), AT) == made


def block(**metadata: str) -> bytes:
    """A block of one document, as written by another version: with one tensor more than this one knows."""
    spans = {name: np.zeros((1, 2) if name == "doc_raw" else 1, dtype) for name, dtype in SPAN_TENSORS.items()}
    tensors = {"tokens": np.ones(3, np.uint16), **spans, "doc_added_later": np.zeros(1, np.int32)}
    tensors["doc_tokens"][:] = 3
    said = {"tokenizer": "t", "window": "0", "shard": "0", "number": "0", "sources": orjson.dumps(["a"]).decode()}
    return bytes(safetensors.numpy.save(tensors, {"schema": str(SCHEMA), **said, **metadata}))


@pytest.mark.parametrize("read", [Block.decode, lambda value, at: view(value, at.topic, at.partition, at.offset)])
def test_blocks_follow_the_same_rule(read: Callable[[bytes, Coordinate], object]) -> None:
    read(block(added_later="x"), AT)
    for other in (SCHEMA + 1, min(READS) - 1):
        with pytest.raises(SchemaError, match=f"is of schema {other}, this program reads 1"):
            read(block(schema=str(other)), AT)


def test_tokenize_does_not_reject_what_a_newer_clean_job_wrote() -> None:
    made = RECORDS[0][1]
    stop_at_newer(made.encode(), AT)
    stop_at_newer(None, AT)
    stop_at_newer(b"not a record at all", AT)
    with pytest.raises(SchemaError):
        stop_at_newer(made.encode().replace(b'"schema":1', b'"schema":2'), AT)
