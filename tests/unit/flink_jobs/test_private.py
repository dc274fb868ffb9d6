"""What is private goes and is counted, what only looks like it stays, and no text holds the stream."""

import random
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.text.draft import Draft
from flink_jobs.text.private.numbers import is_card
from flink_jobs.text.private.scan import hide


def hidden(text: str, language: str | None = "en", kinds: str = "all") -> str:
    return hide(Draft(text, language), kinds).text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("mail jane.doe+x@mail.example.co.uk, please", "mail <EMAIL>, please"),
        ("<jane@example.org> and jim@EXAMPLE.museum.", "<<EMAIL>> and <EMAIL>."),
        ("größe@example.org", "größe@example.org".replace("e@example.org", "<EMAIL>")),
        ("call +1 650-253-0000 or (212) 555-0123", "call <PHONE> or <PHONE>"),
        ("call 650.253.0001 tonight", "call <PHONE> tonight"),
        ("+442079460018 is in London", "<PHONE> is in London"),
        ("card 4111 1111 1111 1111 12/26", "card <CARD> 12/26"),
        ("amex 3782-822463-10005, visa 4222222222222", "amex <CARD>, visa <CARD>"),
        ("IBAN DE89 3704 0044 0532 0130 00 BIC", "IBAN <IBAN> BIC"),
        ("GB82WEST12345698765432.", "<IBAN>."),
        ("SSN 123-45-6789", "SSN <SSN>"),
        ("from 8.8.8.8 to 2001:4860:4860::8888", "from <IP> to <IP>"),
        ("key AKIAIOSFODNN7EXAMPLE", "key <SECRET>"),
        (f"ghp_{'a1B2' * 9} and xoxb-123456789012-abcdef", "<SECRET> and <SECRET>"),
        ("password: hunter2hunter", "password: <SECRET>"),
        ('API_KEY="abcd1234abcd"', 'API_KEY="<SECRET>'),
        ("postgres://me:pw@db.example.org/x", "postgres://<SECRET>@db.example.org/x"),
        ("a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- b", "a <SECRET> b"),
        ("a -----BEGIN PRIVATE KEY-----\nMIIE cut off", "a <SECRET>"),
        (f"eyJ{'a1' * 10}.eyJ{'b' * 20}.{'c' * 20}", "<SECRET>"),
    ],
)
def test_what_goes(text: str, left: str) -> None:
    assert hidden(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "at 10:30:45 on 2024-01-15 10:30, or 12.5.2024",
        "192.168.0.1, 10.0.0.1, 127.0.0.1, ::1, fe80::1",
        "order 1234567890, article 4111111111111112, 000-12-3456",
        "version 1.2.3, 3.14159265358979 and 1,000,000",
        "DE89 3704 0044 0532 0130 01 has a wrong sum",
        "password: required, secret=somebody",
        "user@host and @handle, a @ b, me@localhost",
        "AKIA is a prefix, sk-short one",
        "555 555 5555 55 5 5 is dialled by nobody",
        "12:34:56:78 of a disk, 1:2:3",
    ],
)
def test_what_stays(text: str) -> None:
    assert hidden(text) == text
    assert hide(draft := Draft(text), "all") is draft


def test_a_number_of_a_country_goes_in_its_language() -> None:
    assert hidden("Tel. 030 901820", "de") == "Tel. <PHONE>"
    assert hidden("Tel. 030 901820", "en") == "Tel. 030 901820"
    assert hidden("Tel. +49 30 901820", None) == "Tel. <PHONE>"


def test_what_is_hidden_is_counted_by_kind() -> None:
    draft = hide(Draft("a@b.org, c@d.org and 8.8.8.8", "en"), "all")
    assert draft.hidden == {"EMAIL": 2, "IP": 1}


def test_code_loses_its_keys_alone() -> None:
    text = "author = jane@example.org  # AKIAIOSFODNN7EXAMPLE"
    assert hidden(text, kinds="secrets") == "author = jane@example.org  # <SECRET>"


def test_a_card_is_right_by_its_sum() -> None:
    assert [is_card(f"411111111111111{last}") for last in range(10)] == [last == 1 for last in range(10)]


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "555-123-4567 ",
        "650-253-0000 ",
        "1234567!",
        "a@1.2222222.",
        "eyJaaaaaaaaaaa.",
        "-----BEGIN PRIVATE KEY- ",
        "-----BEGIN PRIVATE KEY----- ",
        "a://b:c@",
        "1:2:",
        "é1234567@ü.de ",
        "secret:",
        "AA11AAAA1111",
        "(1",
        "a.@",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    """200 KB of what looks private; what takes minutes here would meet the file's time limit."""
    hide(Draft(piece * (200_000 // len(piece)), "en"), "all")


@given(st.text(alphabet=string.printable + "éß漢😀", max_size=80))
def test_twice_is_once(text: str) -> None:
    once = hidden(text)
    assert hidden(once) == once


def test_seeded_text_loses_all_of_it() -> None:
    """What was put into real-looking text goes, nothing else does."""
    dice = random.Random(1)
    words = ["the", "of", "and", "to", "in", "is", "it", "that", "he", "was", "for", "on", "are", "with", "as"]
    seeded: Counter[str] = Counter()
    for _ in range(300):
        kind, text = dice.choice(PRIVATE)
        said = " ".join([*dice.choices(words, k=9), text, *dice.choices(words, k=9)])
        draft = hide(Draft(said, "en"), "all")
        assert draft.text == said.replace(text, f"<{kind}>"), said
        seeded[kind] += 1
    assert len(seeded) == len(dict(PRIVATE))


PRIVATE = [
    ("EMAIL", "jane@example.org"),
    ("EMAIL", "j.d-e_f@a.b.example.info"),
    ("PHONE", "+49 170 1234567"),
    ("PHONE", "650-253-0000"),
    ("IP", "93.184.216.34"),
    ("CARD", "5555 5555 5555 4444"),
    ("IBAN", "FR76 3000 6000 0112 3456 7890 189"),
    ("SSN", "219-09-9999"),
    ("SECRET", "sk-abcdefghijk1mnopqrstuvwx"),
]
