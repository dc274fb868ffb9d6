"""A real Prometheus over a running stack: the repository's configuration and rules, at the stack's ports."""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from headrace.contract.settings import ROOT, Settings
from headrace.local.ports import HOST, free_row
from tests.prometheus import program, wait_ready

CONFIG = ROOT / "deploy" / "prometheus"
SCRAPE_S, FOR_S, BACK_S = 2, 2, 20
"""How often it asks, how long alerts wait, and how far those look back that look back 2 minutes as deployed."""

Series = dict[str, list[tuple[float, float]]]
"""By its labels: (epoch seconds, value)."""


class Prometheus:
    """One that answers at `page`. `rate`: what stands for Grafana's rate interval, four scrapes."""

    def __init__(self, page: str, rate: str) -> None:
        self.page, self.rate = page, rate

    def ask(self, path: str, **said: Any) -> Any:
        """The data of an answer of its HTTP API; raises OSError."""
        query = urllib.parse.urlencode(said)
        with urllib.request.urlopen(f"{self.page}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def series(self, expression: str, start: float, end: float) -> Series:
        """What an expression was, second by second; NaN is no value."""
        found = self.ask("query_range", query=expression, start=start, end=end, step=SCRAPE_S)["result"]
        return {
            json.dumps(one["metric"], sort_keys=True): values
            for one in found
            if (values := [(at, float(value)) for at, value in one["values"] if not math.isnan(float(value))])
        }

    def firing(self) -> set[tuple[str, str]]:
        """(alert, part) of all that fire now."""
        alerts = self.ask("alerts")["alerts"]
        return {(one["labels"]["alertname"], one["labels"]["part"]) for one in alerts if one["state"] == "firing"}

    def wait_firing(self, alert: tuple[str, str], timeout_s: float) -> float:
        """Block until an alert fires; seconds since the call. Raises AssertionError naming what fires instead."""
        begun = time.monotonic()
        while alert not in (firing := self.firing()):
            assert time.monotonic() - begun < timeout_s, f"{alert} does not fire after {timeout_s:.0f} s: {firing}"
            time.sleep(0.5)
        return time.monotonic() - begun


@contextmanager
def prometheus(settings: Settings, folder: Path, manager: str = "", deployed: bool = False) -> Iterator[Prometheus]:
    """Prometheus over a stack while the block lasts. `manager`: the address of its Alertmanager.

    Unless `deployed`, it asks and judges every SCRAPE_S, and rules look back and wait for seconds, not for minutes.
    """
    rules, said = (CONFIG / "alerts.yml").read_text(), config(settings, manager)
    if not deployed:
        said["global"] = {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"}
        rules = re.sub(r"^(\s+for:).*$", rf"\1 {FOR_S}s", rules, flags=re.MULTILINE).replace("[2m]", f"[{BACK_S}s]")
    (folder / "alerts.yml").write_text(rules)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(said))
    port = free_row(1)
    command = [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={HOST}:{port}", "--log.level=error"]
    with subprocess.Popen(command) as running:
        try:
            asked = Prometheus(f"http://{HOST}:{port}", "20s" if deployed else f"{4 * SCRAPE_S}s")
            wait_ready(asked.page, 60)
            yield asked
        finally:
            running.kill()


def config(settings: Settings, manager: str) -> dict[str, Any]:
    """deploy/prometheus/prometheus.yml with addresses of this machine, and the stack's supervisor besides."""
    said: dict[str, Any] = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
    ports: Mapping[str, int] = settings.local.ports.model_dump()
    said["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [manager] * bool(manager)}]}]}
    jobs = [job["job_name"] for job in said["scrape_configs"]]
    counts = dict.fromkeys([*jobs, "supervisor"], 1) | {"trainer": settings.trainer.ranks}
    said["scrape_configs"] = [
        {
            "job_name": job,
            "static_configs": [{"targets": [f"{HOST}:{ports[f'{job}_metrics'] + n}" for n in range(count)]}],
        }
        for job, count in counts.items()
    ]
    return said
