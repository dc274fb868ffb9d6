"""How a job of ours meets Flink: a table environment for a running cluster, and SQL files with named placeholders."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

import pyflink
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment

from flink_jobs.text.pace import bundle_records
from headrace.contract.settings import ROOT, Settings
from headrace.contract.topics import MIB
from headrace.flink import rest_of

FETCH_BYTES = MIB // 2
"""Asked for at a time of one partition; several fetches lie unpacked ahead of the job. A larger record comes alone."""

BUNDLE_MS = 100
"""So long a record waits for others that go to Python with it."""

BACKENDS = {"tokenize": "hashmap"}
"""Where a job keeps its state, if not in RocksDB. That of tokenize is a window, no more than the heap stands
(text/pace.py), and RocksDB would read and write the whole of it for every document that is added."""

QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def make_environment(settings: Settings, name: str, restore: str | None = None) -> StreamTableEnvironment:
    """The environment that submits job `name` to the cluster at `settings.flink.rest`.

    Starts a JVM with the jars of FLINK_LIB_DIR and the configuration of FLINK_CONF_DIR: blocks for seconds, needs no
    cluster yet. `restore` is a checkpoint or savepoint to go on from; Flink then owns it and deletes it in its time.
    """
    # Without FLINK_HOME pyflink takes its own lib folder, which has no Kafka connector, and forgets FLINK_LIB_DIR.
    os.environ.setdefault("FLINK_HOME", str(Path(pyflink.__file__).parent))
    os.environ.setdefault("JVM_ARGS", QUICK_START)
    flink = get_gateway().jvm.org.apache.flink
    configuration = flink.configuration.GlobalConfiguration.loadConfiguration()
    for key, value in options(settings, name, restore).items():
        configuration.setString(key, value)
    # Any factory would overwrite the target by `local`; Java's constructor takes it as it is.
    java = flink.streaming.api.environment.StreamExecutionEnvironment(configuration)
    return StreamTableEnvironment.create(StreamExecutionEnvironment(java))


def options(settings: Settings, name: str, restore: str | None) -> dict[str, str]:
    """What the settings decide; all else is in the configuration file."""
    rest = urlsplit(rest_of(settings))
    state = settings.flink_state_dir / name
    said = {
        "pipeline.name": settings.topic(name),
        "execution.target": "remote",
        "rest.address": str(rest.hostname),
        "rest.port": str(rest.port),
        "parallelism.default": str(settings.flink.parallelism),
        "execution.checkpointing.interval": f"{settings.flink.checkpoint_interval_ms} ms",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.dir": (state / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (state / "savepoints").as_uri(),
        "table.local-time-zone": "UTC",
        "python.client.executable": sys.executable,
        "python.pythonpath": str(ROOT),
        # Else each row is copied from operator to operator: a window of documents as often as there are blocks in it.
        "pipeline.object-reuse": "true",
        "python.fn-execution.bundle.time": str(BUNDLE_MS),
        "python.fn-execution.bundle.size": str(bundle_records(settings.flink.taskmanager_memory_mb)),
    }
    if backend := BACKENDS.get(name):
        said |= {"state.backend.type": backend}
    if restore:
        said |= {"execution.state-recovery.path": restore, "execution.state-recovery.claim-mode": "CLAIM"}
    return said


def quarantine_dir(settings: Settings, name: str) -> Path:
    """Where job `name` keeps which documents killed or stalled its workers: on each TaskManager's own machine."""
    return settings.flink_state_dir / name / "quarantine"


def statements(file: Path, **values: object) -> list[str]:
    """The statements of an SQL file with every `$name` filled in; a quote inside a value cannot end its string.

    Raises KeyError for a placeholder without a value.
    """
    filled = Template(file.read_text()).substitute(
        {key: str(value).replace("'", "''") for key, value in values.items()}
    )
    return [statement for part in re.split(r";\s*$", filled, flags=re.MULTILINE) if (statement := part.strip())]
