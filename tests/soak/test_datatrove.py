"""datatrove as the judge of our rules: the same verdict, reason and text on real documents and on made-up ones.

It lives in an environment of its own, which the first run downloads; where that cannot be had the tests are skipped.
"""

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.clean_vs_datatrove import text_of
from benchmarks.peers import answers, environment
from flink_jobs.text.normalise import normalise
from headrace.contract.errors import DependencyError
from headrace.contract.settings import load
from headrace.local.corpora import chat, help_pages, mail, reviews
from tests.verdicts import golden, ours, theirs


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return environment(load(environment={}).settings)
    except DependencyError as error:
        pytest.skip(str(error))


def real() -> Iterator[str]:
    cache = load(environment={}).settings.cache_dir
    yield from (document.text for document in islice(reviews(cache), 0, None, 8))
    yield from (document.text for document in mail(cache))
    yield from (document.text for document in islice(chat(cache), 5000))


def pages() -> Iterator[str]:
    """The main text of every tenth help page, in eight languages, two of which part no words."""
    cache = load(environment={}).settings.cache_dir
    yield from (text_of(page) for page in islice(help_pages(cache), 0, None, 10))


def made_up() -> Iterator[str]:
    """Texts that stand near the limits: few words, said again and again, with signs and line ends between."""
    dice = random.Random(1)
    signs = ["the", "of", "and", "that", "be", "to", "#", "-", "•", "...", "…", "2026", "[1]", "{"]
    pool = [f"W{n}{'abcdefghij'[: n % 10]}" for n in range(60)] + signs
    for _ in range(20_000):
        some = dice.sample(pool, dice.randint(2, 60))
        phrases = [" ".join(dice.choices(some, k=dice.randint(1, 12))) for _ in range(dice.randint(1, 8))]
        gaps = [" ", ". ", "\n", "\n\n", ".\n", "...\n", "! "][: dice.randint(1, 7)]
        yield "".join(dice.choice(phrases) + dice.choice(gaps) for _ in range(dice.randint(1, 40)))


@pytest.mark.parametrize("texts", [real, pages, made_up])
def test_every_verdict_is_datatroves(texts, python: Path) -> None:  # type: ignore[no-untyped-def]
    try:
        asked = [text for text in (normalise(text, "NFC") for text in texts()) if text]
    except DependencyError as error:
        pytest.skip(str(error))
    seen = set()
    for text, answer in zip(asked, answers(python, "peer_datatrove.py", asked, "verdicts"), strict=True):
        mine, expected = ours(text), theirs(answer)  # type: ignore[arg-type]
        assert mine == expected, text
        seen.update(mine[:4])
    assert len(seen) >= 15, f"the texts hit only {seen}"


def test_the_golden_file_is_what_datatrove_says(python: Path) -> None:
    texts, expected = zip(*golden(), strict=True)
    assert list(answers(python, "peer_datatrove.py", texts, "verdicts")) == list(expected)
