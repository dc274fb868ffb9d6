"""The base of every JSON record: frozen, no unknown fields, a typed error with the coordinate when it does not fit."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.contract.errors import Coordinate, RecordError

SCHEMA: Final = 1
"""Version of every format in this package. A reader meets another one: it stops and names both."""


class Record(BaseModel):
    """One JSON value in a topic or a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    version: Literal[1] = Field(default=1, alias="schema")

    def encode(self) -> bytes:
        """The JSON bytes that go into Kafka."""
        return self.model_dump_json(by_alias=True).encode()

    @classmethod
    def decode(cls, value: bytes | None, at: Coordinate) -> Self:
        """Read a record; raises RecordError naming `at` and the first field that does not fit."""
        if value is None:
            raise RecordError(at, "has no value")
        try:
            return cls.model_validate_json(value)
        except ValidationError as error:
            raise RecordError(at, first_problem(error)) from None


def first_problem(error: ValidationError) -> str:
    """The first thing pydantic found wrong, in one line."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])
