"""The demo's arithmetic and what it shows: counts from records, entropy, the last tenth."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from headrace.cli.demo_report import learned
from headrace.cli.demo_run import fresh, sendable, settings_of_demo, texts
from headrace.cli.demo_view import View
from headrace.cli.watch import Seen
from headrace.contract.blocks import Block
from headrace.contract.documents import RawDocument, RejectedHeaders, decode_raw
from headrace.contract.errors import RecordError, SettingsError
from headrace.contract.plan import Origin, Run, Step
from headrace.contract.settings import load
from headrace.contract.topics import BLOCKS, CHECKPOINTS, CLEAN, PLAN, RAW, REJECTED, STEPS
from headrace.contract.training import CheckpointAnnouncement, IdleReport, StepReport
from headrace.local.corpora import Document
from headrace.page.learning import last_tenth_loss, unigram_entropy


class Record:
    """As much of a Kafka message as `Seen` looks at."""

    def __init__(self, value: bytes | None, headers: dict[str, bytes] | None = None) -> None:
        self._value, self._headers = value, list((headers or {}).items())

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def topic(self) -> str:
        return "topic"

    def partition(self) -> int:
        return 1

    def offset(self) -> int:
        return 2


def report(step: int, loss: float, tokens: int, run: str = "main") -> StepReport:
    values: dict[str, Any] = {"attempt": "a", "fed": "", "tokens_total": 0, "grad_norm": 1.0, "learning_rate": 0.1}
    more: dict[str, Any] = {"skipped": False, "seconds": {}, "age_s": 1.5, "sources": {}, "ranks": 1, "time": 0}
    return StepReport(run=run, seq=step + 1, step=step, loss=loss, tokens=tokens, **values, **more)


def block(tokens: list[int], starts: list[int], begins: list[int], sizes: list[int]) -> bytes:
    spans = {"doc_start": starts, "doc_from": begins, "doc_tokens": sizes, "doc_before": [0] * len(starts)}
    arrays: dict[str, Any] = {name: np.array(value, np.int32) for name, value in spans.items()}
    raw = np.zeros((len(starts), 2), np.int64)
    source = np.zeros(len(starts), np.int32)
    fixed: dict[str, Any] = {"sources": ("s",), "tokenizer": "t", "window": 0, "shard": 0, "number": 0}
    return Block(np.array(tokens, np.uint16), doc_raw=raw, doc_source=source, **arrays, **fixed).encode()


def test_nothing_is_trained_until_every_count_meets() -> None:
    seen = Seen("main")
    for _ in range(3):
        seen.take(RAW, Record(b"x"))
    seen.take(CLEAN, Record(b"{}"))
    seen.take(CLEAN, Record(b"{}"))
    for reason, stage in (("duplicate", "clean"), ("no_tokens", "tokenize")):
        seen.take(REJECTED, Record(None, RejectedHeaders(reason, stage, "", (0, 0)).encode()))  # type: ignore[arg-type]
    assert (seen.decided, seen.accepted, seen.rejected_late) == (3, 2, 1)
    seen.take(BLOCKS, Record(block([5, 1, 1], [0], [0], [5])))
    assert (seen.packed, seen.tokens) == (0, 3)
    seen.take(BLOCKS, Record(block([5, 2], [0], [3], [5])))
    assert (seen.packed, seen.frequencies.tolist()) == (1, [0, 2, 1, 0, 0, 2])
    seen.take(PLAN, Record(Origin(cluster="c", topics={}, tokenizer="t", time=0).encode()))
    run = Run(0, 0, 1, 2, "d")
    step = Step(seq=1, step=0, blocks=(run,), tokens=5, tokens_before=0, next={0: 2}, time=0)
    seen.take(PLAN, Record(step.encode()))
    seen.take(STEPS, Record(report(0, 6.0, 5, run="other").encode()))
    seen.take(STEPS, Record(IdleReport(run="main", attempt="a", seq=1, step=0, fed="", time=0).encode()))
    assert not seen.all_trained(3)
    seen.take(STEPS, Record(report(0, 6.0, 5).encode()))
    seen.take(STEPS, Record(report(0, 6.0, 5).encode()))
    assert seen.all_trained(3)
    assert not seen.all_trained(4)
    assert not seen.saved()
    seen.take(CHECKPOINTS, Record(None))
    for number in (1, 0):
        announced = CheckpointAnnouncement(run="main", attempt="a", seq=2, step=number, path="p", bytes=1, time=0)
        seen.take(CHECKPOINTS, Record(announced.encode()))
    assert seen.saved()


def test_a_record_that_cannot_be_read_is_named() -> None:
    with pytest.raises(RecordError, match=r"topic\[1\]@2"):
        Seen("main").take(STEPS, Record(b"{}"))


def test_entropy_of_a_fair_coin_and_of_certainty() -> None:
    assert unigram_entropy(np.array([0, 4, 0, 4])) == pytest.approx(math.log(2))
    assert unigram_entropy(np.array([0, 7])) == 0


def test_the_last_tenth_is_of_tokens_not_of_steps() -> None:
    steps = [report(0, 9.0, 85), report(1, 4.0, 10), report(2, 2.0, 5)]
    assert last_tenth_loss([85, 10, 5], [9.0, 4.0, 2.0]) == pytest.approx((5 * 4.0 + 5 * 2.0) / 10)
    found = learned(np.array([50, 50]), dict(enumerate(steps)))
    assert found.first_loss == 9.0
    assert found.margin == pytest.approx(math.log(2) - 3.0)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_view_shows_counts_on_a_terminal_and_in_lines(terminal: bool) -> None:
    seen = Seen("main", published=1234, accepted=999, steps={0: report(0, 6.5, 5)}, planned_steps=2)
    seen.rejected["gopher_short_doc"] = 17
    written = io.StringIO()
    with View(Console(file=written, force_terminal=terminal, width=120), documents=2000) as view:
        view.update(seen, {"broker": True, "planner": False}, 4.0)
        view.update(seen, {"broker": True, "planner": False}, 6.0)
    said = written.getvalue()
    for part in ("6.500", "1,234", "short_doc 17", "planner") if terminal else ("6.500", "in 1234", "steps 1/2"):
        assert part in said
    assert terminal or said.count("\n") == 1


def test_a_demo_deletes_only_what_a_demo_made(tmp_path: Path) -> None:
    data = fresh(tmp_path / "new" / "demo")
    (data / "kafka").mkdir()
    assert [path.name for path in fresh(data).iterdir()] == [".headrace-demo"]
    (tmp_path / "mine").mkdir()
    assert fresh(tmp_path / "mine") == tmp_path / "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(SettingsError, match="no demo made it"):
        fresh(tmp_path / "other")


def test_a_demo_stands_alone_whatever_the_settings_say(tmp_path: Path) -> None:
    given = ["kafka.brokers=prod:9092", "trainer.checkpoint_dir=/models", "local.ports.broker=9092", "trainer.ranks=3"]
    own = settings_of_demo(load(assignments=given, environment={}).settings, tmp_path)
    assert (own.kafka.brokers, own.local.ports.broker, own.trainer.ranks) == ("", 0, 3)
    assert (own.data_dir, own.checkpoint_dir) == (tmp_path, tmp_path / "checkpoints")


def test_a_file_of_documents_is_read_whole_or_its_first_bad_line_is_named(tmp_path: Path) -> None:
    settings = load(environment={}).settings
    file = tmp_path / "d.jsonl"
    file.write_text('{"text": "a"}\n\n{"text": "b"}')
    assert [value for value, _ in texts(settings, file, 1)] == [b'{"text": "a"}', b'{"text": "b"}']
    file.write_text('{"text": "a"}\n{"text": 1}')
    with pytest.raises(SettingsError, match=r"d\.jsonl:2: bad_field"):
        texts(settings, file, 1)
    file.write_text("\n")
    with pytest.raises(SettingsError, match="no document"):
        texts(settings, file, 1)


def test_a_sent_document_of_a_corpus_decodes_to_itself() -> None:
    value, headers = sendable(Document("1", "chat", "hi", 5, "ham"))
    assert decode_raw(value, {"content-type": headers["content-type"].encode()}, 99) == RawDocument(
        "hi", "1", "chat", 5, "ham"
    )
    value, headers = sendable(Document("2", "mail", "é", 5, "ham", raw=b"\xe9"))
    assert (value, headers["content-type"], headers["source"]) == (b"\xe9", "text/plain", "mail")
