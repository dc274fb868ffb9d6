"""Languages are recognised offline, kept out where they are not accepted, and left open where it is not sure."""

import pytest

from flink_jobs.text.draft import Draft
from flink_jobs.text.language import identify, recognise
from headrace.contract.errors import Rejected

SAID = {
    "en": "The meeting was moved to the afternoon because of the weather.",
    "de": "Die Besprechung wurde wegen des Wetters auf den Nachmittag verschoben.",
    "fr": "La réunion a été déplacée à l'après-midi à cause du temps.",
    "es": "La reunión se trasladó a la tarde debido al mal tiempo.",
    "ru": "Встреча была перенесена на вторую половину дня из-за погоды.",
    "zh": "由于天气原因，会议改到下午举行。",
    "ja": "天候のため、会議は午後に変更されました。",
    "ar": "تم تأجيل الاجتماع إلى فترة ما بعد الظهر بسبب الطقس.",
}


@pytest.mark.parametrize("language", SAID)
def test_a_sentence_is_recognised(language: str) -> None:
    found, score = identify(SAID[language])
    assert found == language
    assert 0.65 < score <= 1


def test_a_language_is_accepted_or_named() -> None:
    accepted = frozenset({"en", "de"})
    assert recognise(Draft(SAID["de"]), accepted, 0.65).language == "de"
    with pytest.raises(Rejected, match=r"^language: fr [01](\.\d+)?, not de en$"):
        recognise(Draft(SAID["fr"]), accepted, 0.65)


def test_what_is_not_sure_is_not_known() -> None:
    unsure = Draft("ok 12 x!")
    assert recognise(unsure, frozenset({"*"}), 0.99) is unsure
    with pytest.raises(Rejected, match=r"^language"):
        recognise(unsure, frozenset({"en"}), 0.99)


@pytest.mark.parametrize("text", ["\n", "a\nb", "\ufffd", "😀" * 400, "x" * 10_000, "\u0301"])
def test_any_text_has_an_answer(text: str) -> None:
    language, score = identify(text)
    assert language
    assert 0 <= score <= 1
