"""The same ids as Hugging Face's tokenizers gives, thirty times as fast: gigatoken, where it can and does agree.

It keeps every word that it has met, without bound, so it is made anew after so much text. It does not read every kind
of tokenizer.json; and whether it gives the same ids as the library that trained the file is tried on texts that have
told such programs apart before. Where it does not, the library itself encodes, and a warning says so.
"""

from __future__ import annotations

import logging
from typing import Any

import gigatoken
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

MOST_CHARACTERS = 8_000_000
"""Encoded by one engine. Random letters cost it six times their size, some 50 MB; words that repeat cost nothing."""
PROBES = (
    "An ordinary sentence, with 1,234.56 numbers & signs… and it's done.\n\n\tTabs,  two spaces \r\n and a line's end ",
    "don't DON'T we'll I'VE they're x'y ''''s",
    "Grüße, naïve café, e\u0301 e\u0301\u0323 ﬁ Ａ １２３ ½ Ǆ İ ı ß ẞ",
    "Привет мир; Γειά σου Κόσμε; שלום עולם; مرحبا بالعالم; नमस्ते दुनिया; สวัสดีชาวโลก; 你好，世界。こんにちは 안녕하세요",
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽 1️⃣ \u200b\u200d\ufeff\u2028\u00a0\u3000\ue000\U0010ffff\ufffd",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa !!!!!!!!!!!!!!!! \n\n\n\n\n\n        x",
    "<|endoftext|> <s> </s> [CLS] [SEP] <unk> <|im_start|> \0<|endoftext|>\0 <|endoftext",
    "http://example.org/?a=b&c=%20 foo_bar FooBar2 {'k': [1, 2]} #tag @x $1.00 50% a/b\\c",
)

log = logging.getLogger(__name__)


class Engine:
    """Encodes as `tokenizer` does, which adds nothing and cuts nothing. Can be pickled before and after use."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.json: str | None = tokenizer.to_str()
        self.left = 0
        self.fast: Any = None
        try:
            self._make_anew()
            differing = [text for text in PROBES if self.ids(text).tolist() != self._slowly(text)]
        except Exception as error:  # the library raises nothing narrower
            differing = [str(error)]
        if differing:
            log.warning(
                "encoding with the library tokenizers, which is slow: gigatoken fails on %r", differing[0][:200]
            )
            self.json = None

    def ids(self, text: str) -> NDArray[np.uint32]:
        """The ids of a text."""
        if self.json is None:
            return np.array(self._slowly(text), dtype=np.uint32)
        if self.left < len(text):
            self._make_anew()
        self.left -= len(text)
        encoded: NDArray[np.uint32] = self.fast.encode(text)
        return encoded

    def _slowly(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _make_anew(self) -> None:
        self.fast, self.left = gigatoken.Tokenizer.from_json(self.json), MOST_CHARACTERS

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "fast": None, "left": 0}
