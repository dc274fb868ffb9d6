"""docker-compose.yml starts what `headrace up` starts, in the same order, with the same settings."""

from __future__ import annotations

import re
import sys
import tomllib
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.contract.settings import PREFIX, ROOT, Settings, describe, variable
from headrace.doctor import memory_needed
from headrace.local import container, parts, supervisor
from tests.unit.compose.resolved import compose, ours, project, services, settings_of

FINAL = ["python", "deploy/docker/final.py"]
CONTAINER = ["python", "-m", "headrace.local.container"]
GIB = 1024**3
SERVICES = services()


def command(name: str) -> list[str]:
    """What a service runs, without what stands before it."""
    said = list(SERVICES[name]["command"])
    return said[3:] if said[:2] == FINAL else said


def limits(name: str) -> dict[str, str]:
    """What a service may take at most."""
    found: dict[str, str] = SERVICES[name]["deploy"]["resources"]["limits"]
    return found


def needs(name: str) -> set[str]:
    """All that a service depends on, in one or several steps."""
    direct = set(SERVICES[name].get("depends_on", {}))
    return direct.union(*(needs(other) for other in direct))


def tree(service: dict[str, Any], data_dir: Path) -> Settings:
    """The settings of a service, with its data somewhere else."""
    settings = settings_of(service)
    return settings.model_copy(update={"local": settings.local.model_copy(update={"data_dir": str(data_dir)})})


@pytest.mark.parametrize("profiles", ["cpu", "gpu", "cpu,observe", "gpu,observe", "cpu,tools"])
def test_compose_itself_accepts_every_choice_of_profiles(profiles: str) -> None:
    assert len([name for name in services(profiles) if name.startswith("trainer")]) == 1


def test_without_a_choice_the_trainer_is_on_the_cpu() -> None:
    assert set(compose("config", "--services").split()) == {*parts.ALL, "topics"} - {parts.WORKERS}


@pytest.mark.parametrize("name", parts.ALL)
def test_every_part_has_a_service_with_its_command(name: str, tmp_path: Path) -> None:
    beside = [part for part, others in container.ALONE.items() if name in others]
    service = beside[0] if beside else name
    if name in container.ALONE or beside:
        assert command(service) == [*CONTAINER, service]
        return
    part = parts.build(tree(SERVICES[name], tmp_path), (name,))[name]
    assert command(name) == ["python" if word == sys.executable else word for word in part.command]


def test_both_trainers_run_the_same() -> None:
    cpu, gpu = SERVICES["trainer"], SERVICES["trainer-gpu"]
    changed = {name for name in cpu.keys() | gpu.keys() if cpu.get(name) != gpu.get(name)}
    assert changed == {"profiles", "environment", "shm_size", "networks", "deploy"}
    assert gpu["environment"].items() - cpu["environment"].items() == {("HEADRACE_TRAINER__DEVICE", "cuda")}
    assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


@pytest.mark.parametrize("name", parts.FINAL)
def test_what_no_restart_mends_is_not_started_again(name: str) -> None:
    said = SERVICES[name]["command"]
    assert said[:2] == FINAL
    assert {int(code) for code in said[2].split(",")} == set(parts.FINAL[name])


@pytest.mark.parametrize("name", ours())
def test_every_variable_is_a_setting_and_reaches_all(name: str) -> None:
    said = {key: value for key, value in SERVICES[name]["environment"].items() if key.startswith(PREFIX)}
    assert said.keys() <= {variable(key) for key, _, _ in describe()}
    shared = settings_of(SERVICES["planner"])
    mine = settings_of(SERVICES[name])
    own = {"outside": "", "ranks": shared.trainer.ranks, "device": "auto"}
    local = mine.local.model_copy(update={"outside": own.pop("outside")})
    assert mine.model_copy(update={"local": local, "trainer": mine.trainer.model_copy(update=own)}) == shared


@pytest.mark.parametrize("name", ours())
def test_all_share_the_data_and_none_its_run_directory(name: str) -> None:
    volumes = {volume["target"]: volume for volume in SERVICES[name]["volumes"]}
    assert volumes["/data"]["source"] == "data"
    own = any(mount.startswith("/data/run:") for mount in SERVICES[name].get("tmpfs", []))
    assert own or "source" not in volumes["/data/run"]
    assert settings_of(SERVICES[name]).data_dir == Path("/data")


@pytest.mark.parametrize(("part", "needed"), [(part, one) for part, all_ in parts.NEEDS.items() for one in all_])
def test_a_part_is_started_behind_what_it_needs(part: str, needed: str) -> None:
    assert needed in needs(part)
    assert "topics" in needs(part), "the local supervisor makes them when the broker runs"


def test_the_end_comes_in_the_supervisors_order() -> None:
    order = [parts.JOBS, *(name for name in supervisor.STOP_ORDER if name != parts.WORKERS)]
    turned = [(name, other) for name, other in combinations(order, 2) if name in needs(other)]
    assert turned == [], "what is needed ends later"
    assert {parts.JOBMANAGER, parts.TASKMANAGER, parts.BROKER} <= needs(parts.JOBS), "it takes savepoints"
    assert all(parts.BROKER in needs(name) for name in (parts.TASKMANAGER, parts.PLANNER, parts.TRAINER))


@pytest.mark.parametrize(("name", "grace_s"), supervisor.GRACE_S.items())
def test_there_is_time_to_save(name: str, grace_s: float) -> None:
    assert seconds(SERVICES[name]["stop_grace_period"]) >= grace_s


def test_there_is_time_for_savepoints() -> None:
    from headrace.cli.jobs import STOP_S

    assert seconds(SERVICES["jobs"]["stop_grace_period"]) > 2 * STOP_S


