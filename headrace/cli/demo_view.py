"""The demo while it runs: a live view on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.text import Text

from headrace.cli.screen import WIDTH, Row, frame, sparkline
from headrace.cli.watch import Seen
from headrace.contract.documents import DUPLICATES

LINE_EVERY_S = 5.0


class View:
    """Shows what was seen last. `update` is cheap and may be called as often as one likes."""

    def __init__(self, console: Console, documents: int) -> None:
        self._console = console
        self._documents = documents
        self._said_s = 0.0
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, seen: Seen, parts: Mapping[str, bool], seconds: float) -> None:
        """Show the state `seconds` after the first document was sent; `parts` says which processes are up."""
        if self._live:
            self._live.update(panel(seen, parts, seconds, self._documents), refresh=True)
        elif seconds - self._said_s >= LINE_EVERY_S:
            self._said_s = seconds
            self._console.print(line(seen, seconds), highlight=False, markup=False, soft_wrap=True)


def line(seen: Seen, seconds: float) -> str:
    """The state in one line of text."""
    last = seen.steps[max(seen.steps)] if seen.steps else None
    loss = f"loss {last.loss:.3f}, text {last.age_s:.1f} s old" if last else "no step yet"
    return (
        f"{seconds:5.0f} s  in {seen.published}, accepted {seen.accepted}, rejected {seen.rejected.total()}, "
        f"blocks {seen.blocks}, steps {len(seen.steps)}/{seen.planned_steps}, tokens {seen.trained_tokens}, {loss}"
    )


def panel(seen: Seen, parts: Mapping[str, bool], seconds: float, documents: int) -> Panel:
    """The state as one screen."""
    duplicates = sum(seen.rejected[reason] for reason in DUPLICATES)
    last = seen.steps[max(seen.steps)] if seen.steps else None
    losses = [seen.steps[step].loss for step in sorted(seen.steps)]
    rows: list[Row] = [
        ("published", f"{seen.published:,}", ProgressBar(documents, seen.published, width=WIDTH)),
        ("accepted", f"{seen.accepted:,}", ""),
        ("rejected", f"{seen.rejected.total():,}", _reasons(seen)),
        ("duplicates", f"{duplicates:,}", "[dim]counted above as well[/]" if duplicates else ""),
        ("blocks", f"{seen.blocks:,}", f"{seen.tokens:,} tokens"),
        ("steps", f"{len(seen.steps):,}", ProgressBar(max(1, seen.planned_steps), len(seen.steps), width=WIDTH)),
        ("loss", f"{last.loss:.3f}" if last else "–", Text(sparkline(losses), style="cyan")),
        ("text is", f"{last.age_s:.1f} s" if last else "–", "old when it is trained"),
    ]
    return frame(f"headrace demo · {seconds:.0f} s", rows, parts)


def _reasons(seen: Seen) -> str:
    """The most frequent reasons, without the family's name before them."""
    most = seen.rejected.most_common(4)
    return "[dim]" + ", ".join(f"{reason.removeprefix('gopher_')} {count}" for reason, count in most) + "[/]"
