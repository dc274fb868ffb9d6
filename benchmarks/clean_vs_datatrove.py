"""The quality rules of Gopher, C4 and FineWeb, ours against datatrove's own filters, one core each, in turn.

    python -m benchmarks.clean_vs_datatrove [--one-in 15]

Ours judges every text of the corpora (some 115 MB: chat, reviews, mail, three Wikipedias, and the main text of help
pages in eight languages). datatrove, of which a pass over all would take an hour, judges one in so many of those with
50 words at least, evenly drawn, for a shorter one is rejected by the first rule and says little; ours judges the same
ones before and after: of those is the ratio. Both get normalised text and must accept the same number of texts where
words are split alike. The whole profile `web`, which does more, is timed too. A corpus that cannot be had is named, and
left out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.peers import answers, environment
from benchmarks.results import tell
from flink_jobs.text.draft import Draft
from flink_jobs.text.markup import take_text
from flink_jobs.text.normalise import normalise
from flink_jobs.text.steps import Step, run, steps_of
from headrace.contract.cleaning import NONE, WEB, Clean, Profile
from headrace.contract.errors import DependencyError, Rejected
from headrace.contract.settings import Settings, load
from headrace.local.corpora import LOADERS, Document

RULES = {"min_words": 50, "max_words": 100_000, "gopher_quality": True, "stop_words": 2}
SAME_RULES = NONE.model_copy(update={**RULES, "gopher_repetition": "all", "c4": "all", "fineweb": True})


def texts(settings: Settings) -> Iterator[str]:
    """All of the corpora, normalised, in their order."""
    for name, load_all in LOADERS.items():
        try:
            yield from [text for document in load_all(settings.cache_dir) if (text := text_of(document))]
        except DependencyError as error:
            print(f"without {name}: {error}", flush=True)


def text_of(document: Document) -> str:
    """What rules judge, normalised: of a page its main text."""
    return normalise(take_text(Draft(document.text, kind=document.kind), undeclared=False, main=True).text, "NFC")


def rules_alone(profile: Profile) -> tuple[Step, ...]:
    """What datatrove's filters do, and no more: the texts are normalised before."""
    return tuple(
        step for step in steps_of(profile, Clean()) if step.name not in ("mail", "markup", "normalise", "tidy")
    )


def judged(steps: Sequence[Step], documents: Sequence[str]) -> tuple[float, int]:
    """CPU seconds, which what else runs on the machine hardly changes; and how many are accepted."""
    begun, accepted = time.process_time(), 0
    for text in documents:
        try:
            run(Draft(text), steps)
            accepted += 1
        except Rejected:
            continue
    return time.process_time() - begun, accepted


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--one-in", type=int, default=15)
    one_in = arguments.parse_args().one_in
    settings = load(environment={}).settings
    python = environment(settings)
    everything = list(texts(settings))
    sample = [text for text in everything if len(text.split()) >= 50][::one_in]

    def datatrove(*words: str) -> tuple[float, int]:
        answer = next(answers(python, "peer_datatrove.py", sample, "seconds", *words))
        assert isinstance(answer, list)
        return float(answer[0]), int(answer[1])

    rules = rules_alone(SAME_RULES)
    judged(steps_of(WEB, Clean()), sample[:100])
    show(f"ours, all {len(everything):,} texts", everything, lambda: judged(rules, everything))
    ours, mine = show("ours, the sample", sample, lambda: judged(rules, sample))
    spacy, _ = show("datatrove, the sample, its own tokenizer", sample, datatrove)
    split, theirs = show("datatrove, the sample, str.split", sample, lambda: datatrove("split"))
    again, _ = show("ours, the sample, again", sample, lambda: judged(rules, sample))
    show("the whole profile web, the sample", sample, lambda: judged(steps_of(WEB, Clean()), sample))
    ours = (ours + again) / 2
    print(f"against str.split: {split / ours:.2f}")
    if mine != theirs:
        print(f"ours accepts {mine} texts, datatrove with str.split {theirs}: they must be as many")
        return 1
    return 0 if tell("clean_vs_datatrove", spacy / ours) else 1


def show(what: str, documents: Sequence[str], judge: Callable[[], tuple[float, int]]) -> tuple[float, int]:
    """Run it, and print how fast it was."""
    seconds, accepted = judge()
    megabytes = sum(len(text.encode()) for text in documents) / 1e6
    print(
        f"{what}: {len(documents):,} texts, {megabytes:.1f} MB, {seconds:.1f} s, {len(documents) / seconds:,.0f}"
        f" texts/s, {megabytes / seconds:.2f} MB/s, {accepted / len(documents):.1%} accepted",
        flush=True,
    )
    return seconds, accepted


if __name__ == "__main__":
    sys.exit(main())
