"""Settings: which source wins, what a wrong one says, and that a child process gets the same tree."""

from pathlib import Path

import pytest

from headrace.contract import settings
from headrace.contract.errors import SettingsError


def test_later_sources_win_and_are_remembered(tmp_path: Path) -> None:
    file = tmp_path / "headrace.toml"
    file.write_text('[trainer]\nranks = 3\nthreads = 2\nmodel = "tiny"\n')
    env = {"HEADRACE_TRAINER__THREADS": "4", "HEADRACE_TRAINER__MODEL": "small", "HOME": "/"}
    resolved = settings.load(file, ["trainer.model=tiny"], env)
    trainer = resolved.settings.trainer
    assert (trainer.ranks, trainer.threads, trainer.model) == (3, 4, "tiny")
    assert resolved.origins == {
        "trainer.ranks": str(file),
        "trainer.threads": "environment HEADRACE_TRAINER__THREADS",
        "trainer.model": "--set",
    }


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("trainer.rank=2", "did you mean trainer.ranks?"),
        ("trainer.ranks=two", "trainer.ranks = 'two' (from --set)"),
        ("trainer.ranks=0", "greater than or equal to 1"),
        ("qwertz=1", "headrace settings"),
        ("trainer.ranks", "write it as key=value"),
        ("clean.sources=mail", "'mail' is not SOURCE=PROFILE with one of chat, mail,"),
        ("clean.sources=a=b", "'a=b' is not SOURCE=PROFILE"),
        ("clean.profile=blog", "'chat', 'mail', 'web'"),
        ("clean.chat.min_word=1", "did you mean clean.chat.min_words?"),
        ("retention.keep_hours=inf", "finite number"),
        ("trainer.run=..", "trainer.run = '..' (from --set)"),
        ("trainer.run=", "trainer.run = ''"),
        ("trainer.begin_from=../main:3", "trainer.begin_from = '../main:3'"),
        ("kafka.topic_prefix=a b", "kafka.topic_prefix = 'a b'"),
    ],
)
def test_a_wrong_setting_names_key_value_and_fix(assignment: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(assignments=[assignment], environment={})
    assert says in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_wrong_variable_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"trainer\.leaf_block .*HEADRACE_TRAINER__LEAF_BLOCK\b.*leaf_blocks"):
        settings.load(environment={"HEADRACE_TRAINER__LEAF_BLOCK": "1"})
    with pytest.raises(SettingsError, match="does not exist"):
        settings.load(tmp_path / "none.toml", environment={})
    with pytest.raises(SettingsError, match=r"is a directory: name a file in it, such as .*headrace\.toml"):
        settings.load(tmp_path, environment={})
    (tmp_path / "bad.toml").write_text("[trainer\n")
    with pytest.raises(SettingsError, match="not TOML"):
        settings.load(tmp_path / "bad.toml", environment={})


def test_a_child_process_gets_the_same_tree() -> None:
    assignments = [
        "trainer.ranks=5",
        "clean.web.min_words=7",
        "clean.sources=a*=mail",
        "kafka.topic_prefix=07",
        "planner.linger_s=0.5",
    ]
    parent = settings.load(assignments=assignments, environment={}).settings
    child = settings.load(environment=parent.environment()).settings
    assert child == parent


def test_a_child_takes_nothing_from_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("headrace.toml").write_text("[trainer]\nthreads = 3\n")
    monkeypatch.setenv("HEADRACE_TRAINER__RANKS", "7")
    monkeypatch.setenv("ANOTHER", "stays")
    parent = settings.load(Path("/dev/null"), ["trainer.seed=9"], {}).settings
    assert settings.load(environment=parent.environment()).settings == parent
    assert settings.load(environment=parent.child_environment()).settings == parent
    assert parent.child_environment()["ANOTHER"] == "stays"


def test_every_setting_says_what_it_means() -> None:
    assert [key for key, _, meaning in settings.describe() if not meaning] == []
