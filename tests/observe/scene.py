"""A stack, a Prometheus over it, and what happens to them, one thing after the other: each is noted with its time."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from headrace.client import Publisher
from headrace.local import parts, state
from headrace.local.stack import Stack
from tests.observe import moves
from tests.observe.prom import SCRAPE_S, Prometheus

LOOK_BACK_S = 12.0
"""What a panel showed so long before something happened is what it is compared with."""
SETTINGS = (
    "trainer.checkpoint_steps=10",
    "trainer.learning_rate=0.003",
    "trainer.warmup_tokens=20000",
    "planner.linger_s=1",
    "trainer.keep_checkpoints=2",
)
WORDS = ["river", "turns", "old", "mill", "wheels", "while", "rain", "falls", "on", "quiet", "fields", "the", "and"]


@dataclass
class Scene:
    """`windows`: when what happened began and when its effects were over, in epoch seconds."""

    stack: Stack
    prometheus: Prometheus
    windows: dict[str, tuple[float, float]] = field(default_factory=dict)
    fired: dict[tuple[str, str], float] = field(default_factory=dict)
    rate: float = 0.0
    dice: random.Random = field(default_factory=lambda: random.Random(1))

    @contextmanager
    def happening(self, what: str) -> Iterator[None]:
        """Note when it begins, and when the block and two scrapes behind it are over."""
        print(f"  {what}", flush=True)
        begun = time.time()
        yield
        time.sleep(2 * SCRAPE_S)
        self.windows[what] = begun, time.time()

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """A thread publishes `rate` documents a second, of two sources, while the block lasts."""
        ended = threading.Event()
        thread = threading.Thread(target=self._publish, args=(ended,))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _publish(self, ended: threading.Event) -> None:
        with Publisher(self.stack.settings) as publisher:
            due = 0.0
            while not ended.wait(0.1):
                due += self.rate / 10
                while due >= 1:
                    due -= 1
                    publisher.publish(self.text(), source=self.dice.choice(("chat", "mail")))

    def text(self) -> str:
        """A new document."""
        words = self.dice.choices(WORDS, k=self.dice.randint(20, 60))
        return f"Document {self.dice.random()} of writer@example.com says that {' '.join(words)}."

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """The process does not run while the block lasts, and does not know it."""
        pid = self.stack.pids[name]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def trained(self, steps: int, timeout_s: float = 300) -> None:
        """Block until so many more steps are trained."""
        first = self.value("max(headrace_trainer_step)")
        self.stack.wait_until(
            lambda: self.value("max(headrace_trainer_step)") >= first + steps, timeout_s, f"{steps} steps are trained"
        )

    def value(self, expression: str) -> float:
        """What an expression is now; 0 where there is nothing."""
        found = self.prometheus.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def root_alert(self, name: str, alert: tuple[str, str], timeout_s: float) -> None:
        """Let a process stand still until its alert fires; note how long that took."""
        with self.stopped(name):
            self.fired[alert] = self.prometheus.wait_firing(alert, timeout_s)
        print(f"  {name} stands still: {alert[0]} of {alert[1]} after {self.fired[alert]:.1f} s", flush=True)


def short(scene: Scene) -> None:
    """What happens in `make test` too: text flows, rejects come, the planner stands still."""
    time.sleep(LOOK_BACK_S / 2)
    with scene.happening(moves.FLOW):
        scene.rate = 12
        scene.trained(25)
    with scene.happening(moves.REJECTS):
        with Publisher(scene.stack.settings) as publisher:
            for number in range(120):
                publisher.publish("again and again the same text" if number % 2 else "no", source="chat")
        time.sleep(6)
    with scene.happening(moves.PLANNER_STOPS):
        scene.root_alert("planner", ("PartDown", "planner"), 60)


def long(scene: Scene) -> None:
    """All else that moves a panel of Overview or Training, but the number of ranks."""
    scene.rate = 12
    scene.trained(1)
    scene.trained(10)
    with scene.happening(moves.RANK_STOPS):
        with scene.stopped("rank1"):
            time.sleep(20)
        scene.trained(6)
    with scene.happening(moves.RANK_DIES):
        scene.stack.kill("rank1")
        scene.trained(6)
    scene.rate = 5
    time.sleep(LOOK_BACK_S)
    with scene.happening(moves.FLOOD):
        with Publisher(scene.stack.settings) as publisher:
            for _ in range(1000):
                publisher.publish(scene.text(), source="mail")
        scene.trained(20)
    with scene.happening(moves.FULL):
        ballast(scene.stack.settings.data_dir / "ballast", 512)
        time.sleep(12)


def resize(scene: Scene) -> None:
    """One rank less, which Prometheus goes on to ask."""
    scene.rate = scene.rate or 12
    scene.trained(3)
    with scene.happening(moves.RESIZE):
        state.request(scene.stack.settings.data_dir, do="ranks", ranks=1)
        scene.stack.wait_until(lambda: len([n for n in scene.stack.pids if n.startswith("rank")]) == 1, 90, "one rank")
        scene.trained(3)


def roots(scene: Scene, timeout_s: float = 150) -> None:
    """Each part that answers Prometheus stands still until it is named; so does the broker, by the exporter."""
    for name in (parts.EXPORTER, parts.JOBS, parts.TASKMANAGER, parts.JOBMANAGER):
        scene.root_alert(name, ("PartDown", name), timeout_s)
    scene.root_alert("rank0", ("PartDown", parts.TRAINER), timeout_s)
    scene.root_alert(parts.BROKER, ("BrokerDown", parts.BROKER), timeout_s)


def ballast(path: Path, mib: int) -> None:
    """Write a file of zeros."""
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(bytes(1024 * 1024))
