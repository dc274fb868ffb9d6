"""What a run of digits is: a card, an account, an address on the internet, a telephone; most are none of these."""

from __future__ import annotations

import re
from ipaddress import ip_address

from phonenumbers import Leniency, PhoneNumberMatcher

CARD = r"\b(?P<CARD>\d{4}([ -]?)\d{4}\2\d{4}\2\d{4}|3\d{3}([ -]?)\d{6}\3\d{5}|[3-6]\d{12,18})\b"
SSN = r"\b(?P<SSN>\d{3}-\d{2}-\d{4})\b"
IPV4 = r"(?<![\d.])(?P<IP>\d{1,3}(?:\.\d{1,3}){3})(?![\d.])"
SHAPES = re.compile(f"{CARD}|{SSN}|{IPV4}", re.ASCII)

REGIONS = {
    "en": ("US", "GB"), "de": ("DE", "AT", "CH"), "fr": ("FR",), "es": ("ES", "MX"), "it": ("IT",), "pt": ("BR", "PT"),
    "nl": ("NL",), "pl": ("PL",), "sv": ("SE",), "da": ("DK",), "no": ("NO",), "fi": ("FI",), "cs": ("CZ",),
    "ru": ("RU",), "uk": ("UA",), "tr": ("TR",), "ja": ("JP",), "zh": ("CN",), "ko": ("KR",), "hi": ("IN",),
}  # fmt: skip
"""Where a number without its country's code may be from, by the language of the text."""


def is_card(digits: str) -> bool:
    """Issued by somebody, and right by Luhn's sum."""
    if digits[0] not in "3456" or digits[:2] in ("31", "32", "33"):
        return False
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(sum(divmod(2 * int(digit), 10)) for digit in even)) % 10 == 0


def is_ssn(number: str) -> bool:
    """A social security number that could have been issued in the United States."""
    area, group, serial = number.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_public(address: str) -> bool:
    """An address that others can reach: it stands for a person's line or machine."""
    try:
        return ip_address(address).is_global
    except ValueError:
        return False


def iban_in(found: str) -> str | None:
    """The longest beginning of `found`, by its groups, that is an account: 15 to 34 signs, their remainder 1 by 97."""
    parts = re.split("([ -])", found)
    for end in range(len(parts), 0, -2):
        account = "".join(parts[:end:2])
        if 15 <= len(account) <= 34 and int("".join(str(int(c, 36)) for c in account[4:] + account[:4])) % 97 == 1:
            return "".join(parts[:end])
    return None


def phones_in(found: str, language: str | None) -> list[tuple[int, int]]:
    """Where telephone numbers stand that could be dialled: with their country's code, or the language's countries'.

    Those must be grouped as that country groups them, for dates and amounts are digits too.
    """
    abroad = found.startswith("+")
    leniency = Leniency.VALID if abroad else Leniency.STRICT_GROUPING
    for region in (None,) if abroad else REGIONS.get(language or "", ()):
        if spans := [(match.start, match.end) for match in PhoneNumberMatcher(found, region, leniency)]:
            return spans
    return []
