"""A real Alertmanager with the repository's configuration: it says what it would not tell an operator, and why."""

from __future__ import annotations

import json
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.contract.settings import ROOT
from headrace.local.ports import HOST, free_row
from tests.prometheus import program, unpacked, wait_ready

CONFIG = ROOT / "deploy" / "prometheus" / "alertmanager.yml"


class Alertmanager:
    """One that listens at `address`."""

    def __init__(self, address: str) -> None:
        self.address = address

    def told(self) -> dict[tuple[str, str], bool]:
        """(alert, part) of all that Prometheus has told it and that last: whether another one inhibits it."""
        with urllib.request.urlopen(f"http://{self.address}/api/v2/alerts", timeout=10) as answer:
            found = json.loads(answer.read())
        return {
            (one["labels"]["alertname"], one["labels"]["part"]): bool(one["status"]["inhibitedBy"]) for one in found
        }


@contextmanager
def alertmanager(folder: Path) -> Iterator[Alertmanager]:
    """One while the block lasts; its data lies in `folder`."""
    address = f"{HOST}:{free_row(1)}"
    command = [*_program(), f"--config.file={CONFIG}", f"--storage.path={folder / 'told'}"]
    command += [f"--web.listen-address={address}", "--cluster.listen-address=", "--log.level=error"]
    with subprocess.Popen(command) as running:
        try:
            wait_ready(f"http://{address}", 60)
            yield Alertmanager(address)
        finally:
            running.kill()


def _program() -> list[str]:
    """Debian's reads its templates in /usr/share: one that is only unpacked sees those of its package there."""
    found, share = program("prometheus-alertmanager"), unpacked() / "usr" / "share"
    if not found.startswith(str(unpacked())):
        return [found]
    return ["unshare", "-rm", "sh", "-c", f'mount --bind {shlex.quote(str(share))} /usr/share && exec "$0" "$@"', found]
