"""What a run has learned and where it stands: weights, optimizer state, position. A checkpoint holds exactly this."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from torch.nn import Parameter

from headrace.contract.digests import FED_START
from headrace.contract.plan import Step
from headrace.contract.settings import Trainer
from headrace.contract.training import Manifest
from trainer.model import load_model
from trainer.optimizer import make_optimizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"


@dataclass
class State:
    """Everything that a step changes. `seq` and `step` are the next to train, `tokens` all that were trained."""

    model: PreTrainedModel
    optimizer: torch.optim.AdamW
    seq: int = 1
    step: int = 0
    tokens: int = 0
    fed: bytes = FED_START

    @classmethod
    def first(cls, model: PreTrainedModel, settings: Trainer) -> State:
        """A run that has seen nothing."""
        return cls(model.train(), make_optimizer(list(model.parameters()), settings))

    @classmethod
    def load(cls, directory: Path, manifest: Manifest, settings: Trainer, device: torch.device) -> State:
        """The state that a checkpoint holds, on `device`."""
        state = cls.first(load_model(directory).to(device), settings)
        saved = safetensors.torch.load_file(directory / OPTIMIZER)
        for name, parameter in state.model.named_parameters():
            part = {
                key: saved[f"{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{name}.{key}" in saved
            }
            if part:
                state.optimizer.state[parameter] = {
                    key: tensor if key == "step" else tensor.to(device) for key, tensor in part.items()
                }
        state.seq, state.step, state.tokens = manifest.seq, manifest.step, manifest.tokens
        state.fed = bytes.fromhex(manifest.fed)
        return state

    @property
    def parameters(self) -> list[Parameter]:
        """In the order in which gradients lie; shared ones once."""
        return list(self.model.parameters())

    def advance(self, step: Step, fed: bytes) -> None:
        """Move the position past a step."""
        self.seq, self.step = step.seq + 1, step.step + 1
        self.tokens = step.tokens_before + step.tokens
        self.fed = fed

    @torch.no_grad()
    def copy(self, into: State | None) -> State:
        """This state as it is now, on the CPU, in memory of its own: that of an earlier copy, or new.

        A copy can be written and hashed, not trained. Any thread may make one, while nobody changes this state.
        Out of a GPU it comes through pinned memory.
        """
        twin = into or State(_twin(self.model), torch.optim.AdamW([torch.zeros(0)]))
        for mine, now in zip(_tensors(twin.model), _tensors(self.model), strict=True):
            mine.copy_(now, non_blocking=True)
        for mine, now in zip(twin.parameters, self.parameters, strict=True):
            room = twin.optimizer.state[mine]
            for key, tensor in self.optimizer.state.get(now, {}).items():
                if key not in room:
                    room[key] = _room_for(tensor)
                room[key].copy_(tensor, non_blocking=True)
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        twin.seq, twin.step, twin.tokens, twin.fed = self.seq, self.step, self.tokens, self.fed
        return twin

    def write(self, directory: Path) -> None:
        """The files of a checkpoint, from which `AutoModelForCausalLM.from_pretrained` makes the model."""
        self.model.config.save_pretrained(directory)
        safetensors.torch.save_model(self.model, str(directory / WEIGHTS), metadata={"format": "pt"})
        safetensors.torch.save_file(self._optimizer_tensors(), directory / OPTIMIZER)

    def _optimizer_tensors(self) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{key}": tensor.contiguous()
            for name, parameter in self.model.named_parameters()
            for key, tensor in self.optimizer.state.get(parameter, {}).items()
        }

    def weights_sha256(self) -> str:
        """Hex sha256 over the fp32 bytes of all parameters in order."""
        sha = hashlib.sha256()
        for parameter in self.parameters:
            sha.update(parameter.detach().cpu().contiguous().numpy().data)
        return sha.hexdigest()


def _tensors(model: PreTrainedModel) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]


def _twin(model: PreTrainedModel) -> PreTrainedModel:
    """A model of the same shape on the CPU, its tensors not filled yet; shared ones are shared in it too."""
    memo = {id(tensor): _room_for(tensor) for tensor in _tensors(model)}
    return deepcopy(model, memo)


def _room_for(tensor: torch.Tensor) -> torch.Tensor:
    """An unfilled tensor alike on the CPU, pinned where a GPU copies into it; a parameter for a parameter."""
    room = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda, requires_grad=False)
    return Parameter(room, requires_grad=False) if isinstance(tensor, Parameter) else room
