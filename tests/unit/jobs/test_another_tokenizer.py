"""A deployment keeps its tokenizer: whoever is started with another one says both, and what to do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from headrace.contract.digests import file_sha256
from headrace.contract.errors import TokenizerError
from headrace.contract.plan import Origin
from headrace.contract.settings import Settings, load
from headrace.contract.training import Manifest
from headrace.jobs import notes
from headrace.jobs.job import CLEAN, PINNED, TOKENIZE, Pinned
from headrace.kafka import Cluster
from services.planner.log import check_origin
from trainer.identity import Identity

BEFORE = "b" * 64
ORIGIN = Origin(cluster="c", topics={}, tokenizer=BEFORE, time=0)
WAY = "kafka.topic_prefix and local.data_dir.*headrace publish --from-topic"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(environment={"HEADRACE_CONFIG": "/dev/null"}, assignments=[f"local.data_dir={tmp_path}"]).settings


@pytest.fixture
def cluster(settings: Settings) -> Cluster:
    """Its ids are always right; the plan begins with ORIGIN."""
    made = SimpleNamespace(
        settings=settings,
        id=lambda: "c",
        topic_ids=lambda _: {},
        check_pinned=lambda *_: None,
    )
    return cast(Cluster, made)


def names_both(settings: Settings) -> str:
    return f"made with tokenizer {BEFORE}, tokenizer.path names {file_sha256(str(settings.tokenizer_file))}.*{WAY}"


def pin(settings: Settings, tokenizer: str) -> None:
    for job in (CLEAN, TOKENIZE):
        Pinned(cluster="c", topics={}, plan="p", tokenizer=tokenizer).write(job.folder(settings) / PINNED)


def test_the_tokenize_job_compares_what_its_state_was_made_with(settings: Settings, cluster: Cluster) -> None:
    pin(settings, BEFORE)
    with pytest.raises(TokenizerError, match="state of job tokenize was " + names_both(settings)) as caught:
        notes.check_pinned(cluster, TOKENIZE, settings)
    assert caught.value.exit_code == 4
    notes.check_pinned(cluster, CLEAN, settings)
    pin(settings, file_sha256(str(settings.tokenizer_file)))
    notes.check_pinned(cluster, TOKENIZE, settings)


def test_state_of_a_version_that_did_not_say_it_and_no_state_compare_with_the_plan(
    settings: Settings, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(settings, "")
    monkeypatch.setattr(notes, "read_origin", lambda _: ORIGIN)
    with pytest.raises(TokenizerError, match=names_both(settings)):
        notes.check_pinned(cluster, TOKENIZE, settings)
    with pytest.raises(TokenizerError, match="the plan's blocks were " + names_both(settings)):
        notes.pins(cluster, TOKENIZE, settings, plan="")
    monkeypatch.setattr(notes, "read_origin", lambda _: None)
    notes.check_pinned(cluster, TOKENIZE, settings)
    assert notes.pins(cluster, TOKENIZE, settings, plan="").tokenizer == file_sha256(str(settings.tokenizer_file))


def test_the_planner_compares_what_its_plan_begins_with(settings: Settings, cluster: Cluster) -> None:
    with pytest.raises(TokenizerError, match="the plan's blocks were " + names_both(settings)):
        check_origin(cluster, ORIGIN)


def test_the_trainer_compares_what_its_checkpoint_says(settings: Settings) -> None:
    now = file_sha256(str(settings.tokenizer_file))
    who = {"run": "main", "attempt": "a", "cluster": "c", "topics": {}, "fingerprint": {}, "settings": {}}
    manifest = Manifest(
        **who, tokenizer=BEFORE, seq=1, step=0, tokens=0, fed="", parent=None, weights="", files=(), time=0
    )
    with pytest.raises(TokenizerError, match="checkpoint x was " + names_both(settings)):
        Identity(**who, tokenizer=now).check_continues(manifest, "checkpoint x")
