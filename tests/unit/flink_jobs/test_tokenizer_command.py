"""`headrace tokenizer`: what is trained is usable and the same every time; what is inspected is said."""

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flink_jobs.text.tokens import Encoder
from headrace.cli.main import app
from headrace.contract.errors import SettingsError


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A JSONL file with 400 texts of made-up words, one line that is no document, and one text that is long."""
    dice = random.Random(1)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randint(2, 7))) for _ in range(300)]
    texts = [" ".join(dice.choices(words, k=12)) for _ in range(400)]
    lines = [json.dumps({"text": text}) for text in [*texts, "zzzqzzzq " * 500]]
    file = tmp_path / "texts.jsonl"
    file.write_text("\n".join([*lines, '{"text": 5}', ""]))
    return file


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["tokenizer", *map(str, arguments)], catch_exceptions=False)


def test_train_makes_the_same_usable_tokenizer_every_time(corpus: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        done = run("train", "--vocabulary", "400", "--longest", "1000", "-o", tmp_path / name, corpus)
        assert done.exit_code == 0
        assert "left out 1 documents: bad_field" in done.stderr
    one, two = (Encoder.load(tmp_path / name / "tokenizer.json") for name in ("one", "two"))
    assert one.digest == two.digest
    assert one.tokenizer.get_vocab_size() == 400
    assert "zzz" not in one.tokenizer.get_vocab(), "too long a document was left out"
    assert (
        one.tokenizer.decode(one.encode("never seen: Ω 漢字 \U0001f600")[:-1].tolist())
        == "never seen: Ω 漢字 \U0001f600"
    )
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["tokenizer.json"]


def test_inspect_measures(corpus: Path, tmp_path: Path) -> None:
    run("train", "--vocabulary", "300", "-o", tmp_path, corpus)
    done = run("inspect", "--json", "--set", f"tokenizer.path={tmp_path}", corpus)
    said = json.loads(done.stdout)
    assert said["sha256"] == Encoder.load(tmp_path / "tokenizer.json").digest
    assert (said["vocabulary"], said["special"]) == (300, {"<|endoftext|>": 0})
    assert (said["documents"], said["words"]) == (401, 400 * 12 + 500)
    assert said["tokens_per_word"] == pytest.approx(said["tokens"] / said["words"], abs=1e-3)
    assert sum(language["documents"] for language in said["languages"].values()) == 401
    assert said["unknown_scripts"] == {}


def test_inspect_says_what_a_language_costs_and_which_scripts_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "said.log").write_text(
        "The meeting was moved to the afternoon because of the weather, and nobody complained about it.\n"
        "Встреча была перенесена на вторую половину дня из-за погоды.\n由于天气原因，会议改到下午举行。\n"
    )
    said = json.loads(run("inspect", "--json", tmp_path / "said.log").stdout)
    assert list(said["languages"]) == ["en", "ru", "zh"]
    english, russian = said["languages"]["en"], said["languages"]["ru"]
    assert english["documents"] == 1
    assert russian["tokens_per_word"] > 4 * english["tokens_per_word"], "the one shipped was trained on English"
    assert set(said["unknown_scripts"]) == {"CYRILLIC", "CJK"}
    assert "CYRILLIC" in run("inspect", tmp_path / "said.log").stdout


def test_too_little_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("a few words")
    with pytest.raises(SettingsError, match="give more text"):
        run("train", "-o", tmp_path / "out", tmp_path / "short.txt")


def test_a_tokenizer_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"tokenizer\.path"):
        run("inspect", "--set", f"tokenizer.path={tmp_path / 'none.json'}")
