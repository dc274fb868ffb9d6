"""Bytes, pages and mails to the words in them; what was decoded wrongly is mended, and what is right stays."""

import pytest

from flink_jobs.text import letter, markup
from flink_jobs.text.accept import Cleaner
from flink_jobs.text.charset import decoded, guess
from flink_jobs.text.draft import Draft
from flink_jobs.text.repair import mend
from headrace.contract.cleaning import Clean
from headrace.contract.documents import CHARSETS, CleanDocument, Kind
from headrace.contract.errors import Rejected

GERMAN = "Grüße aus Köln, wo es schön ist und über alle Maßen regnet"


def accepted(value: bytes, headers: dict[str, bytes | None], **rules: object) -> str:
    document = Cleaner(Clean.model_validate(rules)).accept(value, headers, (0, 0), 0)
    assert isinstance(document, CleanDocument)
    return document.text


@pytest.mark.parametrize(
    "charset", ["ISO-8859-1", "latin1", "windows-1252", "cp1252", "utf-16", "UTF-16LE", "utf_32", "mac-roman"]
)
def test_a_declared_encoding_counts_where_it_is_not_utf_8(charset: str) -> None:
    headers: dict[str, bytes | None] = {"content-type": f'text/plain; charset="{charset}"'.encode()}
    assert accepted(GERMAN.encode(charset), headers) == GERMAN
    assert accepted(GERMAN.encode(), {"content-type": b"text/plain; charset=latin-1"}) == GERMAN


@pytest.mark.parametrize("charset", ["idna", "punycode", "unicode_escape", "utf-7", "hex", "rot13", "x" * 99, "", "\0"])
def test_what_is_no_encoding_of_text_is_none(charset: str) -> None:
    assert not CHARSETS.fullmatch(charset)
    with pytest.raises(Rejected, match="invalid_utf8: byte 2"):
        accepted(b"gr\xfc\xdfe und mehr", {"content-type": f"text/plain; charset={charset}".encode()})


def test_an_encoding_is_guessed_by_profile() -> None:
    value = GERMAN.encode("latin-1")
    with pytest.raises(Rejected, match="invalid_utf8"):
        accepted(value, {"source": b"other"}, sources="inbox=mail")
    with pytest.raises(Rejected, match="invalid_utf8"):
        accepted(b"\x89PNG\r\n\0\0\0", {"source": b"inbox"}, sources="inbox=mail")
    assert accepted(value, {"source": b"inbox"}, sources="inbox=mail") == GERMAN


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        ("Привет, как у вас сегодня дела", "windows-1251"),
        ("Привет, как у вас сегодня дела", "koi8-r"),
        ("これは日本語のテキストです", "shift-jis"),
        ("“quoted” words—here", "windows-1252"),
    ],
)
def test_guesses(text: str, charset: str) -> None:
    value = text.encode(charset)
    assert value.decode(guess(value) or "") == decoded(value, None) == text
    assert decoded(value, "nonsense") == text
    assert decoded(text.encode(), charset) == text, "UTF-8 is that, whatever is declared"


@pytest.mark.parametrize(
    ("broken", "meant"),
    [
        ("GrÃ¼ÃŸe aus KÃ¶ln", "Grüße aus Köln"),
        ("Gr\xc3\xbc\xc3\x9fe aus K\xc3\xb6ln", "Grüße aus Köln"),
        ("the â€œnaÃ¯veâ€\x9d one â€“ thatâ€™s it", "the “naïve” one – that’s it"),
        ("РџСЂРёРІРµС‚, РґСЂСѓР·СЊСЏ РјРѕРё", "Привет, друзья мои"),
        ("plain and naÃƒÂ¯ve", "plain and naïve"),
    ],
)
def test_mojibake_is_mended(broken: str, meant: str) -> None:
    assert mend(Draft(broken)).text == meant


@pytest.mark.parametrize(
    "text", ["plain", GERMAN, "«É»", "Où est-ce ? À Â…", "Сёстры – Р. и С.", "日本語", "ﬁne ﬂowers", "１２"]
)
def test_what_is_right_stays(text: str) -> None:
    assert mend(Draft(text)).text == text


def test_a_page_becomes_its_text() -> None:
    page = "<html><head><title>t</title><script>x()</script></head><body><nav><a href=/>Home</a></nav>"
    page += "<main><p>Some <b>good</b> words &amp; more.</p><p>The end.</p></main><!-- no --></body></html>"
    words = "Some good words & more.\n\nThe end."
    assert markup.take_text(Draft(page, kind="html"), undeclared=False, main=True).text == words
    assert "Home" in markup.take_text(Draft(page), undeclared=True, main=False).text
    assert markup.take_text(Draft(page), undeclared=False, main=False).text == page
    assert markup.take_text(plain := Draft("a < b and c > d, <3"), undeclared=True, main=True) is plain


MULTIPART = """From: jane@example.org
Subject: =?utf-8?q?x?=
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="b"

--b
Content-Type: text/html

<p>Gr&uuml;&szlig;e</p>
--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe aus K=F6ln
--b
Content-Type: text/plain
Content-Disposition: attachment; filename=x.txt

attached
--b--
"""


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        (MULTIPART, "text", "Grüße aus Köln"),
        (MULTIPART.replace("text/plain", "image/png"), "html", "<p>Gr&uuml;&szlig;e</p>"),
        ("To: x\n\nbody of it", "text", "body of it"),
        ("To: x\nContent-Transfer-Encoding: 8bit\n\nGrüße", "text", "Grüße"),
        ("To: x\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZQ==", "text", "Grüße"),
    ],
)
def test_a_mail_becomes_its_body(message: str, kind: Kind, text: str) -> None:
    raw = message.encode().decode("ascii", "surrogateescape")
    taken = letter.take_body(Draft(raw, kind="mail"), undeclared=False)
    assert (taken.kind, taken.text.strip()) == (kind, text)


def test_an_undeclared_mail_is_one_by_its_headers() -> None:
    message = "From: x\nReceived: by\n\tsomebody\n\nGrüße"
    assert letter.take_body(Draft(message), undeclared=True).text == "Grüße"
    for other in ("Note: this is\n\nno mail", "Dear all:\nno mail", message.replace("\n\n", "\n")):
        assert letter.take_body(draft := Draft(other), undeclared=True) is draft
    assert letter.take_body(draft := Draft(message), undeclared=False) is draft


def test_quotations_and_signature_go() -> None:
    body = "Yes.\n\nOn Monday, Jim <jim@example.org> wrote:\n> Really?\n> > Well.\nAnd no.\n\n--\nJane\nDirector"
    assert letter.own_words(Draft(body)).text == "Yes.\n\nAnd no.\n\n"
    assert letter.own_words(Draft("I see.\n-----Original Message-----\nFrom: x")).text == "I see.\n"
    assert letter.own_words(draft := Draft("a -- b, 5 > 4\n---\nmore")) is draft
