"""A stack, a Prometheus over it, and what happens to them, one thing after the other: each is noted with its time."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from headrace.client import Publisher
from headrace.local import parts, state
from headrace.local.stack import Stack
from tests.observe import moves
from tests.observe.alertmanager import Alertmanager
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
TOO_SHORT = 0.05
"""The share of documents that are rejected all the time."""
FIRES_S = 150
"""An alert that fires does so by then."""
Alert = tuple[str, str]
"""Its name, and the part that it is about."""
JOB_STALLS = "JobStalls", parts.JOBS
ROOTS: Mapping[str, tuple[Alert, Alert | None]] = {
    parts.PLANNER: (("PartDown", parts.PLANNER), ("PlannerStalls", parts.PLANNER)),
    parts.TASKMANAGER: (("PartDown", parts.TASKMANAGER), JOB_STALLS),
    parts.JOBMANAGER: (("PartDown", parts.JOBMANAGER), JOB_STALLS),
    "rank0": (("PartDown", parts.TRAINER), ("TrainerStalls", parts.TRAINER)),
    parts.JOBS: (("PartDown", parts.JOBS), None),
    parts.EXPORTER: (("PartDown", parts.EXPORTER), None),
    parts.BROKER: (("BrokerDown", parts.BROKER), None),
}
"""What stands still: the alert that must name it, and one that follows from it, which must be inhibited."""
WORDS = ["river", "turns", "old", "mill", "wheels", "while", "rain", "falls", "on", "quiet", "fields", "the", "and"]


@dataclass
class Scene:
    """`deployed`: see `prometheus`. `windows`: when what happened began and its effects were over, in epoch seconds."""

    stack: Stack
    prometheus: Prometheus
    manager: Alertmanager
    deployed: bool = False
    windows: dict[str, tuple[float, float]] = field(default_factory=dict)
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
                    document = "no" if self.dice.random() < TOO_SHORT else text(self.dice)
                    publisher.publish(document, source=self.dice.choice(("chat", "mail")))

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

    def keeps_up(self, timeout_s: float = 300) -> None:
        """Block until the planner has waited for nobody for as long as a panel is looked back at."""
        time.sleep(LOOK_BACK_S)
        waited = f"max_over_time(headrace_planner_throttled[{LOOK_BACK_S:.0f}s])"
        self.stack.wait_until(lambda: self.value(waited) == 0, timeout_s, "the trainer keeps up with the planner")

    def value(self, expression: str) -> float:
        """What an expression is now; 0 where there is nothing."""
        found = self.prometheus.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def root_alert(self, name: str, alert: Alert, follows: Alert | None = None) -> None:
        """Let a process stand still until its alert fires, and until what follows from it fires and is inhibited."""
        with self.stopped(name):
            seconds = self.prometheus.wait_firing(alert, FIRES_S)
            print(f"  {name} stands still: {alert[0]} of {alert[1]} after {seconds:.1f} s", flush=True)
            if follows is not None:
                self.prometheus.wait_firing(follows, FIRES_S)
                self.stack.wait_until(lambda: self.manager.told().get(follows, False), 30, f"{follows} is inhibited")
                print(f"    {follows[0]} of {follows[1]} fires, and nobody is told", flush=True)
            self.stack.wait_until(lambda: self.manager.told().get(alert) is False, 30, f"somebody is told of {alert}")


def text(dice: random.Random) -> str:
    """A new document, with something private in it."""
    words = dice.choices(WORDS, k=dice.randint(20, 60))
    return f"Document {dice.random()} of writer@example.com says that {' '.join(words)}."


def flow(scene: Scene) -> None:
    """Text flows, rejects come, the planner stands still."""
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
        scene.root_alert("planner", ("PartDown", "planner"))


def faults(scene: Scene) -> None:
    """All else that moves a panel of Overview or Training, but the number of ranks."""
    scene.rate = 5
    scene.trained(1)
    scene.trained(10)
    scene.keeps_up()
    with scene.happening(moves.RANK_STOPS):
        with scene.stopped("rank1"):
            time.sleep(20)
        scene.trained(6)
    with scene.happening(moves.RANK_DIES):
        scene.stack.kill("rank1")
        scene.trained(6)
    scene.keeps_up()
    with scene.happening(moves.FLOOD):
        with Publisher(scene.stack.settings) as publisher:
            for _ in range(1000):
                publisher.publish(text(scene.dice), source="mail")
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


def roots(scene: Scene) -> None:
    """Each part that answers Prometheus stands still until it is named; so does the broker, by the exporter."""
    scene.rate = scene.rate or 12
    for name, (alert, follows) in ROOTS.items():
        scene.trained(5)
        if name == parts.BROKER:
            scene.rate = 0  # no publisher waits that long
        scene.root_alert(name, alert, None if scene.deployed else follows)


def ballast(path: Path, mib: int) -> None:
    """Write a file of zeros."""
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(bytes(1024 * 1024))
