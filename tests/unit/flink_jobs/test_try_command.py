"""`headrace try`: the same verdicts as the job, step by step, or as a table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headrace.cli.main import app
from headrace.contract.errors import SettingsError

GOOD = "Some good words that everybody likes to read, and more of them."


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["try", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "text"


def test_one_text_is_shown_step_by_step(file: Path) -> None:
    file.write_text(f"{GOOD}  Write to jane@example.org,\nor do not.")
    done = run(file)
    assert done.exit_code == 0
    assert "accepted, language en" in done.stdout
    assert "-Some good words" in done.stdout, "what changed"
    assert "Write to <EMAIL>,\nor do not." in done.stdout, "what it became"
    steps = [line.split(" ")[0] for line in done.stdout.splitlines() if line and not line.startswith(" ")]
    assert steps.index("normalise") < steps.index("language") < steps.index("length") < steps.index("private")


def test_a_reject_names_its_step_rule_and_value(file: Path) -> None:
    file.write_text(GOOD)
    done = run(file, "--profile", "docs")
    assert "length             gopher_short_doc: words 12 < 50" in done.stdout
    assert "rejected gopher_short_doc: words 12 < 50" in done.stdout
    assert "repetition" not in done.stdout, "it ends there"


def test_standard_input_is_one_text() -> None:
    command = [sys.executable, "-m", "headrace.cli.main", "try", "-", "--json"]
    done = subprocess.run(command, input=f"short\n{GOOD}\n", capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["its own"]["text"] == f"short\n{GOOD}"


def test_two_profiles_are_compared(file: Path) -> None:
    file.write_text(f"{GOOD}\n    and more")
    done = run(file, "--profile", "code", "--diff", "chat")
    assert "profile code" in done.stdout
    assert "profile chat" in done.stdout
    assert done.stdout.rstrip().endswith("-    and more\n+ and more")


def test_many_texts_are_a_table(tmp_path: Path) -> None:
    lines = [GOOD, "short", "too short", f"{GOOD} Again."]
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines) + '{"text": 5}\n')
    said = json.loads(run(file, "--json", "--diff", "none").stdout)
    assert said == {
        "its own": {"accepted": 2, "gopher_short_doc": 2, "bad_field": 1},
        "none": {"accepted": 4, "bad_field": 1},
    }
    table = run(tmp_path).stdout.splitlines()
    assert [line.split() for line in table if line.startswith("accepted")] == [["accepted", "2", "40.0%"]]
    assert json.loads(run(file, "--json", "--limit", "2").stdout) == {"its own": {"accepted": 1, "gopher_short_doc": 1}}


def test_a_source_has_its_profile_and_its_encoding(tmp_path: Path) -> None:
    file = tmp_path / "mail.txt"
    file.write_bytes("Grüße aus Köln, wo es schön ist und über alle Maßen regnet".encode("latin-1"))
    assert "invalid_utf8" in run(file).stdout
    done = run(file, "--source", "inbox", "--set", "clean.sources=in*=mail", "--json")
    (said,) = json.loads(done.stdout).values()
    assert (said["outcome"], said["language"]) == ("accepted", "de")
    assert said["text"].startswith("Grüße aus Köln")


def test_pages_and_mails_are_known_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<html><body><p>{GOOD}</p></body></html>")
    (tmp_path / "one.eml").write_text(f"From: a\nTo: b\n\n{GOOD}")
    for name in ("page.html", "one.eml"):
        (said,) = json.loads(run(tmp_path / name, "--json").stdout).values()
        assert said["text"] == GOOD


def test_what_cannot_be_tried_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no profile blog: there are chat, mail,"):
        run("-", "--profile", "blog")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="no document in"):
        run(tmp_path / "empty")
