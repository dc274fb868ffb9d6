"""`headrace try`: what the clean job would make of a text, and why, without a broker."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, NamedTuple, get_args

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from headrace.cli.inputs.cut import Cut, Format, Found, Item
from headrace.cli.inputs.files import read
from headrace.cli.inputs.names import STDIN, files_of
from headrace.cli.options import out, say, with_settings
from headrace.contract.cleaning import Clean, ProfileName
from headrace.contract.errors import Rejected, SettingsError
from headrace.contract.settings import Settings

if TYPE_CHECKING:
    from flink_jobs.text.accept import Cleaner
    from flink_jobs.text.draft import Draft
    from flink_jobs.text.steps import Seen

ACCEPTED = "accepted"
MOST_CHANGES = 12
"""Lines of a step's edit that are shown."""

Profile = Annotated[str | None, typer.Option(help="Take this profile, whatever the source's is.")]


class Tried(NamedTuple):
    """What became of one document: its steps, and the reason and detail of its reject, or `accepted`."""

    steps: Sequence[Seen]
    reason: str
    detail: str
    draft: Draft | None


@with_settings
def try_(
    settings: Settings,
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, directories; - is standard input.")],
    profile: Profile = None,
    diff: Annotated[str | None, typer.Option(metavar="PROFILE", help="Compare with another profile.")] = None,
    source: Annotated[str | None, typer.Option(help="Where the text is from; a row may say its own.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How a file is cut into documents.")] = Format.auto,
    limit: Annotated[int | None, typer.Option(min=1, help="Documents at most.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the clean job makes of a text, step by step, or of many texts, as a table.

    The functions are those of the job; nothing is published, and nothing is known of duplicates.

    Exit code 0 whatever becomes of the text.

    [dim]echo 'some words' | headrace try -[/]
    [dim]headrace try page.txt --profile web --diff docs[/]
    [dim]headrace try mails/ --source mail[/]
    """
    from flink_jobs.text.accept import Cleaner

    cleaners = {name or "its own": Cleaner(_with_profile(settings.clean, name)) for name in (profile, diff)}
    cut = Cut(settings.clean.max_document_bytes, form, source=source, any_encoding=True)
    documents = islice(_documents(paths, cut), limit)
    first = list(islice(documents, 2))
    if not first:
        raise SettingsError(f"no document in {', '.join(paths)}: name files or directories that hold text")
    everything = chain(first, documents)
    if diff is None:
        cleaners = dict(islice(cleaners.items(), 1))
    if len(first) == 1:
        tried = {name: _tried(cleaner, first[0]) for name, cleaner in cleaners.items()}
        _show_json(tried) if json else _show_steps(tried)
    else:
        _show_table(_counted(cleaners, everything), json)


def _with_profile(clean: Clean, name: str | None) -> Clean:
    if name is None:
        return clean
    if name not in get_args(ProfileName):
        raise SettingsError(f"there is no profile {name}: there are {', '.join(get_args(ProfileName))}")
    return clean.model_copy(update={"profile": name, "sources": ""})


def _documents(paths: Sequence[str], cut: Cut) -> Iterator[Item]:
    """Standard input is one text here, unless a format is named."""
    for name in files_of(paths):
        whole = name == STDIN and cut.form is Format.auto
        yield from read(name, replace(cut, form=Format.text) if whole else cut)


def _tried(cleaner: Cleaner, item: Item) -> Tried:
    from flink_jobs.text.draft import Draft
    from flink_jobs.text.steps import watch

    if not isinstance(item, Found):
        return Tried((), item.reason, item.detail, None)
    headers = {name: said.encode() if isinstance(said, str) else said for name, said in item.headers.items()}
    try:
        said = cleaner.decode(item.value, headers)
    except Rejected as no:
        return Tried((), no.reason, no.detail, None)
    steps = list(watch(Draft(said.text, kind=said.kind), cleaner.steps(said.source)))
    last = steps[-1].after
    if isinstance(last, Rejected):
        return Tried(steps, last.reason, last.detail, None)
    return Tried(steps, ACCEPTED, "", last)


def _counted(cleaners: Mapping[str, Cleaner], documents: Iterator[Item]) -> Mapping[str, Counter[str]]:
    """How many of the documents each profile accepts, and rejects for which reason."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in cleaners}
    for item in documents:
        for name, cleaner in cleaners.items():
            counts[name][_tried(cleaner, item).reason] += 1
    return counts


def _show_table(counts: Mapping[str, Counter[str]], json: bool) -> None:
    if json:
        typer.echo(orjson.dumps(counts).decode())
        return
    table = Table("outcome", box=None, header_style="bold", pad_edge=False)
    for name in counts:
        table.add_column(name, justify="right")
        table.add_column("share", justify="right")
    for reason, _ in sum(counts.values(), Counter()).most_common():
        shares = ((f"{count[reason]:,}", f"{count[reason] / count.total():.1%}") for count in counts.values())
        table.add_row(reason, *chain.from_iterable(shares))
    out.print(table)


def _show_json(tried: Mapping[str, Tried]) -> None:
    said = {
        name: {
            "outcome": one.reason,
            "detail": one.detail,
            "steps": [step.step for step in one.steps],
            "language": one.draft and one.draft.language,
            "text": one.draft and one.draft.text,
        }
        for name, one in tried.items()
    }
    typer.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())


def _show_steps(tried: Mapping[str, Tried]) -> None:
    for name, one in tried.items():
        if len(tried) > 1:
            out.print(f"[bold]profile {name}[/]")
        for seen in one.steps:
            say(f"{seen.step:<18} {_what_changed(seen)}")
        say(_verdict(one))
    texts = [one.draft.text.split("\n") if one.draft else [] for one in tried.values()]
    if len(tried) == 1 and texts[0]:
        say("\n" + escape("\n".join(texts[0])))
    if len(tried) > 1:
        _print_changes(*texts)


def _verdict(one: Tried) -> str:
    if one.reason == ACCEPTED:
        return f"[green bold]accepted[/], language {(one.draft and one.draft.language) or 'not known'}"
    return f"[red bold]rejected[/] {one.reason}: {escape(one.detail)}"


def _what_changed(seen: Seen) -> str:
    if isinstance(seen.after, Rejected):
        return f"[red]{seen.after.reason}: {escape(seen.after.detail)}[/]"
    before, after = seen.before, seen.after
    learned = f"language {after.language}" if after.language != before.language else ""
    if after.text == before.text:
        return learned or "[dim]nothing to change[/]"
    return f"{len(before.text):,} → {len(after.text):,} characters {learned}" + "".join(
        f"\n  [dim]{escape(line[:120])}[/]" for line in _changes(before.text.split("\n"), after.text.split("\n"))
    )


def _changes(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Lines that went (-) and came (+), the first few of them."""
    compared = difflib.unified_diff(before, after, n=0, lineterm="")
    return list(islice((line for line in islice(compared, 2, None) if not line.startswith("@@")), MOST_CHANGES))


def _print_changes(before: Sequence[str], after: Sequence[str]) -> None:
    for line in _changes(before, after):
        say(f"[{'red' if line[0] == '-' else 'green'}]{escape(line)}[/]")
