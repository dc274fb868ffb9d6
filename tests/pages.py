"""A run that was restarted twice, as the records of its topics tell it, and what a page is made from."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import orjson
from reports import step_report

from headrace.audit.findings import Findings, Stage
from headrace.audit.report import Report
from headrace.contract.blocks import Seal
from headrace.contract.documents import RejectedHeaders
from headrace.contract.errors import Coordinate
from headrace.contract.training import CheckpointFile, Manifest
from headrace.page.gather import Facts, Training
from headrace.page.page import render

BEGAN = 1_795_838_400_000
STEP_TOKENS = 1_000
RESTARTS = (60, 120)
BACK = 10
PAUSE_MS = 12_000
HOSTILE = '<script>alert("x")</script>'
REASONS = ("gopher_short_doc", "duplicate", "gopher_below_alpha_threshold", "not_text", HOSTILE)
SECONDS = {"wait": 0.05, "agree": 0.01, "compute": 0.1, "reduce": 0.02, "update": 0.01, "checkpoint": 0.002}


def facts(steps: int = 183, step_ms: float = 250, restarts: tuple[int, ...] = RESTARTS) -> Facts:
    """A run of so many steps, which goes back BACK steps at each restart."""
    found = Facts(training(steps, step_ms, restarts))
    dice, ended = random.Random(1), found.training.heard
    add_documents(found, dice)
    for start in range(BEGAN, ended, max(2_000, (ended - BEGAN) // 200)):
        seal = Seal(start=start, end=start + 2_000, shard=0, documents=9, tokens=8_000, blocks=9, digest="")
        found.windows.take(seal)
    found.manifests = [manifest(step) for step in range(0, steps + 1, max(1, steps // 4))]
    found.kept = frozenset(one.step for one in found.manifests[-3:])
    found.frequencies, found.entropy_blocks = (1e5 / np.arange(1, 2_000)).astype(np.int64), 1_500
    return found


def training(steps: int, step_ms: float, restarts: tuple[int, ...]) -> Training:
    found, dice, now, attempt, before = Training("main"), random.Random(2), float(BEGAN + 9_000), 0, -1
    order = list(range(steps))
    for stop in restarts:
        order = [*order[: order.index(stop) + 1], *range(stop + 1 - BACK, steps)]
    for step in order:
        if step <= before:
            attempt, now = attempt + 1, now + PAUSE_MS
        before, now = step, now + step_ms * dice.uniform(0.8, 1.2)
        report = step_report(
            attempt=f"2026-11-28-{attempt}",
            step=step,
            seq=step + 1,
            loss=loss_at(step, steps),
            tokens=STEP_TOKENS,
            tokens_total=STEP_TOKENS * (step + 1),
            seconds=SECONDS,
            age_s=4 + 2 * dice.random(),
            sources={"reviews": (700, 700 * 5.3), HOSTILE: (300, 300 * 5.6)},
            time=int(now),
        )
        found.take(report)
    return found


def loss_at(step: int, steps: int) -> float:
    """The same whenever a step is trained."""
    return 5.2 + 2.7 * math.exp(-6 * step / steps) + random.Random(step).gauss(0, 0.1)


def add_documents(found: Facts, dice: random.Random) -> None:
    for number in range(1_000):
        published = BEGAN + number * 30
        if number % 5:
            said = {"language": dice.choice(("en", "en", "de", HOSTILE)), "source": dice.choice(("reviews", HOSTILE))}
            found.documents.accept(orjson.dumps(said), published, Coordinate("text.clean", 0, number))
        else:
            said_of = RejectedHeaders(REASONS[number // 5 % len(REASONS)], "clean", "", (0, number))
            found.documents.reject(said_of, published)


def manifest(step: int) -> Manifest:
    files = (CheckpointFile(name="model.safetensors", bytes=21_000_000, sha256=""),)
    return Manifest(
        run="main",
        attempt="2026-11-28-0",
        seq=step + 1,
        step=step,
        tokens=step * STEP_TOKENS,
        fed="",
        parent=None,
        cluster="c",
        topics={},
        tokenizer="t",
        weights="",
        fingerprint={},
        settings={},
        files=files,
        time=BEGAN + 9_000 + step * 300,
    )


def proof(findings: Findings | None = None) -> Report:
    stages = [Stage(name, 1_000, 1_000) for name in ("clean", "tokenize", "plan", "train")]
    return Report("main", findings or Findings(), stages, planned=183, trained=183, saved=180, records=9, seconds=1.0)


def write(file: Path, found: Facts | None = None, report: Report | None = None) -> Path:
    """A page in a file."""
    file.write_text(render(found or facts(), report or proof(), BEGAN + 90_000, f"once upon {HOSTILE}"))
    return file
