"""A published record becomes a clean document, or is rejected with the first reason that applies."""

import pytest

from flink_jobs.text.accept import Cleaner
from headrace.contract.cleaning import Clean
from headrace.contract.documents import CleanDocument
from headrace.contract.errors import Rejected

RAW, PUBLISHED = (2, 17), 1_700_000_000_000
JSON = {"content-type": b"application/json"}


def judged(value: bytes | None, headers: dict[str, bytes | None] | None = None, **rules: object) -> CleanDocument | str:
    try:
        return Cleaner(Clean.model_validate(rules)).accept(value, headers or {}, RAW, PUBLISHED)
    except Rejected as no:
        return no.reason


def test_all_that_a_publisher_said_travels_on() -> None:
    value = b'{"text": "several  good words", "id": 5, "source": "mail", "label": true, "time": "1970-01-01T00:00:01Z"}'
    assert judged(value, JSON) == CleanDocument(
        raw=RAW, id="5", source="mail", time=1000, language="en", text="several good words", label=True
    )


def test_what_was_not_said_has_its_default() -> None:
    document = judged(b"several good words")
    assert isinstance(document, CleanDocument)
    assert (document.source, document.time, document.id) == ("unknown", PUBLISHED, None)


def test_a_time_of_zero_is_a_time() -> None:
    document = judged(b'{"text": "several good words", "time": 0}')
    assert isinstance(document, CleanDocument)
    assert document.time == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b" \n\x07 ", "empty"),
        (b"\xff\xfe", "invalid_utf8"),
        (b'{"text": ', "bad_json"),
        (b'{"text": 5}', "bad_field"),
        (b"a" * 101, "too_long"),
        (b"too short", "gopher_short_doc"),
    ],
)
def test_reasons(value: bytes | None, reason: str) -> None:
    assert judged(value, max_document_bytes=100) == reason


def test_quality_rules_can_be_switched_off() -> None:
    assert isinstance(judged(b"#", profile="none"), CleanDocument)
    assert judged(b" ", profile="none") == "empty"


def test_a_source_has_the_profile_of_the_first_pattern_that_fits() -> None:
    rules = {"profile": "docs", "sources": "raw-*=none, *-log=none, raw-chat=docs"}
    for source, outcome in {
        "raw-chat": "#",
        "app-log": "#",
        "logs": "gopher_short_doc",
        "": "gopher_short_doc",
    }.items():
        said = judged(b"#", {"source": source.encode()}, **rules)
        assert (said.text if isinstance(said, CleanDocument) else said) == outcome


def test_a_profile_can_be_changed_in_one_value() -> None:
    assert judged(b"some good words", chat={"min_words": 4}) == "gopher_short_doc"
    assert judged(b"a b c d e", chat={"min_words": 4}) == "gopher_below_avg_threshold", "the rest of it stays"


def test_what_is_private_is_hidden_and_counted() -> None:
    document = judged(b"Please write to jane@example.org, or to jim@example.org")
    assert isinstance(document, CleanDocument)
    assert (document.text, document.hidden) == ("Please write to <EMAIL>, or to <EMAIL>", {"EMAIL": 2})


def test_code_keeps_what_indents_it() -> None:
    document = judged(b"\n\ndef f():  \n\n\n\treturn  1\n", profile="code")
    assert isinstance(document, CleanDocument)
    assert document.text == "def f():\n\n\n\treturn  1"
