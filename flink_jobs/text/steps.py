"""What a profile does to a text, as the list of its steps: read it from top to bottom.

Cheap comes before dear; what judges the whole text comes before what takes lines out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from flink_jobs.text import letter, markup
from flink_jobs.text.draft import Draft
from flink_jobs.text.language import recognise
from flink_jobs.text.normalise import NormalForm, normalise
from flink_jobs.text.private.scan import hide
from flink_jobs.text.repair import mend
from flink_jobs.text.rules import c4, fineweb, gopher_quality, gopher_repetition, refinedweb
from headrace.contract.cleaning import Clean, Profile
from headrace.contract.errors import Rejected


class Step(NamedTuple):
    """One thing done to a text: `edit` gives it back as it is to be, or raises Rejected."""

    name: str
    edit: Callable[[Draft], Draft]


def steps_of(profile: Profile, rules: Clean) -> tuple[Step, ...]:
    """All that the profile asks for, in order."""
    return tuple(Step(name, edit) for name, edit in _wanted(profile, rules))


def _wanted(profile: Profile, rules: Clean) -> Iterator[tuple[str, Callable[[Draft], Draft]]]:
    tidy = partial(_normalised, form=rules.normal_form, layout=profile.layout)
    yield "mail", partial(letter.take_body, undeclared=profile.own_words)
    yield "markup", partial(markup.take_text, undeclared=profile.markup != "keep", main=profile.markup == "main")
    if profile.mend:
        yield "mend", mend
    yield "normalise", tidy
    if profile.own_words:
        yield "own_words", letter.own_words
        yield "tidy", tidy
    if profile.languages:
        accepted = frozenset(profile.languages.replace(",", " ").split())
        yield "language", partial(recognise, accepted=accepted, least=profile.language_score)
    if profile.max_words:
        yield "length", _judging(gopher_quality.check_length, profile.min_words, profile.max_words)
    if profile.gopher_quality:
        yield "gopher_quality", _judging(gopher_quality.check_prose)
    if profile.stop_words:
        yield "stop_words", _judging(gopher_quality.check_stop_words, profile.stop_words)
    if profile.gopher_repetition == "lines":
        yield "gopher_repetition", _judging(gopher_repetition.check_repeated_lines)
    if profile.gopher_repetition == "all":
        yield "gopher_repetition", _judging(gopher_repetition.check_repetition)
    if profile.c4 == "lorem_ipsum":
        yield "c4", _judging(c4.check_lorem_ipsum)
    if profile.c4 == "all":
        yield "c4", c4.keep_sentences
    if profile.fineweb:
        yield "fineweb", _judging(fineweb.check_page)
    if profile.line_edits:
        yield "line_edits", refinedweb.edit_lines
    if profile.line_edits or profile.c4 == "all":
        yield "tidy", tidy
    if profile.hide != "nothing":
        yield "private", partial(hide, kinds=profile.hide)


class Seen(NamedTuple):
    """What one step made of a text: the same one, another, or the reason to reject it."""

    step: str
    before: Draft
    after: Draft | Rejected


def run(draft: Draft, steps: Iterable[Step]) -> Draft:
    """The text after all steps. Raises Rejected with the first reason that applies."""
    for step in steps:
        draft = step.edit(draft)
    return draft


def watch(draft: Draft, steps: Iterable[Step]) -> Iterator[Seen]:
    """The same, step by step; ends with the first that rejects."""
    for step in steps:
        try:
            after = step.edit(draft)
        except Rejected as no:
            yield Seen(step.name, draft, no)
            return
        yield Seen(step.name, draft, after)
        draft = after


def _normalised(draft: Draft, form: NormalForm, layout: bool) -> Draft:
    if draft.normal:
        return draft
    if text := normalise(draft.text, form, layout):
        return draft.spelled(text)
    raise Rejected("empty")


def _judging(check: Callable[..., None], *limits: float) -> Callable[[Draft], Draft]:
    return partial(_judged, check, limits)


def _judged(check: Callable[..., None], limits: tuple[float, ...], draft: Draft) -> Draft:
    check(draft, *limits)
    return draft
