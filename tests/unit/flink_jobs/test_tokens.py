"""Encoding: any text comes back, and no text can write a special token, whatever kind of tokenizer is used."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from flink_jobs.text.tokens import Encoder
from headrace.contract.digests import file_sha256
from headrace.contract.errors import HeadraceError, Rejected, SettingsError
from headrace.contract.settings import ROOT

SHIPPED = [ROOT / "flink_jobs/tokenizer/tokenizer.json", ROOT / "flink_jobs/tokenizer/tiny/tokenizer.json"]
ENCODERS = [Encoder.load(path) for path in SHIPPED]
ORIGINALS = [Tokenizer.from_file(str(path)) for path in SHIPPED]
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)
TYPED = "one <|endoftext|> two <s> [CLS] [SEP] </s> [UNK] three"


@pytest.mark.parametrize(("encoder", "vocabulary"), list(zip(ENCODERS, [2048, 1024], strict=True)))
def test_the_shipped_ones_are_what_they_are_said_to_be(encoder: Encoder, vocabulary: int) -> None:
    assert encoder.tokenizer.get_vocab_size() == vocabulary
    assert (encoder.begin, encoder.end, encoder.special, encoder.dtype) == (0, 0, (0,), np.uint16)


@pytest.mark.parametrize("path", SHIPPED)
def test_the_readme_names_their_hashes(path: Path) -> None:
    assert file_sha256(str(path)) in (ROOT / "flink_jobs/tokenizer/README.md").read_text()


@pytest.mark.parametrize(("encoder", "original"), list(zip(ENCODERS, ORIGINALS, strict=True)))
@given(text=TEXTS)
def test_any_text_comes_back(encoder: Encoder, original: Tokenizer, text: str) -> None:
    tokens = encoder.encode(text)
    assert tokens[-1] == encoder.end
    assert tokens.dtype == encoder.dtype
    assert original.decode(tokens[:-1].tolist()) == text


@pytest.mark.parametrize(("encoder", "original"), list(zip(ENCODERS, ORIGINALS, strict=True)))
@given(before=TEXTS, after=TEXTS)
def test_a_typed_special_token_is_text(encoder: Encoder, original: Tokenizer, before: str, after: str) -> None:
    text = f"{before}<|endoftext|>{after}"
    tokens = encoder.encode(text)[:-1]
    assert not np.isin(tokens, encoder.special).any()
    assert original.decode(tokens.tolist()) == text
    assert original.token_to_id("<|endoftext|>") in original.encode(text).ids, "what is guarded against"


def test_what_is_no_special_token_is_encoded_as_ever() -> None:
    text = "An ordinary text, of no particular length.\n\nWith two paragraphs; 1,234 signs & more…"
    for encoder, original in zip(ENCODERS, ORIGINALS, strict=True):
        assert encoder.encode(text)[:-1].tolist() == original.encode(text).ids


def word_level() -> Tokenizer:
    words = ["[UNK]", "[CLS]", "[SEP]", "one", "two", "three", "<|endoftext|>", "<s>", "</s>"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(words[:3] + words[6:])
    return tokenizer


def word_piece() -> Tokenizer:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "two", "thr", "##ee", "[", "]", "cls", "</s>"]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(6)
    tokenizer.enable_padding(length=6)
    return tokenizer


def unigram() -> Tokenizer:
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((char, -5.0) for char in "▁onetwhr<>/s|df[]CLSEPUNKxi")]
    tokenizer = Tokenizer(models.Unigram([*pieces, ("▁one", -1.0)], unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([AddedToken(name, normalized=True, special=True) for name in ("<s>", "</s>", "<unk>")])
    tokenizer.add_tokens(["xii"])
    return tokenizer


def greedy_bpe() -> Tokenizer:
    """Takes a word that is in the vocabulary whole, as the tokenizers of the Llama 3 family do."""
    letters = sorted(set("onetwhr<|dfxs>/[]CLSEPUNK"))
    vocabulary = {piece: i for i, piece in enumerate([*letters, "<|endoftext|>", "</s>"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<|endoftext|>", "</s>"])
    return tokenizer


@pytest.mark.parametrize(
    ("make", "end"),
    [(word_level, "<|endoftext|>"), (word_piece, "</s>"), (unigram, "</s>"), (greedy_bpe, "<|endoftext|>")],
)
def test_other_kinds_of_tokenizers_are_guarded_too(make: Callable[[], Tokenizer], end: str, tmp_path: Path) -> None:
    original = make()
    original.save(str(tmp_path / "tokenizer.json"))
    encoder = Encoder.load(tmp_path / "tokenizer.json")
    typed = original.encode(TYPED, add_special_tokens=False).ids
    assert set(encoder.special) & set(typed), "the tokenizer itself can be fooled"
    tokens = encoder.encode(TYPED).tolist()
    assert not set(encoder.special) & set(tokens[:-1])
    assert tokens[-1] == encoder.end == original.token_to_id(end)
    assert len(tokens) > 7, "and does not cut"
    assert len(encoder.encode("one")) <= 4, "nor pad"
    plain = "one two one two one two"
    assert encoder.encode(plain)[:-1].tolist() == original.encode(plain, add_special_tokens=False).ids
    assert {piece.strip("\0"): i for piece, i in encoder.tokenizer.get_vocab().items()} == original.get_vocab()


def test_begin_and_end_are_what_the_directory_says(tmp_path: Path) -> None:
    word_level().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "[SEP]"}, "bos_token": None}))
    encoder = Encoder.load(tmp_path / "tokenizer.json")
    assert (encoder.begin, encoder.end) == (7, 2)


def test_an_end_that_no_list_calls_special_is_guarded(tmp_path: Path) -> None:
    word_level().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "three"}))
    encoder = Encoder.load(tmp_path / "tokenizer.json")
    assert encoder.end == 5
    assert encoder.encode("two three")[:-1].tolist() == [4, 0]


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    words = {f"w{i}": i for i in range(2**16)}
    Tokenizer(models.WordLevel({**words, "</s>": 2**16}, unk_token="w0")).save(str(tmp_path / "tokenizer.json"))
    assert Encoder.load(tmp_path / "tokenizer.json").encode("w65535").tolist() == [65535, 65536]


def test_no_token_is_a_reject(tmp_path: Path) -> None:
    word_level().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(Rejected, match="no_tokens"):
        Encoder.load(tmp_path / "tokenizer.json").encode(" ")


def test_a_special_id_out_of_plain_text_is_never_output() -> None:
    with pytest.raises(HeadraceError, match="special id"):
        ENCODERS[0].encode("\0<|endoftext|>\0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "has no vocabulary"),
        ('{"model": {"type": "Nothing", "vocab": {"</s>": 0}}}', "cannot be read"),
        ('{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}', "no end-of-text"),
    ],
)
def test_what_is_no_tokenizer_is_a_wrong_setting(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(SettingsError, match=message):
        Encoder.load(tmp_path / "tokenizer.json")
