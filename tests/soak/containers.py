"""Images and containers of docker-compose.yml without an engine: for root on Debian, where overlay mounts are allowed.

An image is a layer over this machine's own root, which stands for the base image: the same Debian, the same Python. A
container is that layer with an empty one above it, a network of its own on a bridge, a /data/run of its own, the user
and the environment of the image, and no capability. What this cannot show: the base image itself, and the engine.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dockerfile_parse import DockerfileParser

from headrace.contract.settings import ROOT

NETWORK = "10.213.7"


def sh(*command: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run it; its output in the error if it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done


@dataclass
class Stage:
    """What one FROM makes: a layer, its environment, folder and user."""

    layer: Path
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    )
    workdir: str = "/"
    user: str = "0:0"

    @property
    def root(self) -> Path:
        """Where it is mounted, while it is."""
        return self.layer.parent / f"{self.layer.name}.root"


@contextmanager
def mounted(lower: Path, above: Path) -> Iterator[Path]:
    """The root that a layer makes above another root; writes go to the layer."""
    root, work = above.parent / f"{above.name}.root", above.parent / f"{above.name}.work"
    for folder in (above, root, work):
        folder.mkdir(parents=True, exist_ok=True)
    sh("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={above},workdir={work}", root)
    try:
        for name in ("proc", "dev"):
            sh("mount", "--rbind", "--make-rslave", f"/{name}", root / name)
        yield root
    finally:
        sh("umount", "-R", "-l", root)


def build(dockerfile: Path, folder: Path) -> Stage:
    """Carry out a Dockerfile; its last stage."""
    stages: dict[str, Stage] = {}
    stage = Stage(folder)
    for step in DockerfileParser(fileobj=io.BytesIO(dockerfile.read_bytes())).structure:
        kind, value = step["instruction"], re.sub(r"\\\n", " ", step["value"])
        if kind == "FROM":
            stage = Stage(folder / f"stage{len(stages)}")
            stages[value.partition(" AS ")[2] or "last"] = stage
            python = stage.layer / "usr/local/bin/python"
            python.parent.mkdir(parents=True)
            python.symlink_to("/usr/bin/python3.11")
        elif kind == "ENV":
            pairs = (word.partition("=") for word in shlex.split(value))
            stage.environment |= {name: said.replace("$PATH", stage.environment["PATH"]) for name, _, said in pairs}
        elif kind == "WORKDIR":
            stage.workdir = value
        elif kind == "USER":
            stage.user = value
        elif kind == "COPY":
            copy(stage, value, stages)
        elif kind == "RUN":
            with mounted(Path("/"), stage.layer) as root:
                within(root, stage, ["sh", "-c", value])
        else:
            assert kind in ("ARG", "COMMENT"), f"{kind} is not understood"
    return stage


def copy(stage: Stage, value: str, stages: Mapping[str, Stage]) -> None:
    """COPY, from the repository or from an earlier stage."""
    words = shlex.split(value)
    source = stages[words.pop(0).removeprefix("--from=")].layer if words[0].startswith("--from=") else ROOT
    *given, to = words
    target = stage.layer / stage.workdir.lstrip("/") / to if not to.startswith("/") else stage.layer / to.lstrip("/")
    for name in given:
        there = source / name.lstrip("/")
        where = target / there.name if to.endswith("/") else target
        where.parent.mkdir(parents=True, exist_ok=True)
        if not there.is_dir():
            shutil.copy2(there, where)
        elif source == ROOT:
            shutil.copytree(there, where, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:  # no layer changes once it is made, so links do, of gigabytes
            shutil.copytree(there, where, symlinks=True, copy_function=os.link)


def within(root: Path, stage: Stage, command: Sequence[str]) -> None:
    """Run a step of a build, as root; with the variables that let this machine reach registries."""
    mine = {
        name: value for name, value in os.environ.items() if re.search(r"(?i)proxy|cert|bundle|find_links|index", name)
    }
    (root / stage.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
    sh("chroot", root, "env", "-C", stage.workdir, *command, env={**mine, **stage.environment})


@dataclass
class Container:
    """One service that runs."""

    name: str
    image: Stage
    root: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker compose exec`."""
        done = subprocess.run(inside(self, command), env=self.environment, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def healthy(self, service: Mapping[str, Any]) -> bool:
        """Its health check."""
        return self.run(*service["healthcheck"]["test"][1:], check=False).returncode == 0

    def kill(self) -> None:
        """`docker compose kill`."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, grace_s: float) -> int:
        """`docker compose stop`: SIGTERM, and SIGKILL after the grace period; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(grace_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


def inside(container: Container, command: Sequence[str]) -> list[str]:
    """The command that runs another in a container, as its user, without any capability."""
    user, _, group = container.image.user.partition(":")
    drop = ["--reuid", user, "--regid", group, "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
    enter = ["ip", "netns", "exec", netns(container.name), "chroot", str(container.root)]
    return [*enter, "setpriv", *drop, "--no-new-privs", "env", "-C", container.image.workdir, *command]


def netns(name: str) -> str:
    """The name of a container's network."""
    return f"headrace-{name}"


@contextmanager
def network(names: Sequence[str]) -> Iterator[dict[str, str]]:
    """A bridge with a network namespace for each of these; their addresses."""
    bridge = "headrace-br"
    addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, 2)}
    sh("ip", "link", "add", bridge, "type", "bridge")
    try:
        sh("ip", "addr", "add", f"{NETWORK}.1/24", "dev", bridge)
        sh("ip", "link", "set", bridge, "up")
        for number, (name, address) in enumerate(addresses.items()):
            sh("ip", "netns", "add", netns(name))
            sh("ip", "link", "add", f"hr{number}", "type", "veth", "peer", "name", "eth0", "netns", netns(name))
            sh("ip", "link", "set", f"hr{number}", "master", bridge, "up")
            at = ("ip", "-n", netns(name))
            sh(*at, "addr", "add", f"{address}/24", "dev", "eth0")
            sh(*at, "link", "set", "eth0", "up")
            sh(*at, "link", "set", "lo", "up")
        yield addresses
    finally:
        for name in names:
            with suppress(AssertionError):
                sh("ip", "netns", "del", netns(name))
        sh("ip", "link", "del", bridge)


@contextmanager
def started(
    name: str, service: Mapping[str, Any], image: Stage, data: Path, folder: Path, addresses: Mapping[str, str]
) -> Iterator[Container]:
    """`docker compose up NAME`; its output goes to `folder`/NAME.log."""
    folder.mkdir(exist_ok=True)
    with mounted(image.root, folder / name) as root:
        hosts = ["127.0.0.1 localhost", *(f"{at} {other}" for other, at in addresses.items())]
        (root / "etc/hosts").write_text("\n".join(hosts) + "\n")
        sh("mount", "--bind", data, root / "data")
        (root / "data/run").mkdir(exist_ok=True)
        sh("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "data/run")
        environment = {**image.environment, **service["environment"], "HOME": "/tmp"}
        container = Container(name, image, root, environment, None)  # type: ignore[arg-type]
        with (folder / f"{name}.log").open("wb") as log:
            hostname = ["unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "sh"]
            command = [*hostname, *inside(container, service.get("entrypoint") or service["command"])]
            container.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield container
        finally:
            container.stop(5) if container.process.poll() is None else None
            with suppress(ProcessLookupError):
                os.killpg(container.process.pid, signal.SIGKILL)
