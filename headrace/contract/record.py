"""The base of every JSON record: frozen, with a version, and a typed error with the coordinate when it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.contract.errors import Coordinate, RecordError, SchemaError

SCHEMA: Final = 1
"""Version of every format in this package, as it is written.

Inside a version fields are only added, each with a default that means what was before; a reader passes over those that
it does not know. Whatever changes the meaning of a record takes the next number.
"""
READS: Final = (1,)
"""Versions that are read: what is written, and from the second on also the one before it. So a new version comes to the
readers first and to the writers afterwards; who meets a newer one than it reads stops."""


class Record(BaseModel):
    """One JSON value in a topic or a manifest."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    version: int = Field(default=SCHEMA, alias="schema")

    def encode(self) -> bytes:
        """The JSON bytes that go into Kafka."""
        return self.model_dump_json(by_alias=True).encode()

    @classmethod
    def decode(cls, value: bytes | None, at: Coordinate) -> Self:
        """Read a record; raises RecordError naming `at` and the first field that does not fit, SchemaError."""
        return decode_with(cls.model_validate_json, value, at)


R = TypeVar("R", bound=Record)


def decode_with(read: Callable[[bytes], R], value: bytes | None, at: Coordinate) -> R:
    """What `read` makes of a record's JSON; raises RecordError naming `at` and what does not fit, SchemaError."""
    if value is None:
        raise RecordError(at, "has no value")
    try:
        record = read(value)
    except ValidationError as error:
        check_schema(_schema_of(value), at)
        raise RecordError(at, first_problem(error)) from None
    check_schema(record.version, at)
    return record


def check_schema(schema: int, at: Coordinate) -> None:
    """Raise SchemaError, naming both sides, for a version that is not read here."""
    if schema not in READS:
        raise SchemaError(at, schema, READS)


def _schema_of(value: bytes) -> int:
    """The version that a record says which could not be read; that of today if it says none."""
    try:
        said = orjson.loads(value)
    except ValueError:
        return SCHEMA
    schema = said.get("schema", SCHEMA) if isinstance(said, dict) else SCHEMA
    return schema if isinstance(schema, int) else SCHEMA


def first_problem(error: ValidationError) -> str:
    """The first thing pydantic found wrong, in one line."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])
