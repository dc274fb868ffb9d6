"""`headrace logs` orders the lines of all parts, goes back into what was set aside, and shows no terminal commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headrace.cli.logs import new_lines, readable
from headrace.cli.main import app
from headrace.contract.errors import SettingsError
from headrace.local import logfiles


def line(second: int, event: str, part: str) -> str:
    return f'{{"time":"2026-11-25T03:00:{second:02}.000Z","level":"INFO","part":"{part}","event":"{event}"}}\n'


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "planner.log.1").write_text(line(1, "one", "planner") + line(3, "three", "planner"))
    (folder / "planner.log").write_text(line(5, "five", "planner"))
    (folder / "broker.log").write_text(line(2, "two", "broker") + "  at some.Java\n" + line(4, "four", "broker"))
    return tmp_path


def logs(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["logs", *arguments, "--set", f"local.data_dir={data_dir}"])


def last_words(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [said.split()[-1] for said in result.output.splitlines()]


def test_all_parts_in_the_order_of_time_with_what_was_set_aside(data_dir: Path) -> None:
    assert last_words(logs(data_dir)) == ["one", "two", "some.Java", "three", "four", "five"]


def test_what_unicode_takes_for_an_end_of_line_is_none(data_dir: Path) -> None:
    (data_dir / "logs" / "planner.log").write_text(line(5, "be\u2028fore\x85after", "planner"))
    (last,) = logs(data_dir, "planner", "-n", "1").output.removesuffix("\n").split("\n")
    assert last.endswith("be\u2028fore\\x85after")


def test_the_last_lines_of_one_part(data_dir: Path) -> None:
    assert last_words(logs(data_dir, "planner", "-n", "2")) == ["three", "five"]
    assert logs(data_dir, "planner", "-n", "0").output == ""


def test_lines_since_a_time(data_dir: Path) -> None:
    assert last_words(logs(data_dir, "--since", "2026-11-25T03:00:02")) == ["two", "some.Java", "three", "four", "five"]
    assert last_words(logs(data_dir, "--since", "2026-11-25T04:00:04+01:00")) == ["four", "five"]
    assert last_words(logs(data_dir, "--since", "2026-11-25T03:00:02", "-n", "1")) == ["four", "five"]


def test_an_unknown_part_names_the_right_ones(data_dir: Path) -> None:
    result = logs(data_dir, "palnner")
    assert isinstance(result.exception, SettingsError)
    assert "there are: broker, planner" in str(result.exception)


def test_following_goes_on_after_a_log_was_set_aside(data_dir: Path) -> None:
    path = logfiles.path_of(data_dir, "planner")
    coming = new_lines({path: path.stat().st_size})
    with path.open("a") as file:
        file.write("first\nsec")
    assert next(coming).text == "first"
    with path.open("a") as file:
        file.write("ond\n")
    assert next(coming).text == "second"
    logfiles.bound(data_dir, most=1)
    path.write_text("third\n")
    assert next(coming).text == "third"


def test_control_characters_do_not_reach_the_terminal() -> None:
    said = readable(
        '{"time":"2026-11-25T03:00:00.000Z","level":"INFO","part":"clean","event":"\\u001b[2Jgo\\rne"}', "x"
    )
    assert said == "03:00:00.000 INFO    clean        \\x1b[2Jgo\\x0dne"
    assert readable("plain \x9b6n", "submit") == "submit       plain \\x9b6n"
