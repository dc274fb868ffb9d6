"""A jar is used only with the sha256 that the lock states."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from headrace.contract.errors import DependencyError
from headrace.local import jars
from headrace.local.jars import Jar

GOOD = b"what was locked"
JAR = Jar("kafka", "org.example", "thing", "1.0", hashlib.sha256(GOOD).hexdigest())


class Repository:
    """Stands for the download: writes `content` where the jar belongs, and counts."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.downloads = 0

    def __call__(self, jar: Jar, cache: Path) -> None:
        self.downloads += 1
        assert not jar.path(cache).exists(), "the downloader never overwrites"
        jar.path(cache).parent.mkdir(parents=True, exist_ok=True)
        jar.path(cache).write_bytes(self.content)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(GOOD)
    monkeypatch.setattr(jars, "_download", made)
    return made


def test_fetched_once(tmp_path: Path, repository: Repository) -> None:
    assert list(jars.fetch([JAR], tmp_path)) == [(JAR, "fetched")]
    assert list(jars.fetch([JAR], tmp_path)) == [(JAR, "there")]
    assert repository.downloads == 1


def test_two_users_of_one_jar_fetch_it_once(tmp_path: Path, repository: Repository) -> None:
    again = Jar("flink", JAR.group, JAR.artifact, JAR.version, JAR.sha256)
    assert len(list(jars.fetch([JAR, again], tmp_path))) == 1
    assert repository.downloads == 1


def test_a_broken_jar_in_the_cache_is_named_and_fetched_anew(tmp_path: Path, repository: Repository) -> None:
    list(jars.fetch([JAR], tmp_path))
    JAR.path(tmp_path).write_bytes(GOOD[:-1])
    assert list(jars.fetch([JAR], tmp_path)) == [(JAR, "broken, fetched anew")]
    assert JAR.path(tmp_path).read_bytes() == GOOD


def test_a_download_with_another_sum_is_an_error_and_not_kept(tmp_path: Path, repository: Repository) -> None:
    repository.content = b"something else"
    with pytest.raises(DependencyError, match=r"org\.example:thing:1\.0.*sha256"):
        list(jars.fetch([JAR], tmp_path))
    assert not JAR.path(tmp_path).exists()


def test_a_cache_that_has_them_all_may_be_read_only_and_one_that_has_not_is_named(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    JAR.path(cache).parent.mkdir(parents=True)
    JAR.path(cache).write_bytes(GOOD)
    (cache / "jars.lock").mkdir()  # root may write anywhere, but not here
    assert list(jars.fetch([JAR], cache)) == [(JAR, "there")]
    JAR.path(cache).write_bytes(b"torn")
    with pytest.raises(DependencyError, match=rf"missing or broken in the cache {cache}.*local\.cache_dir"):
        list(jars.fetch([JAR], cache))


def test_no_network_names_the_jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(self: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("jgo.maven._core.Artifact.resolve", unreachable)
    with pytest.raises(DependencyError, match=r"org\.example:thing:1\.0 cannot be fetched: no route"):
        list(jars.fetch([JAR], tmp_path))


def test_the_lock_names_every_jar_once_for_each_user() -> None:
    locked = jars.locked()
    assert len({(jar.user, jar.group, jar.artifact) for jar in locked}) == len(locked)
    assert all(len(jar.sha256) == 64 for jar in locked)
    flink = {jar.artifact for jar in locked if jar.user == "flink"}
    assert {"flink-sql-connector-kafka", "zstd-jni", "lz4-java", "snappy-java"} == flink
