"""A real Kafka broker in KRaft mode, one node that is broker and controller."""

from __future__ import annotations

import subprocess
from pathlib import Path
from string import Template
from uuid import uuid4

from headrace.contract.errors import DependencyError
from headrace.contract.settings import ROOT, Settings
from headrace.local import jars
from headrace.local.java import java_home
from headrace.local.process import Part

NAME = "broker"
HOST = "127.0.0.1"
DEPLOY = ROOT / "deploy" / "kafka"
HEAP = ("-Xms256m", "-Xmx512m")


def broker(settings: Settings) -> Part:
    """The broker of a stack whose ports are chosen; writes its configuration and, the first time, formats its storage.

    The cluster's id is made when the storage is formatted and lives there for ever. Needs the jars in the cache.
    """
    run = settings.data_dir / "run"
    run.mkdir(parents=True, exist_ok=True)
    log_dir = settings.data_dir / "kafka"
    config = run / "server.properties"
    config.write_text(_properties(settings, log_dir))
    if not (log_dir / "meta.properties").exists():
        _format(settings, config)
    java = _java(settings)
    logging = f"-Dlog4j2.configurationFile={DEPLOY / 'log4j2.properties'}"
    return Part(NAME, (*java[:1], *HEAP, "-XX:+UseSerialGC", logging, *java[1:], "kafka.Kafka", str(config)))


def _properties(settings: Settings, log_dir: Path) -> str:
    template = Template((DEPLOY / "server.properties").read_text())
    ports = settings.local.ports
    return template.substitute(host=HOST, broker_port=ports.broker, controller_port=ports.controller, log_dir=log_dir)


def _format(settings: Settings, config: Path) -> None:
    java = _java(settings)
    tool = (java[0], "-XX:TieredStopAtLevel=1", *java[1:], "kafka.tools.StorageTool")
    done = subprocess.run(
        [*tool, "format", "-t", str(uuid4()), "-c", str(config)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DependencyError(f"the broker's storage could not be formatted: {done.stdout}{done.stderr}")


def _java(settings: Settings) -> tuple[str, str, str]:
    classpath = ":".join(str(path) for path in jars.paths("kafka", settings.cache_dir))
    return str(java_home() / "bin" / "java"), "-cp", classpath
