"""Logs are one JSON object a line, and a metrics port that is taken is named."""

import json
import logging
import socket
import sys
import time
import urllib.error
import urllib.request

import pytest

from headrace.contract import metrics
from headrace.contract.errors import DependencyError
from headrace.observe import JsonLines, Pulse, Sample, Samples, serve_metrics


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
            serve_metrics(port, "127.0.0.1", Pulse(1))


def test_health_follows_the_loop() -> None:
    pulse = Pulse(0.2)
    port = serve_metrics(0, "127.0.0.1", pulse)
    page = f"http://127.0.0.1:{port}"
    assert ask(f"{page}/healthz") == (200, "ok\n")
    assert "headrace_loop_last_turn_timestamp_seconds" in ask(f"{page}/metrics")[1]
    time.sleep(0.3)
    code, why = ask(f"{page}/healthz")
    assert code == 503
    assert "has not come round" in why
    pulse.beat()
    assert ask(f"{page}/healthz")[0] == 200


def ask(page: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(page, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_what_is_shown_is_read_when_it_is_asked_for() -> None:
    known: list[Sample] = []
    samples = Samples(lambda: known)
    assert list(samples.collect()) == []
    known.append((metrics.DOCUMENTS, ("clean", "rejected", "empty"), 3.0))
    (family,) = samples.collect()
    assert family.samples[0][:3] == (
        "headrace_documents_total",
        {"stage": "clean", "outcome": "rejected", "reason": "empty"},
        3.0,
    )


def test_names_say_what_they_are() -> None:
    assert len({metric.name for metric in metrics.ALL}) == len(metrics.ALL) > 40
    for metric in metrics.ALL:
        assert metric.name.startswith(("headrace_", "kafka_")), metric
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric
        assert not any(unit in metric.name for unit in ("_ms", "_mb", "_minutes", "percent")), metric
