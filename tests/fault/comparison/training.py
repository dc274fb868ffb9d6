"""What both stand-ins do alike: a tiny language model, its checkpoint, and a log of what it was fed.

The checkpoint is one file that is written beside the old one, synced and renamed, as PyTorch's tutorial on saving a
general checkpoint has it (model, optimizer, step), and as careful users do. The log is the oracle's: it is synced
before a step begins, and no stand-in reads it, but to number its attempts.

`come` is where a process falls or stands still when it was ordered to; see `tests/fault/points.py`.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import cross_entropy

from headrace.contract.settings import ROOT
from tests.fault.points import FOLDER, VISITS

TOKENIZER = ROOT / "flink_jobs" / "tokenizer" / "tiny" / "tokenizer.json"
CHECKPOINT, LOG = "checkpoint.pt", "fed.jsonl"
BATCH = 8
"""Documents a step."""
CHECKPOINT_STEPS = 10
LONGEST = 64
WIDTH = 32
TRAINER = "trainer"
UPDATE, WRITTEN, SAVED = "update", "written", "saved"
"""Points: gradients are there and weights as before; a checkpoint has its bytes and not its name; it has its name."""


class Document(NamedTuple):
    """A text and where it stands: partition, offset, which of the message's documents."""

    partition: int
    offset: int
    index: int
    text: str


class Trainer:
    """A model that goes on from the checkpoint in `folder`, if there is one; `position`: what a loader keeps in it."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        self.folder = folder
        self.tokenizer = Tokenizer.from_file(str(TOKENIZER))
        size = self.tokenizer.get_vocab_size()
        self.model = nn.ModuleDict(
            {
                "embed": nn.Embedding(size, WIDTH),
                "mix": nn.GRU(WIDTH, WIDTH, batch_first=True),
                "say": nn.Linear(WIDTH, size),
            }
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-3)
        self.step, self.position = 0, dict[int, int]()
        if (path := folder / CHECKPOINT).exists():
            self.load(torch.load(path, weights_only=True))
        lines = (folder / LOG).read_text().splitlines() if (folder / LOG).exists() else []
        self.log = (folder / LOG).open("a")
        self.fed = sum(len(json.loads(line).get("documents", ())) for line in lines)
        self.attempt = sum("resumed" in line for line in lines)
        self.stopping = False
        signal.signal(signal.SIGTERM, self.stop)
        self.write(attempt=self.attempt, resumed=self.step)

    def stop(self, *_: Any) -> None:
        """On SIGTERM: the loop ends after its step, and saves."""
        self.stopping = True

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.position = state["step"], state["position"]

    def train(self, documents: Sequence[Document]) -> float:
        """One step; its loss in nats a token."""
        self.fed += len(documents)
        self.write(attempt=self.attempt, step=self.step, documents=[document[:3] for document in documents])
        tokens = [self.tokenizer.encode(document.text).ids[:LONGEST] for document in documents]
        rows = nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in tokens], batch_first=True, padding_value=-100)
        read, _ = self.model["mix"](self.model["embed"](rows[:, :-1].clamp(min=0)))
        loss = cross_entropy(self.model["say"](read).flatten(0, 1), rows[:, 1:].flatten())
        self.optimizer.zero_grad()
        loss.backward()
        self.come(UPDATE)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "position": self.position,
        }
        new = self.folder / "checkpoint.new"
        with new.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        self.come(WRITTEN)
        new.replace(self.folder / CHECKPOINT)
        directory = os.open(self.folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        self.come(SAVED)

    def write(self, **line: Any) -> None:
        print(json.dumps(line), file=self.log, flush=True)
        os.fsync(self.log.fileno())

    def come(self, point: str) -> None:
        if FOLDER in os.environ:
            VISITS.who, VISITS.step = TRAINER, self.fed
            VISITS.come(point)
