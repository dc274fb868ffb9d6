"""What every process shows: JSON lines as logs, /metrics by `headrace.contract.metrics`, and /healthz.

/healthz answers 200 while the process's loop comes round, and 503 with the reason when it has not for too long.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import orjson
from prometheus_client import REGISTRY, Counter, Gauge, MetricsHandler, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from headrace.contract.errors import DependencyError
from headrace.contract.metrics import LOOP_TURN, Metric

_KINDS = {"counter": Counter, "gauge": Gauge}
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """`log.info("applied", extra={"step": 7})` becomes {"time": …, "event": "applied", "step": 7}."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname,
            "part": self.part,
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def start_logging(part: str, level: str) -> logging.Logger:
    """Write this process's logs to standard output as JSON lines; returns its logger."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(part))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    return logging.getLogger("headrace")


def register(metric: Metric) -> Any:
    """The prometheus-client object of a declared metric."""
    return _KINDS[metric.kind](metric.name, metric.help, metric.labels)


Sample = tuple[Metric, tuple[str, ...], float]
"""A declared metric, the values of its labels, its value."""
_FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class Samples(Collector):
    """Metrics that are read when somebody asks for them, from what a process knows by then."""

    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self.read = read

    def collect(self) -> Iterator[Any]:
        """What prometheus-client asks; a metric without a sample is not shown."""
        families: dict[str, Any] = {}
        for metric, labels, value in self.read():
            if metric.name not in families:
                families[metric.name] = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
            families[metric.name].add_metric(labels, value)
        yield from families.values()


class Pulse:
    """The heartbeat of a loop that comes round every `limit_s` seconds at least. `since`: who else knows when."""

    def __init__(self, limit_s: float, since: Callable[[], float] | None = None) -> None:
        self.limit_s = limit_s
        self._at = time.monotonic()
        self._since = since or (lambda: self._at)

    def beat(self) -> None:
        """The loop comes round."""
        self._at = time.monotonic()

    @property
    def silent_s(self) -> float:
        return time.monotonic() - self._since()

    def trouble(self) -> str:
        """Why the process is not healthy; empty if it is."""
        late = self.silent_s
        return f"the loop has not come round for {late:.0f} s, {self.limit_s:.0f} are allowed" * (late > self.limit_s)


def serve_metrics(port: int, bind: str, pulse: Pulse) -> int:
    """Serve /metrics and /healthz on an address from a thread; port 0 takes a free one. Returns the port.

    Raises DependencyError for a port that is taken.
    """
    handler = type("Pages", (_Pages,), {"registry": REGISTRY, "pulse": pulse})
    try:
        server = ThreadingHTTPServer((bind, port), handler)
    except OSError as error:
        raise DependencyError(
            f"/metrics cannot be served on port {port}: {error.strerror}. Set another under local.ports"
        ) from error
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter, that nobody asks for
    register(LOOP_TURN).set_function(lambda: time.time() - pulse.silent_s)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="metrics").start()
    logging.getLogger("headrace").info("metrics", extra={"port": server.server_port})
    return int(server.server_port)


class _Pages(MetricsHandler):
    pulse: Pulse

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/healthz":
            super().do_GET()
            return
        trouble = self.pulse.trouble()
        self.send_response(503 if trouble else 200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(f"{trouble or 'ok'}\n".encode())
