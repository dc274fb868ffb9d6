"""What every process shows: one JSON object a log line, and /metrics with the names of `headrace.contract.metrics`."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import orjson
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from headrace.contract.errors import DependencyError
from headrace.contract.metrics import Metric

_KINDS = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}
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


def serve_metrics(port: int, bind: str) -> int:
    """Serve /metrics on an address from a thread; port 0 takes a free one. Returns the port.

    Raises DependencyError for a port that is taken.
    """
    try:
        server, _ = start_http_server(port, addr=bind)
    except OSError as error:
        raise DependencyError(
            f"/metrics cannot be served on port {port}: {error.strerror}. Set another under local.ports"
        ) from error
    return int(server.server_port)
