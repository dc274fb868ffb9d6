"""A real Flink cluster from the wheel: one JobManager, one TaskManager, and what a program needs to submit a job."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from string import Template

import pyflink

from headrace.contract.settings import ROOT, Settings
from headrace.local import jars
from headrace.local.java import java_home
from headrace.local.ports import HOST, free_port
from headrace.local.process import Part

JOBMANAGER = "jobmanager"
TASKMANAGER = "taskmanager"
HOME = Path(pyflink.__file__).parent
DEPLOY = ROOT / "deploy" / "flink"
JOBS = 2
"""Each takes flink.parallelism slots."""


@dataclass(frozen=True)
class Flink:
    """The two processes, and the environment of whoever submits a job to them."""

    jobmanager: Part
    taskmanager: Part
    environment: dict[str, str]


def flink(settings: Settings) -> Flink:
    """The cluster of a stack whose ports are chosen; writes its configuration. Needs the jars in the cache."""
    run = settings.data_dir / "run"
    environment = {
        "JAVA_HOME": str(java_home()),
        "FLINK_HOME": str(HOME),  # without it PyFlink overwrites FLINK_LIB_DIR
        "FLINK_CONF_DIR": str(_conf(settings, run / "flink-conf")),
        "FLINK_LIB_DIR": str(_lib(settings, run / "flink-lib")),
        "FLINK_LOG_DIR": str(settings.data_dir / "logs"),
        "FLINK_PID_DIR": str(run),
        "PYTHONPATH": str(ROOT),
    }
    ports = settings.local.ports
    return Flink(
        _part(JOBMANAGER, environment, ports.jobmanager_metrics),
        _part(TASKMANAGER, {**settings.environment(), **environment}, ports.taskmanager_metrics),
        environment,
    )


def slots(rest: str) -> int:
    """Slots that TaskManagers offer now; -1 while no JobManager answers at `rest`. Blocks a second at most."""
    try:
        with urllib.request.urlopen(f"{rest}/overview", timeout=1) as answer:
            return int(json.load(answer)["slots-total"])
    except (urllib.error.URLError, OSError, ValueError):
        return -1


def wanted_slots(settings: Settings) -> int:
    """Slots that the jobs take."""
    return JOBS * settings.flink.parallelism


def _part(name: str, environment: dict[str, str], metrics_port: int) -> Part:
    script = str(HOME / "bin" / f"{name}.sh")
    command = ("bash", script, "start-foreground", "-D", f"metrics.reporter.prometheus.port={metrics_port}")
    return Part(name, command, {**environment, "JVM_ARGS": f"-Dheadrace.part={name}"})


def _conf(settings: Settings, folder: Path) -> Path:
    tmp = settings.data_dir / "run" / "flink-tmp"
    for path in (folder, tmp):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    template = Template((DEPLOY / "config.yaml").read_text())
    values = {
        "host": HOST,
        "rpc_port": free_port(),
        "rest_port": settings.local.ports.flink,
        "slots": wanted_slots(settings),
        "parallelism": settings.flink.parallelism,
        "taskmanager_memory_mb": settings.flink.taskmanager_memory_mb,
        "checkpoint_interval_ms": settings.flink.checkpoint_interval_ms,
        "python": sys.executable,
        "tmp_dir": tmp,
        "log_dir": settings.data_dir / "logs",
    }
    (folder / "config.yaml").write_text(template.substitute(values))
    for name in ("log4j-console.properties", "log4j-cli.properties"):
        shutil.copy(DEPLOY / name, folder)
    return folder


def _lib(settings: Settings, folder: Path) -> Path:
    """Links to the wheel's own jars, its Python operators and the Kafka connector."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    operators = sorted((HOME / "opt").glob("flink-python-*.jar"))
    for jar in [*(HOME / "lib").glob("*.jar"), *operators, *jars.paths("flink", settings.cache_dir)]:
        (folder / jar.name).symlink_to(jar)
    return folder
