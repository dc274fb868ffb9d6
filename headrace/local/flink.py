"""A real Flink cluster from the wheel: JobManager, TaskManager, its workers, and what it takes to submit a job."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from headrace.contract.errors import DependencyError
from headrace.contract.settings import ROOT, Settings
from headrace.flink import rest_of
from headrace.local import jars
from headrace.local.java import java_home
from headrace.local.ports import HOST
from headrace.local.process import Part

JOBMANAGER = "jobmanager"
TASKMANAGER = "taskmanager"
WORKERS = "workers"
DEPLOY = ROOT / "deploy" / "flink"
JOBS = 2
"""Each takes flink.parallelism slots."""
IMPORTED_ONCE = (
    "pyflink.fn_execution.beam.beam_boot",
    "pyflink.fn_execution.beam.beam_sdk_worker_main",
    "confluent_kafka",
    "fasttext",
    "ftfy",
    "phonenumbers",
    "pydantic_settings",
    "re2",
    "rensa",
    "resiliparse.extract.html2text",
    "safetensors",
    "tokenizers",
    "xxhash",
)
"""What Python workers are forks of: all that is not ours and that they import before their first row."""


@dataclass(frozen=True)
class Flink:
    """The three processes, and the environment of whoever submits a job to them."""

    jobmanager: Part
    taskmanager: Part
    workers: Part
    environment: dict[str, str]

    @property
    def processes(self) -> tuple[Part, Part, Part]:
        return self.jobmanager, self.taskmanager, self.workers


def flink(settings: Settings) -> Flink:
    """The cluster of a stack whose ports are chosen; writes its configuration. Needs the jars in the cache."""
    _conf(settings)
    _lib(settings)
    ports = settings.local.ports
    own = environment(settings)
    return Flink(
        _part(JOBMANAGER, own, ports.jobmanager_metrics),
        _part(TASKMANAGER, {**settings.environment(), **own}, ports.taskmanager_metrics),
        Part(WORKERS, (sys.executable, str(DEPLOY / "workers.py"), "serve", own["FLINK_WORKERS"], *IMPORTED_ONCE), own),
        own,
    )


def home() -> Path:
    """The Flink distribution inside the wheel. Raises DependencyError where it is not installed."""
    if (found := importlib.util.find_spec("pyflink")) is None or found.origin is None:
        raise DependencyError("Flink is not installed: pip install 'headrace[local]', or `make demo` in a checkout")
    return Path(found.origin).parent


def environment(settings: Settings) -> dict[str, str]:
    """What the cluster's processes and whoever submits a job to it have in their environment."""
    run = settings.data_dir / "run"
    return {
        "JAVA_HOME": str(java_home()),
        "FLINK_HOME": str(home()),  # without it PyFlink overwrites FLINK_LIB_DIR
        "FLINK_CONF_DIR": str(run / "flink-conf"),
        "FLINK_LIB_DIR": str(run / "flink-lib"),
        "FLINK_LOG_DIR": str(settings.data_dir / "logs"),
        "FLINK_PLUGINS_DIR": str(home() / "plugins"),
        "FLINK_PYTHON": sys.executable,
        "FLINK_WORKERS": str(workers_socket(settings)),
        "PYTHONPATH": str(ROOT),
    }


def workers_socket(settings: Settings) -> Path:
    """Where a TaskManager's Python workers are asked for."""
    return settings.data_dir / "run" / "workers.sock"


def wanted_slots(settings: Settings) -> int:
    """Slots that the jobs take."""
    return JOBS * settings.flink.parallelism


def _part(name: str, environment: dict[str, str], metrics_port: int) -> Part:
    return Part(name, ("bash", str(DEPLOY / "run.sh"), name, str(metrics_port)), environment)


def _conf(settings: Settings) -> None:
    folder = settings.data_dir / "run" / "flink-conf"
    tmp = settings.data_dir / "run" / "flink-tmp"
    for path in (folder, tmp):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    for left in (settings.data_dir / "logs").glob("*_LOG"):  # of RocksDB, one for each start of an operator
        left.unlink()
    template = Template((DEPLOY / "config.yaml").read_text())
    jobmanager = urlsplit(rest_of(settings)).hostname
    values = {
        "bind": settings.local.bind,
        "jobmanager": jobmanager,
        "taskmanager": HOST if jobmanager == HOST else socket.gethostname(),
        "rpc_port": settings.local.ports.flink_rpc,
        "rest_port": settings.local.ports.flink,
        "slots": wanted_slots(settings),
        "parallelism": settings.flink.parallelism,
        "taskmanager_memory_mb": settings.flink.taskmanager_memory_mb,
        "checkpoint_interval_ms": settings.flink.checkpoint_interval_ms,
        "python": sys.executable,
        "worker_python": DEPLOY / "python",
        "tmp_dir": tmp,
    }
    (folder / "config.yaml").write_text(template.substitute(values))
    for name in ("log4j-console.properties", "log4j-cli.properties"):
        shutil.copy(DEPLOY / name, folder)


def _lib(settings: Settings) -> None:
    """Links to the wheel's own jars, its Python operators and the Kafka connector."""
    folder = settings.data_dir / "run" / "flink-lib"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    operators = sorted((home() / "opt").glob("flink-python-*.jar"))
    for jar in [*(home() / "lib").glob("*.jar"), *operators, *jars.paths("flink", settings.cache_dir)]:
        (folder / jar.name).symlink_to(jar)
