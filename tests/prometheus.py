"""A real Prometheus with its tools: those on the machine, else Debian's packages, unpacked into the cache."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
import urllib.request
from functools import cache
from pathlib import Path

import pytest

from headrace.contract.settings import load

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}


def program(name: str) -> str:
    """Path of one of these programs. Skips the test where it is not to be had."""
    found = find(name)
    if not found:
        pytest.skip(
            f"no {name}: install Prometheus (2.42 or newer) and Alertmanager, or run on Debian: there it is fetched"
        )
    return found


def wait_ready(page: str, timeout_s: float) -> None:
    """Block until a Prometheus or an Alertmanager answers at `page`."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            urllib.request.urlopen(f"{page}/-/ready", timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"{page} is not ready: see above"
            time.sleep(0.2)


@cache
def find(name: str) -> str:
    """The same; empty where it is not to be had."""
    if found := shutil.which(name):
        return found
    folder = unpacked()
    there = folder / "usr" / "bin" / name
    if not there.exists() and shutil.which("apt-get") and shutil.which("dpkg"):
        _fetch(PACKAGES[name], folder)
    return str(there) if there.exists() else ""


def unpacked() -> Path:
    """Where packages are unpacked, as they would lie under /."""
    return load(environment={}).settings.cache_dir / "debian"


def _fetch(package: str, folder: Path) -> None:
    """Unpack a package of the machine's distribution, signed as apt knows it; installs nothing and needs no root."""
    with tempfile.TemporaryDirectory() as own:
        subprocess.run(["apt-get", "download", package], cwd=own, check=False, capture_output=True)
        for deb in Path(own).glob("*.deb"):
            subprocess.run(["dpkg", "-x", deb, folder], check=True)
