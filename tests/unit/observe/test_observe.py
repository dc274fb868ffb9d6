"""Logs are one JSON object a line, and a metrics port that is taken is named."""

import json
import logging
import socket
import sys

import pytest

from headrace.contract.errors import DependencyError
from headrace.observe import JsonLines, serve_metrics


def test_a_log_line_is_one_json_object() -> None:
    record = logging.LogRecord("headrace", logging.WARNING, __file__, 1, "applied %s", ("x\ny",), None)
    record.step = 7
    line = JsonLines("planner").format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert (said["part"], said["level"], said["event"], said["step"]) == ("planner", "WARNING", "applied x\ny", 7)


def test_an_exception_stands_in_its_line() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.LogRecord("headrace", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    assert "ValueError: why" in json.loads(JsonLines("trainer").format(record))["exception"]


def test_a_taken_metrics_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DependencyError, match=f"port {port}"):
            serve_metrics(port, "127.0.0.1")
