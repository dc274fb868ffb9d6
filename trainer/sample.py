"""`python -m trainer.sample`: text that a checkpoint writes. Needs no broker and no network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer

from headrace.checkpoints import finished
from headrace.contract.errors import DependencyError, HeadraceError
from headrace.contract.settings import Settings, load
from trainer.model import load_model, read_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BEGIN = ("<|endoftext|>", "<s>")
END = ("<|endoftext|>", "</s>")


def samples(
    model: PreTrainedModel, tokenizer: Tokenizer, prompt: str, count: int, tokens: int, temperature: float, top_p: float
) -> Iterator[str]:
    """`count` texts that begin with the prompt and go on for at most `tokens` tokens, drawn from torch's generator."""
    end = next((i for name in END if (i := tokenizer.token_to_id(name)) is not None), None)
    begin = next((i for name in BEGIN if (i := tokenizer.token_to_id(name)) is not None), end or 0)
    ids = [begin, *tokenizer.encode(prompt, add_special_tokens=False).ids]
    written = model.generate(
        torch.tensor([ids] * count),
        attention_mask=torch.ones(count, len(ids), dtype=torch.long),
        max_new_tokens=tokens,
        do_sample=True,
        temperature=temperature,
        top_p=top_p,
        top_k=0,
        eos_token_id=end,
        pad_token_id=end if end is not None else 0,
        use_cache=True,
    )
    for row in written.tolist():
        new = row[len(ids) :]
        yield prompt + tokenizer.decode(new[: new.index(end)] if end in new else new, skip_special_tokens=True)


def newest(settings: Settings) -> Path:
    """The newest checkpoint of the run of the settings."""
    directory = settings.checkpoint_dir / settings.trainer.run
    *_, last = (None, *finished(directory))
    if last is None:
        raise DependencyError(f"no checkpoint in {directory}: start a trainer with `headrace up`, or set trainer.run")
    return last.path


def main() -> None:
    """Print what was asked for, a text a paragraph."""
    parser = argparse.ArgumentParser(prog="python -m trainer.sample", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint's directory; else the newest of trainer.run")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json; else the one in the checkpoint")
    parser.add_argument("--prompt", default="", help="how the texts begin")
    parser.add_argument("--count", type=int, default=3, help="how many texts")
    parser.add_argument("--tokens", type=int, default=40, help="most new tokens in each")
    parser.add_argument("--temperature", type=float, default=0.7, help="below 1: more likely tokens, more often")
    parser.add_argument("--top-p", type=float, default=0.95, help="leave out the unlikely tail")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds, equal texts")
    said = parser.parse_args()
    torch.manual_seed(said.seed)
    checkpoint = said.checkpoint or newest(load().settings)
    tokenizer = read_tokenizer(said.tokenizer or checkpoint / "tokenizer.json")
    model = load_model(checkpoint).eval()
    for text in samples(model, tokenizer, said.prompt, said.count, said.tokens, said.temperature, said.top_p):
        print(text, end="\n\n")


if __name__ == "__main__":
    try:
        main()
    except HeadraceError as error:
        print(f"headrace: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
