"""Corpora: what is read out of a mail, and that neither a changed file nor a missing network passes in silence."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from headrace.contract.errors import DependencyError
from headrace.local import corpora
from headrace.local.packages import Package, fetch


def kept(cache: Path, package: Package, content: bytes) -> Package:
    """The package with other content, lying in the cache as after a download."""
    package = replace(package, sha256=sha256(content).hexdigest())
    file = cache / "corpora" / package.sha256 / Path(package.file).name
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return package


def test_a_mail_keeps_its_bytes_where_they_are_not_utf_8() -> None:
    plain = corpora._mail("easy-ham-1/1", b"Date: Thu, 01 Jan 1970 00:00:02 +0000\nTo: x\n\nbody\n\nmore")
    assert plain == corpora.Document("easy-ham-1/1", "mail", "body\n\nmore", 2000, "ham")
    latin = corpora._mail("spam-2/2", b"Date: soon\n\ncaf\xe9")
    assert latin == corpora.Document("spam-2/2", "mail", "café", None, "spam", raw=b"caf\xe9")


def test_chat_and_reviews_are_read_and_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = {"text": "hello there", "timestamp": "1970-01-01T00:00:01Z", "sender": "s"}
    talk = json.dumps({"c": {"messages": [[message, message], [message]]}}).encode()
    monkeypatch.setattr(corpora, "CHAT", kept(tmp_path, corpora.CHAT, talk))
    opinions = b'text,label,source\r\n"good, very",1,imdb\r\n'
    monkeypatch.setattr(corpora, "REVIEWS", kept(tmp_path, corpora.REVIEWS, opinions))
    written = io.BytesIO()
    assert corpora.export(["chat", "reviews"], tmp_path, written) == 4
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert lines[2] == {"id": "c/2", "source": "chat", "text": "hello there", "time": 1000}
    assert lines[3] == {"id": "imdb/0", "source": "imdb", "text": "good, very", "label": "positive"}


def test_a_file_that_was_changed_is_named(tmp_path: Path) -> None:
    package = kept(tmp_path, corpora.CHAT, b"{}")
    assert fetch(package, tmp_path).read_bytes() == b"{}"
    fetch(package, tmp_path).write_bytes(b"{ }")
    with pytest.raises(DependencyError, match="chitchat-dataset"):
        fetch(package, tmp_path)


@pytest.mark.parametrize("package", [corpora.CHAT, corpora.MAIL])
def test_without_a_network_the_package_is_named(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("NPM_CONFIG_OFFLINE", "true")
    monkeypatch.setenv("NPM_CONFIG_CACHE", str(tmp_path / "npm"))
    with pytest.raises(DependencyError, match=package.name):
        fetch(package, tmp_path)
    assert not [file for file in (tmp_path / "corpora").rglob("*") if file.is_file()]
