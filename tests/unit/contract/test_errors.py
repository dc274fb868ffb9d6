"""Errors go from one process to another."""

import pickle

import pytest

from headrace.contract.errors import (
    ContractError,
    Coordinate,
    DependencyError,
    HeadraceError,
    RecordError,
    Rejected,
    SchemaError,
    SettingsError,
    another_tokenizer,
)

AT = Coordinate("text.raw", 1, 7)


@pytest.mark.parametrize(
    "error",
    [
        HeadraceError("one"),
        SettingsError("two"),
        DependencyError("three"),
        ContractError("four"),
        RecordError(AT, "five"),
        SchemaError(AT, 9, (1, 2)),
        another_tokenizer("the blocks were", "a", "b"),
        Rejected("too_long", "8 MiB"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_as_it_was(error: HeadraceError) -> None:
    there = pickle.loads(pickle.dumps(error))
    assert (type(there), str(there), vars(there)) == (type(error), str(error), vars(error))
