"""Settings of the clean job: what is done to a text, by the source that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, cast, get_args

from pydantic import Field, ValidationInfo, field_validator

from headrace.contract.documents import UNKNOWN_SOURCE
from headrace.contract.group import Group
from headrace.contract.topics import MIB

ProfileName = Literal["chat", "mail", "web", "docs", "code", "none"]


class Profile(Group):
    """What is done to the text of one kind of source, in the order of the fields. None has a default here: `Clean`
    says every value of every profile."""

    guess_encoding: bool = Field(
        description="of bytes that are neither UTF-8 nor what is declared; else they are rejected"
    )
    own_words: bool = Field(description="mail: body out of the message, without quotations and signature")
    markup: Literal["keep", "text", "main"] = Field(
        description="HTML that is not declared as such; main: without navigation, headers, footers"
    )
    mend: bool = Field(description="mend what was decoded in a wrong encoding")
    layout: bool = Field(description="keep what indents and parts lines; else white space is collapsed")
    languages: str = Field(
        description="accepted ones by ISO code, as en,de; *: any that is recognised; empty: do not look"
    )
    language_score: float = Field(ge=0, le=1, description="a language less sure than this is not known")
    min_words: int = Field(ge=0, description="fewer words are rejected (Gopher itself: 50)")
    max_words: int = Field(ge=0, description="more words are rejected; 0: any number of words, few ones as well")
    gopher_quality: bool = Field(description="mean word length, symbols, bullets, ellipses, words without a letter")
    stop_words: int = Field(ge=0, description="fewer different stop words of its language are rejected; 0: off")
    gopher_repetition: Literal["off", "lines", "all"] = Field(
        description="lines: only characters in repeated lines; all: lines, paragraphs and n-grams"
    )
    c4: Literal["off", "lorem_ipsum", "all"] = Field(description="all: drops lines, and needs five sentences")
    fineweb: bool = Field(description="FineWeb's own rules on punctuation, short lines and lists")
    line_edits: bool = Field(description="RefinedWeb's removal of counters, capitals, one-word lines")
    hide: Literal["nothing", "secrets", "all"] = Field(
        description="replace keys and passwords; all: also mail addresses, telephones, cards, accounts, IP addresses"
    )


NONE = Profile(
    guess_encoding=False,
    own_words=False,
    markup="keep",
    mend=False,
    layout=False,
    languages="",
    language_score=0.65,
    min_words=0,
    max_words=0,
    gopher_quality=False,
    stop_words=0,
    gopher_repetition="off",
    c4="off",
    fineweb=False,
    line_edits=False,
    hide="nothing",
)
CODE = NONE.model_copy(
    update={"layout": True, "hide": "secrets", "min_words": 3, "max_words": 100_000, "gopher_repetition": "lines"}
)
CHAT = CODE.model_copy(
    update={"mend": True, "layout": False, "languages": "*", "gopher_quality": True, "c4": "lorem_ipsum", "hide": "all"}
)
MAIL = CHAT.model_copy(update={"guess_encoding": True, "own_words": True, "markup": "text", "min_words": 10})
DOCS = CHAT.model_copy(update={"min_words": 50, "stop_words": 2, "gopher_repetition": "all"})
WEB = DOCS.model_copy(
    update={"guess_encoding": True, "markup": "main", "c4": "all", "fineweb": True, "line_edits": True}
)


class Clean(Group):
    """The clean job."""

    max_document_bytes: int = Field(MIB, ge=1, le=3 * MIB, description="a longer document is rejected, too_long")
    normal_form: Literal["NFC", "NFKC"] = Field("NFC", description="Unicode normal form of accepted text")
    dedup_ttl_hours: int = Field(24, ge=0, description="how long a text is remembered since last seen; 0 for ever")
    near_dedup: bool = Field(
        False, description="also reject what is nearly the same; switched by headrace jobs upgrade"
    )
    profile: ProfileName = Field("chat", description="chat, mail, web, docs, code or none: what is done to text")
    sources: str = Field(
        "", description="sources with another profile, as mail=mail,crawl-*=web; the first pattern that fits counts"
    )
    chat: Profile = CHAT
    mail: Profile = MAIL
    web: Profile = WEB
    docs: Profile = DOCS
    code: Profile = CODE
    none: Profile = NONE

    @field_validator(*get_args(ProfileName), mode="before")
    @classmethod
    def _on_top_of_its_own(cls, said: Any, info: ValidationInfo) -> Any:
        """What is said of a profile changes the one of that name; the rest of it stays."""
        own: Profile = cls.model_fields[info.field_name or ""].default
        return {**own.model_dump(), **said} if isinstance(said, dict) else said

    @field_validator("sources")
    @classmethod
    def _names_profiles(cls, said: str) -> str:
        for part in _parts(said):
            if part.rpartition("=")[2].strip() not in get_args(ProfileName) or "=" not in part:
                raise ValueError(f"{part!r} is not SOURCE=PROFILE with one of {', '.join(get_args(ProfileName))}")
        return said

    def profile_of(self, source: str) -> ProfileName:
        """The name of the profile that a source has."""
        for part in _parts(self.sources):
            pattern, _, name = part.rpartition("=")
            if fnmatchcase(source, pattern.strip()):
                return cast(ProfileName, name.strip())
        return self.profile

    def guesses_encoding_of(self, source: str | None) -> bool:
        """Whether text of that source need not be UTF-8."""
        return self.profiles[self.profile_of(source or UNKNOWN_SOURCE)].guess_encoding

    @property
    def profiles(self) -> Mapping[ProfileName, Profile]:
        """All of them, by name."""
        return {name: getattr(self, name) for name in get_args(ProfileName)}


def _parts(said: str) -> list[str]:
    return [part for part in said.split(",") if part.strip()]
