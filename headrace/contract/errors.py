"""One tree of errors, and the exit code that each one becomes.

    HeadraceError            1  anything that fits nowhere below
    ├── SettingsError        2  wrong settings or arguments
    ├── DependencyError      3  a part is not there: broker, Java, jar, port
    ├── ContractError        4  a data contract is broken; a restart cannot help
    │   ├── RecordError         … and one record shows it: names topic, partition, offset
    │   │   └── SchemaError         … it is of another version than this program reads
    │   └── TokenizerError      … made with another tokenizer
    └── Rejected             1  one document is not accepted; the job, or whoever publishes, catches it and goes on

A message says what happened, to which record, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class HeadraceError(Exception):
    """Root of all errors that Headrace raises on purpose. Each can be sent to another process."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), *self.args), vars(self)


def _again(kind: type[HeadraceError], *args: object) -> HeadraceError:
    """Without its `__init__`, which may take other arguments than those that it made `args` of."""
    return kind.__new__(kind, *args)


class SettingsError(HeadraceError, ValueError):
    """A setting or an argument is wrong. The message names the key, the value and the fix."""

    exit_code = 2


class DependencyError(HeadraceError):
    """Something that must be there is not. The message says which and how to get it."""

    exit_code = 3


class ContractError(HeadraceError):
    """Data contradicts what was promised about it. Nothing may go on; a restart would meet the same data."""

    exit_code = 4


@dataclass(frozen=True)
class Coordinate:
    """Where a record stands in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class RecordError(ContractError, ValueError):
    """One record cannot be read as what its topic holds."""

    def __init__(self, at: Coordinate, detail: str) -> None:
        super().__init__(f"{at}: {detail}")
        self.at = at
        self.detail = detail


class SchemaError(RecordError):
    """A record is of a version that this program does not read: one of the two must be renewed, nothing is wrong."""

    def __init__(self, at: Coordinate, schema: int, reads: Sequence[int]) -> None:
        here = " and ".join(map(str, reads))
        newer = schema > max(reads)
        what = "renew this program first, then whoever writes" if newer else "read it with the version that wrote it"
        super().__init__(at, f"is of schema {schema}, this program reads {here}: {what}")


class TokenizerError(ContractError):
    """Blocks, plan and model of a deployment speak in the ids of one tokenizer, and this is another one."""


def another_tokenizer(what: str, before: str, now: str) -> TokenizerError:
    """The error that says which two they are, and the way to change it. `what`: with its verb, "the blocks were"."""
    return TokenizerError(
        f"{what} made with tokenizer {before}, tokenizer.path names {now}: a deployment keeps its tokenizer. Set it"
        " back; or begin a new deployment beside this one, with its own kafka.topic_prefix and local.data_dir, fill"
        " it from this one's text.raw (`headrace publish --from-topic`), and let publishers go over when it has"
        " caught up: docs/operating.md"
    )


class Rejected(HeadraceError):
    """One document is not accepted: `reason` is one of `documents.REASONS`, `detail` the value that broke the rule."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
