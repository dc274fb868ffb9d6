"""One tree of settings. Later wins: defaults, a TOML file, environment (HEADRACE_TRAINER__RANKS=2), --set.

Units stand in the names. An unknown key is an error that names the nearest right one.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from headrace.contract.cleaning import Clean
from headrace.contract.errors import SettingsError
from headrace.contract.group import Group
from headrace.contract.topics import TRANSACTION_TIMEOUT_MS

PREFIX = "HEADRACE_"
CONFIG_VARIABLE = "HEADRACE_CONFIG"
DEFAULT_FILE = "headrace.toml"
SHIPPED_MODELS = ("small", "tiny")
ROOT = Path(__file__).resolve().parents[2]
RUN_NAME = "[A-Za-z0-9_][A-Za-z0-9._-]*"
"""A run has a folder of its name, so it is no hidden one, and neither `.` nor `..`."""


class Kafka(Group):
    """Where the broker is and how the topics are called."""

    brokers: str = Field("", description="bootstrap servers; empty: the running local stack, else localhost:9092")
    topic_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]*$", description="stands before every topic, group and transactional id"
    )
    replication: int = Field(1, ge=1, description="replicas of each topic when it is created; 3 in production")
    transaction_timeout_ms: int = Field(
        TRANSACTION_TIMEOUT_MS, ge=10_000, description="of the Flink sinks; must outlive the longest outage"
    )


class Tokenizer(Group):
    """Which tokenizer makes the ids."""

    path: str = Field("", description="a tokenizer.json or a Hugging Face tokenizer directory; empty: the one shipped")


class Tokenize(Group):
    """The tokenize job."""

    block_tokens: int = Field(128, ge=8, le=8192, description="most tokens in a block, the training sequence")
    window_s: int = Field(
        2, ge=1, le=60, description="length of the window that is packed as one; a long one limits tokens a second"
    )
    shards: int = Field(4, ge=1, description="groups that documents are dealt into; at least twice flink.parallelism")


class Planner(Group):
    """What becomes a step."""

    step_blocks: int = Field(8, ge=1, description="a step closes at this many blocks")
    linger_s: float = Field(2.0, gt=0, description="or this long after its first block")
    ahead: int = Field(4, ge=1, description="planned steps may lead the main run's reported step by this many")


class Trainer(Group):
    """The model and how it learns. All but the operational ones are fixed for a run and kept in its manifest."""

    run: str = Field("main", pattern=rf"^{RUN_NAME}$", description="name of the run")
    model: str = Field("small", description="small, tiny, or a directory with a transformers config.json (and weights)")
    reduction: Literal["canonical", "plain"] = Field("canonical", description="canonical: bit-equal at any ranks")
    begin_from: str = Field(
        "",
        pattern=rf"^({RUN_NAME}:[0-9]+)?$",
        description="RUN:STEP, another run's checkpoint with which a new run begins; empty: new weights, step 0",
    )
    seed: int = Field(1, ge=0, description="seed of the first weights and of every leaf")
    leaf_blocks: int = Field(4, ge=1, description="blocks of one forward and backward pass")
    learning_rate: float = Field(4e-3, gt=0, description="after warm-up")
    warmup_tokens: int = Field(20_000, ge=0, description="tokens over which the rate rises from 0")
    decay: Literal["constant", "inverse_sqrt"] = Field("constant", description="of the rate after warm-up")
    weight_decay: float = Field(0.01, ge=0, description="of AdamW")
    beta1: float = Field(0.9, ge=0, lt=1, description="of AdamW")
    beta2: float = Field(0.95, ge=0, lt=1, description="of AdamW")
    clip_norm: float = Field(1.0, gt=0, description="gradients with a larger norm are scaled down to it")
    nominal_tokens: int = Field(
        0, ge=0, description="a step with fewer tokens learns at a lower rate; 0: planner.step_blocks * block_tokens"
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="of autocast; parameters stay float32")
    ranks: int = Field(2, ge=1, description="processes that share each step")
    threads: int = Field(1, ge=1, description="CPU threads of each rank, the same at every number of ranks")
    device: Literal["auto", "cpu", "cuda", "cuda_shared"] = Field(
        "auto",
        description="auto: cuda where there is one for each rank; cuda_shared: several ranks on a GPU, over gloo",
    )
    checkpoint_dir: str = Field("", description="where checkpoints lie; empty: checkpoints in the data directory")
    checkpoint_steps: int = Field(50, ge=1, description="a checkpoint every so many steps")
    checkpoint_s: float = Field(300.0, ge=0, description="and so long after the last one, if it was trained; 0: never")
    checkpoint_async: bool = Field(True, description="a thread writes checkpoints while training goes on")
    keep_checkpoints: int = Field(3, ge=1, description="newest checkpoints kept with weights; manifests stay for ever")
    keep_every_steps: int = Field(
        0, ge=0, description="one checkpoint in so many steps keeps its weights for ever; 0: off"
    )
    tensorboard: bool = Field(
        False, description="each step's numbers as event files in tensorboard/ beside the run's checkpoints"
    )
    require_bitwise: bool = Field(False, description="refuse to resume where bit-equality is not given")
    until_step: int = Field(0, ge=0, description="a trainer saves and ends before this step; 0: it goes on for ever")
    fetch_timeout_s: float = Field(45.0, gt=0, description="a planned block not in memory by then ends the rank")
    collective_timeout_s: float = Field(90.0, gt=0, description="a collective not finished by then ends the rank")
    watchdog_s: float = Field(180.0, gt=0, description="a loop without progress for so long dumps its stacks and ends")


class Flink(Group):
    """The Flink cluster and how the jobs run on it."""

    rest: str = Field("", description="REST address of the JobManager; empty: the running local stack")
    parallelism: int = Field(2, ge=1, description="of each job")
    checkpoint_interval_ms: int = Field(2000, ge=100, description="freshness is at least this, a job")
    document_timeout_s: float = Field(
        30.0, gt=0, description="a document that a Python worker is not done with by then is tried apart, twice"
    )
    state_dir: str = Field("", description="checkpoints and savepoints of the jobs; empty: flink in the data directory")
    taskmanager_memory_mb: int = Field(
        2048,
        ge=1024,
        description="whole TaskManager process, without Python workers; less may not stand documents of a megabyte",
    )


class Ports(Group):
    """Ports of the local stack on local.bind; 0 takes a free one."""

    broker: int = Field(9092, ge=0, le=65535, description="Kafka")
    controller: int = Field(9093, ge=0, le=65535, description="Kafka's KRaft controller")
    flink: int = Field(8081, ge=0, le=65535, description="Flink's web page and REST API")
    flink_rpc: int = Field(0, ge=0, le=65535, description="the JobManager's, for TaskManagers")
    jobmanager_metrics: int = Field(9250, ge=0, le=65535, description="/metrics of the JobManager")
    taskmanager_metrics: int = Field(9251, ge=0, le=65535, description="/metrics of the TaskManager")
    supervisor_metrics: int = Field(9300, ge=0, le=65535, description="/metrics of the supervisor")
    planner_metrics: int = Field(9301, ge=0, le=65535, description="/metrics of the planner")
    jobs_metrics: int = Field(9302, ge=0, le=65535, description="/metrics of the supervisor of the jobs")
    exporter_metrics: int = Field(9303, ge=0, le=65535, description="/metrics of the exporter")
    trainer_metrics: int = Field(9310, ge=0, le=65535, description="/metrics of rank 0; rank r takes this + r")


class Retention(Group):
    """What `headrace retention` keeps though nothing needs it any more."""

    keep_hours: float = Field(24.0, ge=0, description="steps planned since then stay, and all that they were made from")
    keep_rejected_hours: float = Field(720.0, ge=0, description="rejects published since then stay, for a replay")


class Local(Group):
    """The stack on one machine."""

    data_dir: str = Field("data", description="everything that the stack keeps")
    cache_dir: str = Field("", description="downloaded jars and corpora; empty: headrace in the user's cache directory")
    least_free_mb: int = Field(1024, ge=0, description="with less room where data lies, up refuses and status warns")
    bind: str = Field("127.0.0.1", description="address that every part listens on; 0.0.0.0 in a container")
    outside: str = Field(
        "",
        pattern=r"^([^:/ ]+:\d+)?$",
        description="HOST:PORT at which clients outside of the containers reach the broker; empty: there are no others",
    )
    ports: Ports = Ports()


class Log(Group):
    """Structured logs, one JSON object a line."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is written")


