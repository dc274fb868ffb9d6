"""What a page is made from, read from topics that lie in memory, and what is said where there is nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from pages import manifest
from reports import step_report
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.cli.report import Page
from headrace.contract.blocks import Block, Seal
from headrace.contract.documents import CleanDocument, RejectedHeaders
from headrace.contract.errors import SettingsError
from headrace.contract.settings import Settings, load
from headrace.contract.topics import BLOCKS, CLEAN, REJECTED, STEPS, WINDOWS
from headrace.page import gather as gathering
from headrace.page.gather import gather


class Message:
    """As much of a Kafka message as is looked at; all were published at the same moment."""

    def __init__(self, value: bytes | None, headers: Mapping[str, bytes] | None = None) -> None:
        self._value, self._headers = value, list((headers or {}).items())

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return 1, 60_000

    def topic(self) -> str:
        return "topic"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0


class Topics:
    """A cluster with one partition a topic."""

    def __init__(self, settings: Settings, **records: list[Message]) -> None:
        self.settings = settings
        self.records = {name.replace("_", "."): found for name, found in records.items()}

    def first_offsets(self, name: str) -> dict[int, int]:
        return {0: 0}

    def end_offsets(self, name: str) -> dict[int, int]:
        return {0: len(self.records.get(name, []))}

    def read_all(
        self, name: str, start: Mapping[int, int] | None = None, end: Mapping[int, int] | None = None
    ) -> Iterator[Message]:
        yield from self.records.get(name, [])[(start or {}).get(0, 0) : end[0] if end else None]


def block(tokens: list[int]) -> Block:
    one = np.zeros(1, np.int32)
    sizes = np.array([len(tokens)], np.int32)
    return Block(
        np.array(tokens, np.uint16),
        doc_raw=np.zeros((1, 2), np.int64),
        doc_start=one,
        doc_from=one,
        doc_tokens=sizes,
        doc_before=one,
        doc_source=one,
        sources=("s",),
        tokenizer="t",
        window=0,
        shard=0,
        number=0,
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(assignments=[f"trainer.checkpoint_dir={tmp_path}"], environment={}).settings


def topics(settings: Settings) -> Topics:
    accepted = CleanDocument(raw=(0, 1), id=None, source="mail", time=0, language="de", text="x", label=None)
    seal = Seal(start=0, end=2_000, shard=0, documents=1, tokens=3, blocks=2, digest="")
    return Topics(
        settings,
        train_steps=[Message(step_report(step=step, tokens_total=step + 1, time=step).encode()) for step in (0, 1)],
        text_clean=[Message(accepted.encode())],
        text_rejected=[Message(None, RejectedHeaders("duplicate", "clean", "", (0, 0)).encode())],
        tokens_windows=[Message(seal.encode())],
        tokens_blocks=[Message(block([2, 2]).encode()), Message(block([5]).encode())],
    )


def test_the_names_of_the_topics_are_those_of_the_contract(settings: Settings) -> None:
    assert set(topics(settings).records) == {STEPS, CLEAN, REJECTED, WINDOWS, BLOCKS}


def test_all_topics_and_manifests_are_taken_in(settings: Settings, tmp_path: Path) -> None:
    whole = tmp_path / "main" / "step-0000000002" / "manifest.json"
    pruned = tmp_path / "main" / "history" / "step-0000000000.json"
    for path, step in ((whole, 2), (pruned, 0)):
        path.parent.mkdir(parents=True)
        path.write_bytes(manifest(step).encode())
    facts = gather(topics(settings), "main")  # type: ignore[arg-type]
    assert facts.training.reports == 2
    assert (facts.documents.accepted, facts.documents.languages) == (1, {"de": 1})
    assert facts.documents.reasons == {("clean", "duplicate"): 1}
    assert (facts.windows.tokens, facts.windows.blocks) == (3, 2)
    assert (facts.frequencies.tolist(), facts.entropy_blocks) == ([0, 0, 2, 0, 0, 1], 2)
    assert ([one.step for one in facts.manifests], facts.kept) == ([0, 2], {2})


def test_where_there_is_nothing_to_report_it_names_what_there_is(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="run other has reported no step; there are reports of main"):
        gather(topics(settings), "other")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="run main has reported no step; there are reports of no run"):
        gather(Topics(settings), "main")  # type: ignore[arg-type]


def test_a_page_is_written_whole_or_not_at_all(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.kafka.Cluster", topics)
    page = Page(settings, "main")
    page.write(tmp_path / "page.html", None)
    assert "not verified" in (tmp_path / "page.html").read_text()
    with pytest.raises(SettingsError, match=r"--out .*nowhere/page\.html cannot be written \(No such file"):
        page.write(tmp_path / "nowhere" / "page.html", None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]


def test_a_folder_is_no_page(tmp_path: Path) -> None:
    for folder in (str(tmp_path), "/", "."):
        with pytest.raises(SettingsError, match="is a directory: name a file, such as"):
            CliRunner().invoke(app, ["report", "--out", folder], catch_exceptions=False)


def test_only_so_many_blocks_are_read(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ENTROPY_BLOCKS", 1)
    facts = gather(topics(settings), "main")  # type: ignore[arg-type]
    assert (facts.frequencies.tolist(), facts.entropy_blocks) == ([0, 0, 0, 0, 0, 1], 1)
