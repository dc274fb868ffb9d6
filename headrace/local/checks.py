"""What `headrace doctor` looks at once everything is installed: the jars, and the data directory with its disks."""

from __future__ import annotations

from headrace.contract.errors import HeadraceError
from headrace.contract.settings import Settings
from headrace.doctor import Check
from headrace.local import datadir, disk, jars


def examine(settings: Settings) -> list[Check]:
    """The checks that need the installation."""
    return [check_jars(settings), check_data(settings), check_disks(settings)]


def check_jars(settings: Settings) -> Check:
    """All there and whole; what is not, the next `up` fetches."""
    wanted = {str(jar): jar for jar in jars.locked()}
    bad = [name for name, jar in wanted.items() if not jars.is_there(jar, settings.cache_dir)]
    found = f"{len(bad)} of {len(wanted)} are not in {settings.cache_dir} or broken" if bad else f"{len(wanted)} there"
    return Check("jars", not bad or len(bad) == len(wanted), found, "connect to the network: headrace up fetches them")


def check_data(settings: Settings) -> Check:
    """Made by this version or an older one, and where it was made."""
    try:
        datadir.check(settings)
        before = datadir.made(settings.data_dir)
    except HeadraceError as error:
        return Check("version", False, str(error), "as it says")
    said = f"layout {before.layout}, Kafka {before.kafka}, Flink {before.flink}" if before else "no stack yet"
    return Check("version", True, said)


def check_disks(settings: Settings) -> Check:
    """Enough room wherever data lies."""
    short = disk.short(settings)
    least = f"at least {settings.local.least_free_mb:,} MiB free for each part of the data"
    return Check("room", not short, "; ".join(short) or least, "free some room, or put it elsewhere")
