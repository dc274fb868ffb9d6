"""The images are built and the services of docker-compose.yml run, without an engine: see `tests.soak.containers`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from headrace.contract.settings import ROOT
from tests.soak.containers import Container, Stage, build, mounted, network, started
from tests.unit.compose.resolved import project

LONG_RUNNING = ("broker", "jobmanager", "taskmanager", "jobs", "planner", "exporter", "trainer")
"""In the order in which they can start; the end comes in the opposite one."""
DOCUMENTS = 300
pytestmark = [
    pytest.mark.timeout(3000),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts and networks need root"),
]


def image_of(name: str) -> str:
    """The Dockerfile of a service."""
    found: str = project()["services"][name]["build"]["dockerfile"]
    return found


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Stage]]:
    """Every Dockerfile, carried out."""
    folder = Path(os.environ.get("SOAK_IMAGES") or tmp_path_factory.mktemp("images"))
    names = sorted({image_of(name) for name in LONG_RUNNING})
    made = {name: build(ROOT / name, folder / Path(name).stem) for name in names}
    with ExitStack() as mounts:
        for stage in made.values():
            mounts.enter_context(mounted(Path("/"), stage.layer))
        yield made


@dataclass
class Stack:
    """The services that run, and how others are run beside them."""

    running: dict[str, Container]
    images: Mapping[str, Stage]
    data: Path
    folder: Path
    addresses: Mapping[str, str]

    def one_off(self, name: str, command: Sequence[str] = (), more: Mapping[str, str] | None = None) -> None:
        """`docker compose run --rm NAME [COMMAND]`, with more variables; it does its work and ends."""
        service = with_variables(project()["services"][name], more or {})
        service["command"] = command or service["command"]
        place = self.folder / f"run-{name}"
        with started("topics", service, self.images[image_of(name)], self.data, place, self.addresses) as container:
            assert container.process.wait(300) == 0, (place / "topics.log").read_text()

    def wait_healthy(self, name: str, timeout_s: float = 240) -> None:
        """Block until the service's own check says so."""
        deadline = time.monotonic() + timeout_s
        while not self.running[name].healthy(project()["services"][name]):
            log = (self.folder / f"{name}.log").read_text()
            assert self.running[name].process.poll() is None, f"{name} ended\n{log[-3000:]}"
            assert time.monotonic() < deadline, f"{name} is not healthy\n{log[-3000:]}"
            time.sleep(1)


def with_variables(service: Mapping[str, Any], more: Mapping[str, str]) -> dict[str, Any]:
    """A service with a headrace.env."""
    return {**service, "environment": {**more, **service["environment"]}}


@contextmanager
def up(images: Mapping[str, Stage], data: Path, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """`docker compose up -d`, and at the end `down`: each in its grace period, in the order of docker-compose.yml."""
    services = {name: with_variables(one, more or {}) for name, one in project("cpu")["services"].items()}
    with network([*LONG_RUNNING, "topics"]) as addresses, ExitStack() as ending:
        stack = Stack({}, images, data, folder, addresses)
        for name in LONG_RUNNING:
            container = started(name, services[name], images[image_of(name)], data, folder, addresses)
            stack.running[name] = ending.enter_context(container)
            if name == "broker":
                stack.wait_healthy(name)
                stack.one_off("topics")
        for name in LONG_RUNNING:
            stack.wait_healthy(name)
        yield stack
        for name in reversed(LONG_RUNNING):
            if stack.running[name].process.poll() is None:
                code = stack.running[name].stop(300)
                assert code in (0, 143), (name, code, (folder / f"{name}.log").read_text()[-2000:])


def publish(stack: Stack, first: int) -> None:
    """Documents of their own, from beside the broker as from the host: through the address for the outside."""
    lines = "".join(
        f'{{"text": "This is the document with number {first + n} of a small stream of text."}}\n'
        for n in range(DOCUMENTS)
    )
    (stack.running["broker"].root / f"tmp/{first}.jsonl").write_text(lines)
    stack.running["broker"].run("headrace", "publish", "--brokers", "localhost:9092", f"/tmp/{first}.jsonl")


def assert_all_trained(stack: Stack, documents: int) -> None:
    """`docker compose exec planner headrace verify`."""
    said = stack.running["planner"].run("headrace", "verify", "--wait", "240", "--settled", "--json").stdout
    stages = {stage["name"]: stage for stage in orjson.loads(said)["stages"]}
    assert stages["clean"]["entered"] == stages["train"]["left"] == documents, stages


def test_the_stack_runs_ends_and_goes_on(images: Mapping[str, Stage], tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 10001, 10001)
    with up(images, data, tmp_path / "first") as stack:
        publish(stack, 0)
        assert_all_trained(stack, DOCUMENTS)
        listed = stack.running["jobs"].run("headrace", "jobs", "list", "--json").stdout
        assert [job["state"] for job in orjson.loads(listed)] == ["RUNNING", "RUNNING"]
        said = orjson.loads(stack.running["jobs"].run("headrace", "status", "--json").stdout)
        assert (said["running"], said["jobs"]) == (True, {"clean": "RUNNING", "tokenize": "RUNNING"}), said
        assert stack.running["trainer"].run("headrace", "sample", "--prompt", "This is").stdout.strip()
    assert len(list((data / "flink").glob("*/savepoints/*/_metadata"))) == 2, "the end took savepoints"
    with up(images, data, tmp_path / "second") as stack:
        assert '"restored":"/data/flink/' in (tmp_path / "second/jobs.log").read_text()
        publish(stack, DOCUMENTS)
        assert_all_trained(stack, 2 * DOCUMENTS)


def test_a_changed_query_is_gone_over_to(images: Mapping[str, Stage], tmp_path: Path) -> None:
    """The upgrade of docs/compose.md: the watcher is killed, another container empties the old jobs, `up` goes on."""
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 10001, 10001)
    changed = {"HEADRACE_TOKENIZE__SHARDS": "6"}
    with up(images, data, tmp_path / "first") as stack:
        publish(stack, 0)
        stack.running["jobs"].kill()
        upgrade = ("headrace", "jobs", "upgrade", "--leave-stopped")
        stack.one_off("jobs", ("python", "-m", "headrace.local.container", "jobs", *upgrade), changed)
        assert list((data / "flink").glob("tokenize.*")), "the old state was set aside"
    with up(images, data, tmp_path / "second", changed) as stack:
        publish(stack, DOCUMENTS)
        assert_all_trained(stack, 2 * DOCUMENTS)