class Settings(BaseSettings):
    """The whole tree. Make one with `load()`; the class alone reads no file and no environment."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    kafka: Kafka = Kafka()
    clean: Clean = Clean()
    tokenizer: Tokenizer = Tokenizer()
    tokenize: Tokenize = Tokenize()
    planner: Planner = Planner()
    trainer: Trainer = Trainer()
    flink: Flink = Flink()
    retention: Retention = Retention()
    local: Local = Local()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @property
    def absolute(self) -> Settings:
        """The same with every path absolute: for a child with another working directory."""
        model = self.trainer.model
        changes: dict[str, dict[str, Any]] = {
            "tokenizer": {"path": str(self.tokenizer_file.resolve())},
            "trainer": {
                "checkpoint_dir": str(self.checkpoint_dir),
                "model": model if model in SHIPPED_MODELS else str(Path(model).expanduser().resolve()),
            },
            "flink": {"state_dir": str(self.flink_state_dir)},
            "local": {"data_dir": str(self.data_dir), "cache_dir": str(self.cache_dir)},
        }
        return self.model_copy(
            update={name: getattr(self, name).model_copy(update=values) for name, values in changes.items()}
        )

    @property
    def data_dir(self) -> Path:
        return Path(self.local.data_dir).expanduser().resolve()

    @property
    def cache_dir(self) -> Path:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"
        return Path(self.local.cache_dir).expanduser().resolve() if self.local.cache_dir else home

    @property
    def checkpoint_dir(self) -> Path:
        """The folder of all runs' checkpoints; a run's own lie below it under the run's name."""
        given = self.trainer.checkpoint_dir
        return Path(given).expanduser().resolve() if given else self.data_dir / "checkpoints"

    @property
    def flink_state_dir(self) -> Path:
        return Path(self.flink.state_dir).expanduser().resolve() if self.flink.state_dir else self.data_dir / "flink"

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer.json that is used."""
        given = Path(self.tokenizer.path).expanduser() if self.tokenizer.path else ROOT / "flink_jobs/tokenizer"
        return given / "tokenizer.json" if given.is_dir() else given

    @property
    def nominal_tokens(self) -> int:
        return self.trainer.nominal_tokens or self.planner.step_blocks * self.tokenize.block_tokens

    def topic(self, name: str) -> str:
        """The name that a topic, group or transactional id has on the broker."""
        return self.kafka.topic_prefix + name

    def environment(self) -> dict[str, str]:
        """Environment variables from which `load()` makes this tree again, whatever headrace.toml lies about."""
        changed = flatten(self.model_dump(exclude_defaults=True))
        said = {variable(key): value if isinstance(value, str) else json.dumps(value) for key, value in changed}
        return {CONFIG_VARIABLE: os.devnull, **said}

    def child_environment(self) -> dict[str, str]:
        """All of this process's environment for a child, but with these settings alone."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return {**mine, **self.environment()}