def seconds(said: str) -> float:
    """Of Compose's way to write a time."""
    return sum(float(n) * {"h": 3600, "m": 60, "s": 1}[unit] for n, unit in re.findall(r"([\d.]+)([hms])", said))


def test_the_broker_is_reached_from_both_sides(tmp_path: Path) -> None:
    settings = tree(SERVICES["broker"], tmp_path)
    parts.build(settings, (parts.BROKER,))
    lines = dict(
        line.split("=", 1)
        for line in (tmp_path / "run/server.properties").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert lines["advertised.listeners"] == "PLAINTEXT://broker:29092,OUTSIDE://localhost:9092"
    assert lines["listeners"].startswith("PLAINTEXT://0.0.0.0:29092,OUTSIDE://0.0.0.0:9092,CONTROLLER://127.0.0.1:")
    assert settings.kafka.brokers == "broker:29092"
    (port,) = SERVICES["broker"]["ports"]
    assert f"{port['target']}" == port["published"] == "9092"


@pytest.mark.parametrize("name", [parts.JOBMANAGER, parts.TASKMANAGER, parts.JOBS])
def test_flink_is_configured_for_other_machines_than_its_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: SERVICES[name].get("hostname", "other"))
    parts.build(tree(SERVICES[name], tmp_path), (name,))
    config = yaml.safe_load((tmp_path / "run/flink-conf/config.yaml").read_text())
    assert config["jobmanager"]["rpc"] == {"address": "jobmanager", "port": 6123}
    assert config["rest"] == {"address": "jobmanager", "bind-address": "0.0.0.0", "port": 8081, "bind-port": 8081}
    assert {config[who]["bind-host"] for who in ("jobmanager", "taskmanager")} == {"0.0.0.0"}
    assert name != parts.TASKMANAGER or config["taskmanager"]["host"] == "taskmanager"


def test_the_local_stack_stays_on_this_machine() -> None:
    for file in ("kafka/server.properties", "flink/config.yaml"):
        assert "0.0.0.0" not in (ROOT / "deploy" / file).read_text()


@pytest.mark.parametrize("name", services())
def test_ports_are_open_to_this_machine_alone(name: str) -> None:
    assert all(port["host_ip"] == "127.0.0.1" for port in SERVICES[name].get("ports", []))


def test_prometheus_asks_every_process_that_has_metrics() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    asked = {t for job in config["scrape_configs"] for conf in job["static_configs"] for t in conf["targets"]}
    settings = settings_of(SERVICES["trainer"])
    ports = settings.local.ports
    ranks = {f"trainer:{ports.trainer_metrics + rank}" for rank in range(settings.trainer.ranks)}
    flink = {f"jobmanager:{ports.jobmanager_metrics}", f"taskmanager:{ports.taskmanager_metrics}"}
    own = {f"{name}:{getattr(ports, f'{name}_metrics')}" for name in (parts.PLANNER, parts.JOBS, parts.EXPORTER)}
    assert asked == own | ranks | flink
    assert {job["job_name"] for job in config["scrape_configs"]} == {target.partition(":")[0] for target in asked}
    (alertmanager,) = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert alertmanager.partition(":")[0] in services("cpu,observe")
    assert {target.partition(":")[0] for target in asked} <= services("cpu,observe").keys()
    assert "trainer" in SERVICES["trainer-gpu"]["networks"]["default"]["aliases"]


def test_health_is_asked_where_processes_listen() -> None:
    settings = settings_of(SERVICES["trainer"])
    ports = settings.local.ports
    asked = {name: " ".join(SERVICES[name]["healthcheck"]["test"]) for name in parts.ALL if name in SERVICES}
    assert f"127.0.0.1:{ports.broker}" in asked["broker"]
    assert f"127.0.0.1:{ports.planner_metrics}/healthz" in asked["planner"]
    assert f"127.0.0.1:{ports.exporter_metrics}/healthz" in asked["exporter"]
    assert f"127.0.0.1:{ports.trainer_metrics}+{settings.trainer.ranks}/healthz" in asked["trainer"]
    assert all(f":{ports.flink}/" in asked[name] for name in ("jobmanager", "taskmanager", "jobs"))


@pytest.mark.parametrize("name", services())
def test_every_service_has_a_limit_and_no_privileges(name: str) -> None:
    service = SERVICES[name]
    assert name == "cli" or int(limits(name)["memory"]) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"]
    assert not service.get("privileged")
    assert "password" not in str(service).lower()


def test_limits_hold_what_the_processes_take() -> None:
    settings = settings_of(SERVICES["trainer"])
    limit = {
        name: int(SERVICES[name]["deploy"]["resources"]["limits"]["memory"]) / GIB for name in SERVICES if name != "cli"
    }
    least = memory_needed(0, 0, 0)
    workers = memory_needed(0, settings.flink.parallelism, 0) - least
    heap = 1024 / 1024  # jobmanager.memory.process.size
    assert limit["jobmanager"] > heap
    assert limit["taskmanager"] >= settings.flink.taskmanager_memory_mb / 1024 + workers + 0.4
    assert limit["trainer"] >= memory_needed(0, 0, settings.trainer.ranks) - least
    assert sum(limit[name] for name in ("broker", "jobmanager", "taskmanager", "planner", "jobs")) >= least


def test_versions_stand_in_env_alone() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert all("${" in line for line in re.findall(r"image: (.*)", text))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {service["image"].partition(":")[2] for service in ours().values()} == {version}
    assert "latest" not in (ROOT / ".env").read_text()


def test_one_volume_holds_all_that_belongs_together() -> None:
    assert set(project()["volumes"]) == {"data", "prometheus", "grafana"}
