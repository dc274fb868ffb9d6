"""A whole small stack under test: documents come all the time, every report is seen, and processes obey orders.

with World(folder, seed=7) as world:
    world.strike …            see tests/fault/strikes.py
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import xxhash
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from headrace.contract.settings import ROOT, Settings
from headrace.contract.topics import BLOCKS, PLAN, RAW, STEPS
from headrace.kafka import Cluster, brokers_of, consumer_config, producer_config
from headrace.local.parts import JOBS, ready
from headrace.local.stack import Stack, check
from tests.clock import FILE, set_clock
from tests.fault import points
from tests.fault.plan import Fault
from tests.small_stack import make_settings

SETTINGS = (
    "planner.step_blocks=8",
    "planner.linger_s=0.3",
    "trainer.leaf_blocks=2",
    "trainer.checkpoint_steps=20",
    "trainer.checkpoint_s=1.5",
    "trainer.fetch_timeout_s=10",
    "trainer.collective_timeout_s=15",
    "trainer.watchdog_s=40",
    "local.least_free_mb=8",
)
"""Short steps, checkpoints all the time, time-outs that a fault of seconds reaches."""
DATA = "data"
RATE = 8.0
"""Documents a second while faults happen."""
POLL_S = 0.05
WORK_S = 240.0
"""However slow the machine, work goes on by then."""
WORDS = (
    "river",
    "mill",
    "wheel",
    "stone",
    "flour",
    "grain",
    "water",
    "channel",
    "gate",
    "weir",
    "sack",
    "bread",
    "dam",
)


class Ledger:
    """Publishes documents, each with a number of its own, and writes down every delivery report.

    One line a document that the broker has acknowledged: partition, offset, xxh3-128 of its value.
    """

    def __init__(self, settings: Settings, path: Path, seed: int) -> None:
        self.topic = settings.topic(RAW)
        self.random = random.Random(seed)
        self.file = path.open("a")
        patient = {"message.timeout.ms": 600_000, "log_level": 2}
        self.producer = Producer(producer_config(brokers_of(settings), **patient))
        self.sent = self.acknowledged = 0
        self.refused: list[str] = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="ledger")

    def publish(self, count: int) -> None:
        """Send so many more; what has become of them, `close` says."""
        for _ in range(count):
            words = self.random.choices(WORDS, k=self.random.choice((1, 8, 20, 60, 200)))
            text = f"Document {self.sent} of the stream: {' '.join(words)}."
            self.producer.produce(self.topic, text.encode(), on_delivery=self._delivered)
            self.sent += 1
        self.producer.poll(0)

    def close(self, least: int) -> None:
        """Publish no more than `least` in all, and block until each has its report."""
        self.stopping.set()
        self.thread.join()
        self.publish(max(0, least - self.sent))
        left = self.producer.flush(120)
        self.file.close()
        assert not left, f"{left} documents without a delivery report"
        assert not self.refused, self.refused

    def _run(self) -> None:
        begun, first = time.monotonic(), self.sent
        while not self.stopping.wait(POLL_S):
            self.publish(int((time.monotonic() - begun) * RATE) + first - self.sent)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.refused.append(error.str())
            return
        digest = xxhash.xxh3_128_hexdigest(message.value() or b"")
        self.file.write(f"{message.partition()} {message.offset()} {digest}\n")
        self.acknowledged += 1


class Witness:
    """Sees reports of steps, plan and blocks as any reader sees them, and when: in seconds of the monotonic clock."""

    def __init__(self, settings: Settings) -> None:
        cluster = Cluster(settings)
        self.names = {settings.topic(name): name for name in (BLOCKS, PLAN, STEPS)}
        self.consumer = Consumer(consumer_config(brokers_of(settings), "witness", log_level=2))
        self.consumer.assign(
            [TopicPartition(real, p, 0) for real, name in self.names.items() for p in cluster.first_offsets(name)]
        )
        self.blocks: list[float] = []
        self.planned = -1
        self.reports: list[tuple[float, dict[str, Any]]] = []
        self.first: dict[int, tuple[str, float]] = {}
        """By step, `fed` and loss as the main run reported them first."""
        self.differ: list[str] = []
        self.save_error = ""

    def look(self) -> None:
        """Take what has come; while the broker is away nothing does."""
        now = time.monotonic()
        for message in self.consumer.consume(500, timeout=0):
            if message.error() is None:
                self._see(now, self.names[str(message.topic())], message)

    def _see(self, now: float, name: str, message: Message) -> None:
        if name == BLOCKS:
            self.blocks.append(now)
            return
        record = json.loads(message.value() or b"{}")
        if name == PLAN:
            self.planned = max(self.planned, record.get("step", -1))
            return
        self.save_error = record["save_error"]
        if record["kind"] == "step" and record["run"] == "main":
            self.reports.append((now, record))
            said = record["fed"], record["loss"]
            if self.first.setdefault(record["step"], said) != said:
                self.differ.append(f"step {record['step']} was {self.first[record['step']]} and then {said}")

    @property
    def trained(self) -> int:
        """The highest step that was reported."""
        return max(self.first, default=-1)

    @property
    def attempt(self) -> str:
        """Which attempt reported last."""
        return self.reports[-1][1]["attempt"] if self.reports else ""

    def close(self) -> None:
        self.consumer.close()


@dataclass
class Order:
    """What was left for a process, and its answer."""

    folder: Path
    id: str
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def fired(self) -> bool:
        """Whether a process has come to the point; `answer` then says which, at which step, when."""
        path = self.folder / f"{self.id}.fired"
        if path.exists():
            self.answer = json.loads(path.read_bytes())
        return bool(self.answer)

    def release(self) -> None:
        (self.folder / f"{self.id}.released").touch()


class World:
    """See the module. `seed` decides the texts alone; `clock` is what `tests.clock.build_clock` gave, if it did.

    The stack is in `folder`/data; orders, answers and delivery reports lie in `folder`/faults.
    """

    def __init__(self, folder: Path, seed: int, clock: Mapping[str, str] | None = None) -> None:
        self.folder = folder / "faults"
        self.folder.mkdir()
        self.seed = seed
        self.clock = clock or {}
        self.clock_s = 0
        """By how much the clock of the stack is off."""
        self.stack = Stack(make_settings(folder / DATA, *SETTINGS))
        self.orders = 0

    def __enter__(self) -> World:
        inside = Path(points.__file__).with_name("inside")
        with environment({"PYTHONPATH": f"{inside}:{ROOT}", points.FOLDER: str(self.folder), **self.clock}):
            self.stack.__enter__()
        try:
            self.stack.wait_running(300)
            self.witness = Witness(self.settings)
            self.ledger = Ledger(self.settings, self.acknowledged, self.seed)
            self.ledger.thread.start()
        except BaseException:
            self.stack.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ledger.stopping.set()
        self.ledger.thread.join()
        self.witness.close()
        self.stack.__exit__(kind, error, trace)

    @property
    def settings(self) -> Settings:
        """Those of the running stack, as it says them now: the number of ranks may change."""
        return self.stack.settings

    @property
    def acknowledged(self) -> Path:
        """The file of all delivery reports."""
        return self.folder / "acknowledged"

    def wait(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Block until `done()`, the witness looking all the time; AssertionError names `what` did not come."""
        if not self.comes(done, timeout_s):
            raise AssertionError(f"{what}: not within {timeout_s:.0f} s; {self.told()}")

    def first(self, times: Callable[[], Iterator[float]], what: str) -> float:
        """Block until there is one of these times."""
        self.wait(lambda: any(times()), WORK_S, what)
        return next(times())

    def comes(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Whether `done()` becomes true in time; raises what a part failed for that is not started again."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.witness.look()
            check(self.stack.state())
            if done():
                return True
            time.sleep(POLL_S)
        return False

    def wait_for_work(self) -> None:
        """Block until all parts run and a step has just been trained."""
        self.wait(self.well, WORK_S, "all parts run")
        before = self.witness.trained
        self.wait(lambda: self.witness.trained > before, WORK_S, "a step is trained")

    def well(self) -> bool:
        """Whether every part and both jobs run."""
        return all(part.state == "running" for part in self.stack.state().parts) and ready(JOBS, self.settings)

    def restarts(self, part: str) -> int:
        return next(each.restarts for each in self.stack.state().parts if each.name == part)

    def order(self, deed: str, fault: Fault) -> Order:
        """Arm the point of a fault: its victim does this to itself when it comes there."""
        self.orders += 1
        order = Order(self.folder, str(self.orders))
        port = self.settings.local.ports.broker
        said = {**asdict(fault), "deed": deed, "id": order.id, "broker_port": port}
        new = self.folder / "armed.new"
        new.write_text(json.dumps(said))
        new.replace(self.folder / points.ARMED)
        return order

    def disarm(self) -> None:
        (self.folder / points.ARMED).unlink(missing_ok=True)

    def set_clock(self, seconds: int) -> None:
        """Let every process of the stack be off by so much."""
        self.clock_s = seconds
        set_clock(Path(self.clock[FILE]), seconds)

    def told(self) -> str:
        """The state of all, for a message."""
        parts = ", ".join(f"{part.name} {part.state}" for part in self.stack.state().parts)
        return f"{parts}; planned {self.witness.planned}, trained {self.witness.trained}, see {self.settings.data_dir}"


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """This process's environment with more in it during the block: what it starts inherits it."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
