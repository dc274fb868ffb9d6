"""Corpora: what is read out of mails and pages, and that no changed file and no missing package passes in silence."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from headrace.contract.errors import DependencyError
from headrace.local import corpora
from headrace.local.packages import Package, fetch, members

PAGE = "<!DOCTYPE html><html><body><p>grüne Wörter</p></body></html>"


def kept(cache: Path, package: Package, content: bytes) -> Package:
    """The package with other content, lying in the cache as after a download."""
    package = replace(package, sha256=sha256(content).hexdigest())
    file = cache / "corpora" / package.sha256 / Path(package.file).name
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return package


def tools(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """A machine that has these programs and no others."""
    folder.mkdir()
    for name, script in scripts.items():
        program = folder / name.replace("_", "-")
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def debian_package(folder: Path, files: dict[str, str]) -> bytes:
    """A real one, which holds these files."""
    control = "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n"
    for place, content in {"DEBIAN/control": control, **files}.items():
        file = folder / "tree" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    command = ["dpkg-deb", "--root-owner-group", "--build", str(folder / "tree"), str(folder / "a.deb")]
    subprocess.run(command, check=True, capture_output=True)
    return (folder / "a.deb").read_bytes()


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


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="this machine has no dpkg, which reads Debian's packages")
def test_help_pages_are_read_as_html(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    help_of_de = "usr/share/libreoffice/help/de"
    files = {f"{help_of_de}/{name}": PAGE for name in ("noscript.html", "text/scalc/01/func.html", "text/a.js")}
    content = debian_package(tmp_path / "made", files)
    monkeypatch.setattr(corpora, "HELP", [kept(tmp_path, corpora.HELP[0], content)])
    expected = corpora.Document("de/scalc/01/func", "help", PAGE, None, "scalc", kind="html")
    assert list(corpora.help_pages(tmp_path)) == [expected]
    assert expected.fields() == {"id": "de/scalc/01/func", "source": "help", "text": PAGE, "label": "scalc"}
    damaged = kept(tmp_path, corpora.HELP[0], content[:100])
    with pytest.raises(DependencyError, match=r"dpkg-deb cannot read .*help-en-us"):
        next(members(damaged, tmp_path, ""))


def test_a_debian_package_is_fetched_once_in_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = replace(
        corpora.HELP[1], sha256=sha256(b"download --quiet libreoffice-help-de=9\n").hexdigest(), version="9"
    )
    tools(tmp_path / "bin", monkeypatch, apt_get=f'echo "$@" > {package.file}')
    assert fetch(package, tmp_path) == fetch(package, tmp_path)
    (tmp_path / "bin/apt-get").unlink()
    fetch(package, tmp_path)
    fetch(package, tmp_path).write_bytes(b"")
    with pytest.raises(DependencyError, match="delete it"):
        fetch(package, tmp_path)


def test_a_debian_package_that_cannot_be_had_may_be_put_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = replace(corpora.HELP[1], sha256=sha256(b"by hand").hexdigest())
    place = tmp_path / "corpora" / package.sha256 / package.file
    tools(tmp_path / "bin", monkeypatch, apt_get="echo E: no such version >&2; exit 100")
    with pytest.raises(DependencyError, match=r"libreoffice-help-de=4:.*`apt-get update`") as gone:
        fetch(package, tmp_path)
    assert f"at {place}. It said:\nE: no such version" in str(gone.value)
    tools(tmp_path / "empty", monkeypatch)
    with pytest.raises(DependencyError, match="no apt-get on this machine: put") as missing:
        fetch(package, tmp_path)
    assert str(missing.value).endswith(f" at {place}")
    place.write_bytes(b"by hand")
    assert fetch(package, tmp_path) == place
    with pytest.raises(DependencyError, match="no dpkg-deb on this machine: install dpkg"):
        next(members(package, tmp_path, ""))


def test_what_is_missing_is_said_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tools(tmp_path / "empty", monkeypatch)
    monkeypatch.setenv("HEADRACE_LOCAL__CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["corpora", "help"])
    with pytest.raises(SystemExit) as ended:
        corpora.main()
    assert ended.value.code == DependencyError.exit_code
    assert capsys.readouterr().err.startswith("there is no apt-get on this machine: put libreoffice-help-en-us_")


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
