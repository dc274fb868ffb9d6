"""10,000 records that nobody meant: real mails, pages and texts with bytes changed, cut, doubled and put in.

The whole function of the clean job gives one outcome for each, never by its outermost guard, and none takes long.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from typing import get_args

from flink_jobs.text.outcome import CleanJudge
from headrace.contract.cleaning import Clean, ProfileName
from headrace.contract.documents import HTML, JSON, MAIL, PLAIN, REASONS, RejectedHeaders
from headrace.contract.errors import Coordinate
from headrace.contract.settings import load
from headrace.local.corpora import mail, reviews, wiki
from tests.hostile import HARMLESS

RECORDS = 10_000
AT = Coordinate("text.rejected", 0, 0)
Dice = random.Random
SPICE = [
    b"<", b">", b"</div>", b"<!--", b"&amp;", b"&#x110000;", b"\0", b"\xff", b"\xe2\x80", b"\n", b"\n\n", b"\r", b"> ",
    b"--\n", b"From: ", b"\n--b\n", b"charset=utf-16", b"boundary=b", b"base64", b"=FC", b"@", b"+1 650-253-0000",
    b"4111 1111 1111 1111", b"-----BEGIN PRIVATE KEY-----", b"password: ", b"\xc3\x83\xc2\xa9", b"...", b"# ", b"{",
    b"lorem ipsum", b"\xcc\x81" * 40, b"\xe2\x80\xae", b'{"text": "', b'"}', b"\\ud800",
]  # fmt: skip


def cut(dice: Dice, value: bytes) -> bytes:
    start, end = sorted(dice.choices(range(len(value) + 1), k=2))
    return value[:start] + value[end:]


def change(dice: Dice, value: bytes) -> bytes:
    changed = bytearray(value)
    for _ in range(dice.randint(1, 20) if value else 0):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def double(dice: Dice, value: bytes) -> bytes:
    start, end = sorted(dice.choices(range(len(value) + 1), k=2))
    return value[:end] + value[start:end] * dice.choice([1, 2, 50]) + value[end:]


def spice(dice: Dice, value: bytes) -> bytes:
    for _ in range(dice.randint(1, 10)):
        at = dice.randint(0, len(value))
        value = value[:at] + dice.choice(SPICE) * dice.choice([1, 1, 3, 500]) + value[at:]
    return value


MUTATIONS: Sequence[Callable[[Dice, bytes], bytes]] = (cut, change, double, spice)


def seeds() -> list[bytes]:
    cache = load(environment={}).settings.cache_dir
    mails = [document.raw or document.text.encode() for document in islice(mail(cache), 0, None, 20)]
    texts = [document.text.encode() for document in [*islice(reviews(cache), 100), *islice(wiki(cache), 0, None, 100)]]
    pages = [b"<html><body><p>" + text.replace(b". ", b".</p><p>") + b"</body></html>" for text in texts]
    heads = [b"From: a@b.org\nContent-Type: text/html\nContent-Transfer-Encoding: 8bit\n\n" + page for page in pages]
    return [*mails, *texts, *pages, *heads, *(document.value for document in HARMLESS if document.value)]


def test_no_record_stops_or_slows_the_job() -> None:
    dice = Dice(11)
    judges = [CleanJudge(Clean(profile=profile)) for profile in get_args(ProfileName)]
    pool = [value for value in seeds() if len(value) < 200_000]
    outcomes: Counter[str] = Counter()
    for _ in range(RECORDS):
        value = dice.choice(pool)
        for _ in range(dice.randint(1, 4)):
            value = dice.choice(MUTATIONS)(dice, value)[:1_000_000]
        kind = dice.choice([PLAIN, HTML, MAIL, JSON, f"{HTML}; charset=shift_jis", f"{PLAIN}; charset=latin-1", None])
        headers: dict[str, bytes | None] = {"content-type": kind.encode() if kind else None}
        kept, fingerprint, said, _ = dice.choice(judges)(value, headers, (0, 0), 0)
        reason = RejectedHeaders.decode(list(said.items()), AT).reason if fingerprint is None else "accepted"
        assert reason == "accepted" or (reason in REASONS and reason != "internal_error"), (value, headers, said)
        assert fingerprint is not None or kept == value
        outcomes[reason] += 1
    print(outcomes)
    assert outcomes["accepted"] > RECORDS / 10
    assert len(outcomes) > 20
