"""`headrace topics` on a real broker: what it shows, what it names as different, what it sets, what it never does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from typer.testing import CliRunner, Result

from headrace.cli.topics import app
from headrace.contract import topics
from headrace.contract.errors import ContractError, DependencyError, SettingsError
from headrace.contract.settings import Settings
from headrace.kafka import Cluster, producer_config
from headrace.topics import configs


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    for name, value in {**settings.environment(), "HEADRACE_CONFIG": "/dev/null", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    return lambda *words: CliRunner().invoke(app, words)


def spoil(settings: Settings, topic: str, key: str, value: str) -> None:
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, settings.topic(topic), incremental_configs=[entry])
    cluster = Cluster(settings)
    for done in cluster.admin.incremental_alter_configs([resource]).values():
        done.result(30)
    deadline = time.monotonic() + 30
    while configs(cluster, [one for one in topics.TOPICS if one.name == topic])[topic][key] != value:
        assert time.monotonic() < deadline, "the broker shows later what it has taken"
        time.sleep(0.1)


def test_list_shows_what_is_there_and_what_differs(settings: Settings, run: Callable[..., Result]) -> None:
    producer = Producer(producer_config(settings.kafka.brokers))
    for _ in range(7):
        producer.produce(settings.topic(topics.RAW), b"a text")
    assert producer.flush(30) == 0
    spoil(settings, topics.CLEAN, "retention.ms", "1000")
    rows = {row["topic"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows.keys() == {settings.topic(topic.name) for topic in topics.TOPICS}
    raw, clean = rows[settings.topic(topics.RAW)], rows[settings.topic(topics.CLEAN)]
    assert (raw["partitions"], raw["offsets"], raw["retention_ms"], raw["differences"]) == (4, 7, -1, [])
    assert clean["differences"] == ["has retention.ms=1000, declared is -1"]
    shown = run("list").stdout
    assert f"{settings.topic(topics.CLEAN)} has retention.ms=1000, declared is -1" in shown
    assert "30 days" in shown


def test_check_names_each_difference_and_create_sets_it(settings: Settings, run: Callable[..., Result]) -> None:
    assert run("check").exit_code == 0
    spoil(settings, topics.CLEAN, "retention.ms", "1000")
    spoil(settings, topics.PLAN, "cleanup.policy", "compact")
    wrong = run("check").exception
    assert isinstance(wrong, ContractError)
    assert "text.clean has retention.ms=1000, declared is -1" in str(wrong)
    assert "train.plan has cleanup.policy=compact, declared is delete" in str(wrong)
    created = run("create")
    assert "retention.ms=1000, declared is -1: set" in created.stdout
    assert "0 of them new" in created.stdout
    assert run("check").exit_code == 0


def test_grow_adds_partitions_and_never_takes_one_away(settings: Settings, run: Callable[..., Result]) -> None:
    assert "has 6 partitions, 2 of them new" in run("grow", topics.RAW, "6").stdout
    assert Cluster(settings).partitions([topics.RAW]) == {topics.RAW: 6}
    assert run("check").exit_code == 0, "more than declared is as it should be"
    run("create")
    assert Cluster(settings).partitions([topics.RAW]) == {topics.RAW: 6}
    for words in (("grow", topics.RAW, "5"), ("grow", topics.PLAN, "2"), ("grow", "text.raw.old", "2")):
        assert isinstance(run(*words).exception, SettingsError), words


def test_a_topic_that_is_not_there(
    settings: Settings, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA__TOPIC_PREFIX", f"{settings.kafka.topic_prefix}not.")
    assert "text.raw does not exist" in str(run("check").exception)
    assert isinstance(run("grow", topics.RAW, "8").exception, DependencyError)
    assert all(row["differences"] == ["does not exist"] for row in json.loads(run("list", "--json").stdout))
