"""The jars of deploy/jars.lock: fetched once into the cache, never believed without their sha256."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jgo.maven import MavenContext

from headrace.contract.digests import file_sha256
from headrace.contract.errors import DependencyError
from headrace.contract.settings import ROOT

LOCK = ROOT / "deploy" / "jars.lock"
DOWNLOADS = 8
"""At the same time."""


@dataclass(frozen=True)
class Jar:
    """One line of the lock. `user` is who runs it: kafka or flink."""

    user: str
    group: str
    artifact: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    def path(self, cache: Path) -> Path:
        """Where it lies below `cache`, in a Maven repository's layout."""
        name = f"{self.artifact}-{self.version}.jar"
        return cache / "maven" / Path(*self.group.split(".")) / self.artifact / self.version / name


def locked(lock: Path = LOCK) -> list[Jar]:
    """All jars of a lock file."""
    return [_parse(line) for line in lock.read_text().splitlines() if line and not line.startswith("#")]


def _parse(line: str) -> Jar:
    user, coordinate, sha256 = line.split()
    group, artifact, version = coordinate.split(":")
    return Jar(user, group, artifact, version, sha256)


def paths(user: str, cache: Path) -> list[Path]:
    """Where the jars of `user` lie."""
    return [jar.path(cache) for jar in locked() if jar.user == user]


def fetch(jars: Sequence[Jar], cache: Path) -> Iterator[tuple[Jar, str]]:
    """Make sure that every jar is in the cache; yields each as soon as it is, with a word on what was done.

    "there": it was and is right; "fetched"; "broken, fetched anew". Blocks while another process fetches into the same
    cache. A cache that has them all may be read-only. Raises DependencyError naming the jar that cannot be had, or that
    comes with another sha256 than locked, or the cache that cannot be written.
    """
    once = {str(jar): jar for jar in jars}  # some have two users
    missing = [jar for jar in once.values() if not is_there(jar, cache)]
    yield from ((jar, "there") for jar in once.values() if jar not in missing)
    if not missing:
        return
    with _alone(cache), ThreadPoolExecutor(DOWNLOADS) as pool:
        waiting = {pool.submit(_fetch, jar, cache): jar for jar in missing}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def is_there(jar: Jar, cache: Path) -> bool:
    """Whether the jar is in the cache, whole."""
    path = jar.path(cache)
    return path.exists() and file_sha256(str(path)) == jar.sha256


def _fetch(jar: Jar, cache: Path) -> str:
    if is_there(jar, cache):
        return "there"  # another process has fetched it meanwhile
    path = jar.path(cache)
    broken = path.exists()
    path.unlink(missing_ok=True)
    _download(jar, cache)
    if (got := file_sha256(str(path))) != jar.sha256:
        path.unlink()
        raise DependencyError(
            f"jar {jar}: downloaded with sha256 {got}, deploy/jars.lock says {jar.sha256}; it was not kept."
            " Try again; if it stays so, the download is not what was locked: do not use it"
        )
    return "broken, fetched anew" if broken else "fetched"


def _download(jar: Jar, cache: Path) -> None:
    context = MavenContext(repo_cache=cache / "maven", timeout=30)
    try:
        context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except (OSError, RuntimeError) as error:
        raise DependencyError(
            f"jar {jar} cannot be fetched: {error}. Connect to the network once; then it stays in {cache}"
        ) from error


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "jars.lock").open("w")
    except OSError as error:
        raise DependencyError(
            f"jars are missing or broken in the cache {cache}, and it cannot be written: {error.strerror}. Make it"
            " writable, or name another with --set local.cache_dir=…"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """`python -m headrace.local.jars USER CACHE`: fetch all that kafka or flink runs, for an image."""
    user, cache = sys.argv[1:]
    for jar, what in fetch([jar for jar in locked() if jar.user == user], Path(cache)):
        print(f"{jar}: {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
