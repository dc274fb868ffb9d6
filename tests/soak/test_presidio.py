"""Recall and precision of what is hidden, on real sentences with private things of known kinds put in; Presidio's
pattern recognisers, in an environment of their own, on the same texts beside it.
"""

import random
import string
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address
from itertools import islice

import phonenumbers
import pytest

from benchmarks.peers import answers, environment
from flink_jobs.text.draft import Draft
from flink_jobs.text.private.numbers import is_card
from flink_jobs.text.private.scan import hide
from headrace.contract.errors import DependencyError
from headrace.contract.settings import load
from headrace.local.corpora import reviews

TEXTS = 6000
Dice = random.Random


def email(dice: Dice) -> str:
    letters = string.ascii_lowercase + string.digits
    name = "".join(dice.choices(letters + "._-", k=dice.randint(1, 12))).strip("._-") or "x"
    return f"{name}@{''.join(dice.choices(letters, k=6))}.{dice.choice(['com', 'org', 'co.uk', 'de', 'io'])}"


def phone(dice: Dice) -> str:
    region = dice.choice(["US", "GB", "DE", "FR", "IN", "BR", "JP"])
    number = phonenumbers.example_number(region)
    form = phonenumbers.PhoneNumberFormat.NATIONAL if region == "US" and dice.random() < 0.5 else 1
    return phonenumbers.format_number(number, form)


def card(dice: Dice) -> str:
    digits = dice.choice(["4", "51", "55", "6011"])
    digits += "".join(dice.choices(string.digits, k=15 - len(digits)))
    digits = next(digits + last for last in string.digits if is_card(digits + last))
    return dice.choice(["", " ", "-"]).join(digits[start : start + 4] for start in range(0, 16, 4))


def iban(dice: Dice) -> str:
    country, length = dice.choice([("DE", 18), ("FR", 23), ("ES", 20), ("NL", 14)])
    bank = "ABNA" if country == "NL" else ""
    account = bank + "".join(dice.choices(string.digits, k=length - len(bank)))
    rest = int("".join(str(int(char, 36)) for char in account + country + "00")) % 97
    whole = f"{country}{98 - rest:02}{account}"
    return whole if dice.random() < 0.5 else " ".join(whole[start : start + 4] for start in range(0, len(whole), 4))


def ip(dice: Dice) -> str:
    while not (address := IPv4Address(dice.randrange(2**24, 224 * 2**24))).is_global:
        continue
    return str(address)


def ssn(dice: Dice) -> str:
    return f"{dice.randint(101, 665)}-{dice.randint(10, 99)}-{dice.randint(1000, 9999)}"


MAKERS: dict[str, Callable[[Dice], str]] = {
    "EMAIL": email, "PHONE": phone, "CARD": card, "IBAN": iban, "IP": ip, "SSN": ssn,
}  # fmt: skip


def seeded() -> list[tuple[str, str | None, str]]:
    """(text, kind, what was put in); every other one has nothing."""
    dice = random.Random(7)
    sentences = [review.text for review in islice(reviews(load(environment={}).settings.cache_dir), 0, None, 4)]
    made: list[tuple[str, str | None, str]] = []
    for number in range(TEXTS):
        words = dice.choice(sentences).split()[:60]
        kind = dice.choice(list(MAKERS)) if number % 2 else None
        said = MAKERS[kind](dice) if kind else ""
        at = dice.randint(0, len(words))
        made.append((" ".join([*words[:at], *([said] if said else []), *words[at:]]), kind, said))
    return made


def test_all_that_was_put_in_is_hidden_and_nothing_else() -> None:
    try:
        python = environment(load(environment={}).settings)
    except DependencyError as error:
        pytest.skip(str(error))
    texts = seeded()
    found: dict[str, Counter[str]] = {"ours": Counter(), "presidio": Counter()}
    wrong: dict[str, Counter[str]] = {"ours": Counter(), "presidio": Counter()}
    peers = answers(python, "peer_presidio.py", [text for text, _, _ in texts])
    for (text, kind, said), hits in zip(texts, peers, strict=True):
        assert isinstance(hits, list)
        draft = hide(Draft(text, "en"), "all")
        at = text.find(said)
        theirs = Counter(str(name) for name, _, _ in hits)
        seen = any(name == kind and start <= at + 1 and end >= at + len(said) - 1 for name, start, end in hits)
        put_in = Counter([kind] if kind else [])
        found["ours"][kind or ""] += bool(kind and draft.hidden.get(kind) and said not in draft.text)
        found["presidio"][kind or ""] += seen
        wrong["ours"].update(Counter(draft.hidden) - put_in)
        wrong["presidio"].update(theirs - put_in)
    there = Counter(kind for _, kind, _ in texts if kind)
    for kind in MAKERS:
        print(
            kind,
            there[kind],
            *(f"{who}: recall {found[who][kind] / there[kind]:.3f}, wrong {wrong[who][kind]}" for who in found),
        )
        assert found["ours"][kind] >= 0.98 * there[kind], kind
        assert found["ours"][kind] >= found["presidio"][kind], kind
        assert wrong["ours"][kind] <= 0.01 * there[kind], kind
