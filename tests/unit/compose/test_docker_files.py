"""Dockerfiles, and the two programs that containers have of their own."""

from __future__ import annotations

import http.server
import io
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from headrace.contract.settings import ROOT
from tests.unit.compose.resolved import ours, tool

DOCKER = ROOT / "deploy" / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))


def steps(path: Path, kind: str) -> list[str]:
    """The values of all instructions of one kind."""
    structure = DockerfileParser(fileobj=io.BytesIO(path.read_bytes())).structure
    return [step["value"] for step in structure if step["instruction"] == kind]


def test_each_is_an_image_of_docker_compose() -> None:
    assert {path.relative_to(ROOT).as_posix() for path in DOCKERFILES} == {
        service["build"]["dockerfile"] for service in ours().values()
    }


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    done = subprocess.run([tool("hadolint"), path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_all_comes_by_hash_and_nobody_is_root(path: Path) -> None:
    installs = [step for step in steps(path, "RUN") if "pip" in step.replace("--without-pip", "")]
    assert len(installs) == 2
    assert all("--require-hashes" in step for step in installs)
    assert not any("apt-get" in step or "curl" in step for step in steps(path, "RUN"))
    assert steps(path, "USER") == ["10001:10001"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_it_copies_is_there_and_not_ignored(path: Path) -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for value in steps(path, "COPY"):
        words = shlex.split(value)
        for source in [] if words[0].startswith("--from=") else words[:-1]:
            assert (ROOT / source).exists(), source
            assert any(Path(source).is_relative_to(name) or Path(name).is_relative_to(source) for name in allowed)


def final(*command: str) -> subprocess.Popen[str]:
    """Such a command under final.py, for which 4 is final."""
    started = [sys.executable, str(DOCKER / "final.py"), "2,4", *command]
    return subprocess.Popen(started, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_other_codes_end_the_container(code: int) -> None:
    assert final("sh", "-c", f"exit {code}").wait(20) == code


def test_a_final_code_waits_for_the_stop() -> None:
    waiting = final("sh", "-c", "exit 4")
    assert waiting.stdout is not None
    assert '"exit_code": 4' in waiting.stdout.readline()
    assert waiting.poll() is None
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(20) == 4


def test_a_signal_reaches_the_program_and_ends_it_at_once() -> None:
    program = final("sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.1; done")
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.send_signal(signal.SIGTERM)
    assert program.wait(20) == 4
    assert program.stdout.read() == "", "it was told to end, so its code is final for nobody"


@pytest.fixture
def page() -> Iterator[str]:
    """A server that answers with what the JobManager says of two jobs."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"jobs":[{"state":"RUNNING"},{"state":"FAILED"}]}')

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def healthy(*check: str) -> bool:
    """What a health check says."""
    command = [sys.executable, "-IS", str(DOCKER / "healthy.py"), *check]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_a_page_is_healthy_with_what_is_looked_for(page: str) -> None:
    assert healthy(page)
    assert healthy(page, '"state":"RUNNING"')
    assert not healthy(page, '("state":"RUNNING".*){2}')


def test_every_port_of_a_row_must_listen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert healthy(f"127.0.0.1:{port}")
        assert not healthy(f"127.0.0.1:{port}+2") or _listens(port + 1)
    assert not healthy(f"127.0.0.1:{port}")


def _listens(port: int) -> bool:
    """Whether somebody else happens to hold the next port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
