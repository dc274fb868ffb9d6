"""Text to token ids, so that no text can write a special token.

A Hugging Face tokenizer.json turns a *typed* `<|endoftext|>` into the special id. Here every special token is renamed
wherever the file names it (added tokens, the model's vocabulary, the unknown token) to a string that holds a NUL, which
no normalised text does; all ids stay what they are. What is typed then goes the way of any other text. After encoding,
the ids are checked again: a special one among them (the unknown token's aside) is an error, never output.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from tokenizers import Tokenizer

from flink_jobs.text.fast import Engine
from headrace.contract.digests import file_sha256
from headrace.contract.errors import HeadraceError, Rejected, SettingsError

Tokens = NDArray[np.unsignedinteger[Any]]
"""u16 or u32 [n]."""
Tree = dict[str, Any]

BEGIN = ("<|endoftext|>", "<s>")
END = ("<|endoftext|>", "</s>")


@dataclass(frozen=True)
class Encoder:
    """A tokenizer whose special ids come from nobody but us.

    `begin` and `end` are the ids of begin- and end-of-text, which may be one and the same; `special` all ids that no
    text may give; `dtype` the smaller of u16 and u32 that holds every id; `digest` the sha256 of the tokenizer.json.
    """

    tokenizer: Tokenizer
    begin: int
    end: int
    special: tuple[int, ...]
    dtype: type[np.uint16] | type[np.uint32]
    digest: str

    @classmethod
    def load(cls, path: Path) -> Encoder:
        """Read a tokenizer.json and, where they stand beside it, tokenizer_config.json and special_tokens_map.json.

        Begin- and end-of-text are those files' bos_token and eos_token, else `<|endoftext|>`, else `<s>` and `</s>`;
        a tokenizer without begin-of-text begins with end-of-text. Raises SettingsError if the file is not there, is
        no tokenizer, or has no end-of-text.
        """
        tree = _read(path)
        if "vocab" not in (tree.get("model") or {}):
            raise SettingsError(f"tokenizer {path} has no vocabulary: it is not a Hugging Face tokenizer.json")
        begin, end = _begin_and_end(tree, path)
        flagged = {token["content"] for token in tree.get("added_tokens", ()) if token["special"]}
        names = flagged | {begin, end}
        try:
            tokenizer = Tokenizer.from_str(orjson.dumps(_hide(tree, names)).decode())
        except Exception as error:  # the library raises nothing narrower
            raise SettingsError(f"tokenizer {path} cannot be read: {error}") from error
        vocabulary = tokenizer.get_vocab()
        return cls(
            tokenizer=tokenizer,
            begin=vocabulary[_hidden(begin)],
            end=vocabulary[_hidden(end)],
            special=tuple(sorted(vocabulary[_hidden(name)] for name in names - {_unknown(tree)})),
            dtype=np.uint16 if max(vocabulary.values()) < 2**16 else np.uint32,
            digest=file_sha256(str(path)),
        )

    @cached_property
    def engine(self) -> Engine:
        """Made by the first text of a worker."""
        return Engine(self.tokenizer)

    @cached_property
    def is_special(self) -> NDArray[np.bool_]:
        """By id."""
        flags = np.zeros(max(self.tokenizer.get_vocab().values()) + 1, dtype=np.bool_)
        flags[list(self.special)] = True
        return flags

    def encode(self, text: str) -> Tokens:
        """The ids of a text, end-of-text last. Raises Rejected no_tokens when there is nothing before it."""
        ids = self.engine.ids(text)
        if not len(ids):
            raise Rejected("no_tokens")
        if self.is_special.take(ids).any():
            raise HeadraceError("the tokenizer made a special id of plain text")
        tokens: Tokens = np.empty(len(ids) + 1, dtype=self.dtype)
        tokens[:-1], tokens[-1] = ids, self.end
        return tokens


def _read(path: Path) -> Tree:
    try:
        tree = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise SettingsError(f"tokenizer {path} does not exist: set tokenizer.path to a tokenizer.json") from None
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"tokenizer file {path} is not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"tokenizer file {path} is not a JSON object")
    return tree


def _begin_and_end(tree: Tree, path: Path) -> tuple[str, str]:
    """The names of begin- and end-of-text."""
    beside = [path.with_name(name) for name in ("special_tokens_map.json", "tokenizer_config.json")]
    said = {key: value for file in beside if file.exists() for key, value in _read(file).items() if value}
    known = _names(tree)
    begin = [_content(said["bos_token"])] if "bos_token" in said else BEGIN
    end = [_content(said["eos_token"])] if "eos_token" in said else END
    found = next((name for name in end if name in known), None)
    if found is None:
        raise SettingsError(f"tokenizer {path} has no end-of-text: none of {', '.join(end)} is among its tokens")
    return next((name for name in begin if name in known), found), found


def _content(token: str | Tree) -> str:
    """A token stands in these files as a string or as an object."""
    return token if isinstance(token, str) else str(token["content"])


def _names(tree: Tree) -> set[str]:
    """Every token of the file."""
    vocabulary = tree["model"]["vocab"]
    pieces = vocabulary if isinstance(vocabulary, dict) else (piece for piece, _ in vocabulary)
    return {*pieces, *(token["content"] for token in tree.get("added_tokens", ()))}


def _unknown(tree: Tree) -> str | None:
    """The name of the unknown token. A Unigram model gives its index, the others its name."""
    model = tree["model"]
    if model.get("unk_id") is not None:
        return str(model["vocab"][model["unk_id"]][0])
    name = model.get("unk_token")
    return None if name is None else str(name)


def _hide(tree: Tree, names: set[str]) -> Tree:
    """The tokenizer with `names` renamed everywhere, which adds and cuts nothing by itself."""
    model = dict(tree["model"])
    rename = {name: _hidden(name) for name in names}
    if isinstance(model["vocab"], dict):
        model["vocab"] = {rename.get(piece, piece): index for piece, index in model["vocab"].items()}
    else:
        model["vocab"] = [[rename.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token") in rename:
        model["unk_token"] = rename[model["unk_token"]]
    added = [
        {**token, "content": rename[token["content"]], "normalized": False} if token["content"] in rename else token
        for token in tree.get("added_tokens", ())
    ]
    return {**tree, "model": model, "added_tokens": added, "post_processor": None, "truncation": None, "padding": None}


def _hidden(name: str) -> str:
    return f"\0{name}\0"
