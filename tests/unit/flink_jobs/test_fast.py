"""The fast engine gives the ids of the library that trained the tokenizer, or leaves it to that library and says so."""

import logging
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from flink_jobs.text import fast
from flink_jobs.text.fast import PROBES, Engine
from flink_jobs.text.tokens import Encoder
from headrace.contract.settings import ROOT
from tests.hostile import HARMLESS

ENCODERS = [Encoder.load(ROOT / "flink_jobs/tokenizer" / name) for name in ("tokenizer.json", "tiny/tokenizer.json")]
HOSTILE = [document.value.decode("utf-8", "replace")[:2000] for document in HARMLESS if document.value]
PIECES = st.sampled_from(
    [*PROBES, "\0", "\u0301", "\u200d", "ﷺ", "\r\n", "'s", "  ", "<|endoftext|>", "0" * 9, "\ufffd"]
)
TEXTS = st.lists(PIECES | st.text(max_size=20), max_size=12).map("".join)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_shipped_ones_are_fast_and_equal(encoder: Encoder) -> None:
    assert encoder.engine.json is not None, "it did not fall back"
    for text in HOSTILE:
        assert encoder.engine.ids(text).tolist() == encoder.engine._slowly(text), text[:80]


@pytest.mark.parametrize("encoder", ENCODERS)
@given(text=TEXTS)
def test_any_text_has_the_same_ids(encoder: Encoder, text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert encoder.engine.ids(text).tolist() == encoder.engine._slowly(text)


def test_it_is_made_anew_after_so_much_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "MOST_CHARACTERS", 400)
    engine = Engine(ENCODERS[0].tokenizer)
    made = {id(engine.fast)}
    for number in range(50):
        assert engine.ids(f"text number {number}").tolist() == engine._slowly(f"text number {number}")
        made.add(id(engine.fast))
    assert len(made) > 1


def test_it_travels_used_or_not() -> None:
    engine = pickle.loads(pickle.dumps(ENCODERS[0].engine))
    assert engine.ids("some text").tolist() == ENCODERS[0].engine.ids("some text").tolist()
    assert (
        pickle.loads(pickle.dumps(ENCODERS[0])).encode("some text").tolist() == ENCODERS[0].encode("some text").tolist()
    )


def test_what_it_cannot_read_or_gets_wrong_is_left_to_the_library(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "some": 1, "text": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    monkeypatch.setattr(Engine, "_slowly", lambda self, text: [1, 2])
    for tokenizer in (words, ENCODERS[0].tokenizer):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert Engine(tokenizer).ids("some text").tolist() == [1, 2]
        assert "gigatoken fails on" in caplog.text
