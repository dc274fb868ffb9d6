"""What must be the same for the same bits (docs/step.md, 13), beside the settings that are fixed for a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
import transformers
import xxhash

from headrace.contract.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

OPERATIONAL = {
    "run",
    "begin_from",
    "ranks",
    "threads",
    "device",
    "checkpoint_dir",
    "checkpoint_steps",
    "checkpoint_s",
    "checkpoint_async",
    "keep_checkpoints",
    "keep_every_steps",
    "require_bitwise",
    "tensorboard",
    "until_step",
    "fetch_timeout_s",
    "collective_timeout_s",
    "watchdog_s",
}
"""Settings of the trainer that say how a run is carried out, not what it learns; threads stand in the fingerprint, and
what a run began from in its first manifest."""


def fixed_settings(settings: Settings) -> dict[str, Any]:
    """The settings that may not change during a run, as its manifests keep them."""
    return {
        **settings.trainer.model_dump(exclude=OPERATIONAL),
        "nominal_tokens": settings.nominal_tokens,
    }


def fingerprint(model: PreTrainedModel, settings: Settings, device: torch.device) -> dict[str, str]:
    """Whatever decides the bits of a gradient on this machine."""
    return {
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
        "device": _name(device),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(settings.trainer.threads),
        "attention": str(model.config._attn_implementation),
        "optimizer": "adamw-foreach",
        "leaf_blocks": str(settings.trainer.leaf_blocks),
        "dtype": settings.trainer.dtype,
        "compile": "no",
    }


def _name(device: torch.device) -> str:
    gpu = device.type == "cuda"
    return f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}" if gpu else "cpu"


def digest(values: dict[str, str]) -> bytes:
    """16 bytes that stand for a fingerprint in the header of every step."""
    return xxhash.xxh3_128_digest("\n".join(f"{key}={values[key]}" for key in sorted(values)).encode())


def make_deterministic(threads: int) -> None:
    """Let equal inputs give equal bits: a fixed number of CPU threads, and no algorithm that sums in any order.

    Must run before the first CUDA call; unfilled memory stays unfilled, for speed. With deterministic algorithms torch
    takes only kernels of attention whose backward pass sums in a fixed order (never cuDNN's), by shape and type alone.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("highest")  # some images let TF32 in by the environment
    torch.backends.cudnn.benchmark = False
