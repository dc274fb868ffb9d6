"""A real Kafka broker in KRaft mode, one node that is broker and controller."""

from __future__ import annotations

from pathlib import Path
from string import Template

from headrace.contract.settings import ROOT, Settings
from headrace.local import jars
from headrace.local.java import java_home
from headrace.local.ports import HOST
from headrace.local.process import Part

NAME = "broker"
DEPLOY = ROOT / "deploy" / "kafka"


def broker(settings: Settings) -> Part:
    """The broker of a stack whose ports are chosen; writes its configuration. Needs the jars in the cache."""
    run = settings.data_dir / "run"
    run.mkdir(parents=True, exist_ok=True)
    log_dir = settings.data_dir / "kafka"
    config = run / "server.properties"
    config.write_text(properties(settings, log_dir))
    classpath = ":".join(str(path) for path in jars.paths("kafka", settings.cache_dir))
    command = ("bash", str(DEPLOY / "run.sh"), str(config), str(log_dir))
    return Part(NAME, command, {"JAVA_HOME": str(java_home()), "CLASSPATH": classpath})


def properties(settings: Settings, log_dir: Path) -> str:
    """The content of its configuration file."""
    template = Template((DEPLOY / "server.properties").read_text())
    listeners, advertised = listening(settings)
    return template.substitute(
        listeners=listeners, advertised=advertised, controller_port=settings.local.ports.controller, log_dir=log_dir
    )


def listening(settings: Settings) -> tuple[str, str]:
    """Where the broker listens, and as what its clients reach it there; the controller is its own affair."""
    local = settings.local
    inside = settings.kafka.brokers or f"{HOST}:{local.ports.broker}"
    listeners, advertised = f"PLAINTEXT://{local.bind}:{local.ports.broker}", f"PLAINTEXT://{inside}"
    if local.outside:
        listeners += f",OUTSIDE://{local.bind}:{local.outside.rpartition(':')[2]}"
        advertised += f",OUTSIDE://{local.outside}"
    return listeners, advertised