@dataclass(frozen=True)
class Resolved:
    """Settings, and for each key that is not a default: where its value came from."""

    settings: Settings
    origins: Mapping[str, str]


def load(
    file: Path | None = None, assignments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Resolved:
    """Read all sources. `assignments` are `key=value` strings; a given or named file must exist, the default may not.

    Raises SettingsError naming the key, the value, its origin and the fix.
    """
    env = dict(os.environ if environment is None else environment)
    path = file or (Path(env[CONFIG_VARIABLE]) if env.get(CONFIG_VARIABLE) else None)
    layers = [*_from_file(path), *_from_environment(env), *_from_assignments(assignments)]
    values: dict[str, tuple[Any, str]] = {}
    for key, value, origin in layers:
        _check_known(key, origin)
        values[key] = (value, origin)
    try:
        settings = Settings(**_nest({key: value for key, (value, _) in values.items()}))
    except ValidationError as error:
        raise SettingsError(_explain(error, values)) from None
    return Resolved(settings, {key: origin for key, (_, origin) in values.items()})


def describe() -> Iterator[tuple[str, Any, str]]:
    """(key, default, description) of every setting."""
    yield from _describe(Settings(), "")


def variable(key: str) -> str:
    """The environment variable of a dotted key."""
    return PREFIX + key.upper().replace(".", "__")


def flatten(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{before}{name}.")
        else:
            yield before + name, value


def _describe(group: BaseModel, before: str) -> Iterator[tuple[str, Any, str]]:
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            yield from _describe(value, f"{before}{name}.")
        else:
            yield before + name, value, field.description or ""


def _from_file(path: Path | None) -> Iterator[tuple[str, Any, str]]:
    if path is not None and not path.exists():
        raise SettingsError(f"settings file {path} does not exist: name one that does, or leave --config out")
    if path is not None and path.is_dir():
        raise SettingsError(f"settings file {path} is a directory: name a file in it, such as {path / DEFAULT_FILE}")
    path = path or Path(DEFAULT_FILE)
    try:
        tree = TomlConfigSettingsSource(Settings, path)()
    except ValueError as error:
        raise SettingsError(f"settings file {path} is not TOML: {error}") from None
    for key, value in flatten(tree):
        yield key, value, str(path)


def _from_environment(env: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    for name in sorted(env):
        if name.startswith(PREFIX) and name != CONFIG_VARIABLE:
            yield name.removeprefix(PREFIX).lower().replace("__", "."), env[name], f"environment {name}"


def _from_assignments(assignments: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment}: write it as key=value, for example --set trainer.ranks=2")
        yield key.strip(), value.strip(), "--set"


def _check_known(key: str, origin: str) -> None:
    known = [name for name, _, _ in describe()]
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "`headrace settings` lists them all"
        raise SettingsError(f"unknown setting {key} (from {origin}): {hint}")


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        group = tree
        for name in path:
            group = group.setdefault(name, {})
        group[last] = value
    return tree


def _explain(error: ValidationError, values: Mapping[str, tuple[Any, str]]) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    value, origin = values.get(key, (problem.get("input"), "default"))
    meaning = next((text for name, _, text in describe() if name == key), "")
    return f"setting {key} = {value!r} (from {origin}): {problem['msg']}. It means: {meaning}"
