"""How a job of ours meets Flink: a table environment for a running cluster, and SQL files with named placeholders."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from string import Template

import pyflink
from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment

from headrace.contract.settings import ROOT, Settings

QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def make_environment(settings: Settings, name: str, restore: str | None = None) -> StreamTableEnvironment:
    """The environment that submits job `name` to the cluster at `settings.flink.rest`.

    Starts a JVM with the jars of FLINK_LIB_DIR and blocks for seconds, but needs no cluster yet. `restore` is a
    checkpoint or savepoint to go on from; Flink then owns it and deletes it in its time.
    """
    # Without FLINK_HOME pyflink takes its own lib folder, which has no Kafka connector, and forgets FLINK_LIB_DIR.
    os.environ.setdefault("FLINK_HOME", str(Path(pyflink.__file__).parent))
    os.environ.setdefault("JVM_ARGS", QUICK_START)
    configuration = Configuration()
    for key, value in options(settings, name, restore).items():
        configuration.set_string(key, value)
    # The usual factory would overwrite the target by `local`; Java's constructor takes it as it is.
    java = get_gateway().jvm.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment
    return StreamTableEnvironment.create(StreamExecutionEnvironment(java(configuration._j_configuration)))


def options(settings: Settings, name: str, restore: str | None) -> dict[str, str]:
    """What the job says to Flink; all else is the cluster's own configuration."""
    host, _, port = rest_of(settings).rpartition(":")
    state = settings.flink_state_dir / name
    said = {
        "pipeline.name": settings.topic(name),
        "execution.target": "remote",
        "rest.address": host,
        "rest.port": port,
        "parallelism.default": str(settings.flink.parallelism),
        "execution.checkpointing.interval": f"{settings.flink.checkpoint_interval_ms} ms",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.dir": (state / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (state / "savepoints").as_uri(),
        "table.local-time-zone": "UTC",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "python.pythonpath": str(ROOT),
        # A record waits so long for others before it goes to Python: a part of the age of the text.
        "python.fn-execution.bundle.time": "200",
    }
    if restore:
        said |= {"execution.state-recovery.path": restore, "execution.state-recovery.claim-mode": "CLAIM"}
    return said


def rest_of(settings: Settings) -> str:
    """Host and port of the JobManager: the setting, else the local stack's."""
    return settings.flink.rest.removeprefix("http://").rstrip("/") or f"127.0.0.1:{settings.local.ports.flink}"


def statements(file: Path, **values: object) -> list[str]:
    """The statements of an SQL file with every `$name` filled in; a quote inside a value cannot end its string.

    Raises KeyError for a placeholder without a value.
    """
    filled = Template(file.read_text()).substitute(
        {key: str(value).replace("'", "''") for key, value in values.items()}
    )
    return [statement for part in re.split(r";\s*$", filled, flags=re.MULTILINE) if (statement := part.strip())]
