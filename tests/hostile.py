"""Documents that nobody should publish, as any Kafka client may, and the outcome that each must have.

`Hostile(name, value, outcome, headers, key, time, partition)`: `outcome` is ACCEPTED or the reason of its reject by
stage clean, for one that starts with `tokenize ` by stage tokenize. `time` is the record's timestamp in epoch
milliseconds, 0 for now. `partition` None: any.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from unicodedata import normalize

ACCEPTED = "accepted"
LIMIT = 1024 * 1024
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Hostile:
    name: str
    value: bytes | None
    outcome: str = ACCEPTED
    headers: Headers = ()
    key: bytes | None = None
    time: int = 1_700_000_000_000
    partition: int | None = None


def text(name: str) -> str:
    """Words that every rule accepts, and no other document has."""
    return f"These are the good words of {name}, which nobody objects to"


def plain(name: str, value: str | bytes, outcome: str = ACCEPTED) -> Hostile:
    """Without a header: text, unless it starts with a brace and a quote."""
    return Hostile(name, value.encode() if isinstance(value, str) else value, outcome)


def typed(name: str, value: str | bytes, outcome: str = ACCEPTED) -> Hostile:
    """Announced as text/plain."""
    return Hostile(
        name, value.encode() if isinstance(value, str) else value, outcome, [("content-type", b"text/plain")]
    )


def said(name: str, value: str | bytes | object, outcome: str = ACCEPTED) -> Hostile:
    """Announced as JSON; what is neither text nor bytes is written as JSON."""
    body = value if isinstance(value, str | bytes) else json.dumps(value)
    encoded = body.encode() if isinstance(body, str) else body
    return Hostile(name, encoded, outcome, [("content-type", b"application/json")])


def field(name: str, outcome: str = ACCEPTED, **fields: object) -> Hostile:
    """A JSON document with one more field."""
    return said(name, {"text": text(name), **fields}, outcome)


def raw_json(name: str, fields: str, outcome: str = ACCEPTED) -> Hostile:
    """A JSON document whose other fields no JSON library would write."""
    return said(name, f'{{"text": "{text(name)}", {fields}}}', outcome)


def header(name: str, headers: Headers, outcome: str = ACCEPTED) -> Hostile:
    return Hostile(name, text(name).encode(), outcome, headers)


def words(name: str, size: int) -> bytes:
    """`size` bytes of long words, few enough of them, in an order of their own."""
    dice = random.Random(name)
    some = [
        "government",
        "understand",
        "everything",
        "experience",
        "throughout",
        "individual",
        "background",
        "thousand",
    ]
    return " ".join(dice.choices(some, k=size // 10)).encode()[: size - 1] + b"."


NOTHING = [
    Hostile("null value", None, "empty"),
    Hostile("null value, null key, null header", None, "empty", [("source", None)], None),
    Hostile("null value with a key", None, "empty", (), b"tombstone"),
    Hostile("null value said to be text", None, "empty", [("content-type", b"text/plain")]),
    Hostile("null value said to be JSON", None, "empty", [("content-type", b"application/json")]),
    Hostile("null value of unknown type", None, "empty", [("content-type", b"image/png")]),
    plain("no bytes", b"", "empty"),
    typed("no bytes of text", b"", "empty"),
    said("no bytes of JSON", b"", "empty"),
    plain("a space", " ", "empty"),
    plain("white space", " \t\r\n\v\f\u00a0\u2003\u3000", "empty"),
    plain("a thousand line ends", "\n" * 1000, "empty"),
    plain("line separators", "\u2028\u2029\x85", "empty"),
    plain("one NUL", b"\0", "empty"),
    plain("a million NULs", bytes(1_000_000), "empty"),
    plain("control characters", bytes(range(1, 32)), "empty"),
    plain("only a byte order mark", "\ufeff", "empty"),
    plain("only C1 controls", "".join(map(chr, range(0x80, 0xA0))), "empty"),
    said("empty text", {"text": ""}, "empty"),
    said("blank text", {"text": " \n "}, "empty"),
    said("text of NULs", '{"text": "\\u0000\\u0000"}', "empty"),
]

KEYS_AND_HEADERS = [
    Hostile("null key", text("null key").encode(), key=None),
    Hostile("empty key", text("empty key").encode(), key=b""),
    Hostile("binary key", text("binary key").encode(), key=bytes(range(256))),
    Hostile("key of 100 KB", text("key of 100 KB").encode(), key=bytes(100_000)),
    header("null content type", [("content-type", None)]),
    header("null source", [("source", None)]),
    header("null id", [("id", None)]),
    header("null time", [("time", None)]),
    header("null header of another name", [("trace", None)]),
    header("null replay", [("replay-of", None)]),
    header("nonsense replay", [("replay-of", b"\xff nowhere")]),
    header("every header null", [(name, None) for name in ("content-type", "source", "id", "time", "replay-of")]),
    header("header without a name", [("", b"x")]),
    header("header with a name of another script", [("quelle-ü-источник", b"x")]),
    header("empty source", [("source", b"")]),
    header("source that is no UTF-8", [("source", b"\xff\xfe")]),
    header("source of 100 KB", [("source", b"s" * 100_000)]),
    header("source of NULs", [("source", b"\0\0\0")]),
    header("source like a path", [("source", b"../../etc/passwd")]),
    header("source like a special token", [("source", b"<|endoftext|>")]),
    header("id that is no UTF-8", [("id", b"\x80\x80")]),
    header("id of 100 KB", [("id", b"i" * 100_000)]),
    header("hundred headers", [(f"name{number}", b"value") for number in range(100)]),
    header("a name a hundred times", [("trace", b"%d" % number) for number in range(100)]),
    header("type said twice, text last", [("content-type", b"text/html"), ("content-type", b"text/plain")]),
    header("types said twice, bad last", [("content-type", b"text/plain"), ("content-type", b"x/y")], "content_type"),
    header("source said twice", [("source", b"first"), ("source", b"second")]),
    header("type in capitals", [("content-type", b"TEXT/PLAIN")]),
    header("type with a charset", [("content-type", b" text/plain ; charset=utf-16 ")]),
    header("header name in capitals", [("Content-Type", b"image/png")]),
    header("time in the header", [("time", b"1700000000000")]),
    header("ISO time in the header", [("time", b"2020-02-30T00:00:00Z")], "bad_field"),
    header("empty time in the header", [("time", b"")], "bad_field"),
    header("time of 5000 digits", [("time", b"9" * 5000)], "bad_field"),
    header("time of 20 digits", [("time", b"9" * 20)], "bad_field"),
    header("negative time in the header", [("time", b"-1")], "bad_field"),
    header("time in other digits", [("time", "١٢٣".encode())], "bad_field"),
    header("time that is no UTF-8", [("time", b"\xff")], "bad_field"),
    *(
        header(f"type {kind!r}", [("content-type", kind)], "content_type")
        for kind in (
            b"", b" ", b"text", b"text/css", b"text/plain, application/json", b"text/plain\0", b"application/jsonl",
            b"application/octet-stream", b"image/png", b"\xff\xff", b"x" * 10_000, "téxt/plain".encode(), b"null",
        )
    ),
]  # fmt: skip

MARKUP = [
    header("a page that is none", [("content-type", b"text/html")]),
    header("a page in capitals", [("content-type", b"TEXT/HTML; charset=x")]),
    header("a mail that is none", [("content-type", b"message/rfc822")]),
    Hostile("a page", f"<p>{text('a page')}".encode(), headers=[("content-type", b"text/html")]),
    Hostile("a page of tags", b"<p>" * 300_000, "empty", [("content-type", b"text/html")]),
    Hostile("a deep page", b"<div>" * 100_000 + b"good words in deep", headers=[("content-type", b"text/html")]),
    Hostile("a page of entities", b"&amp;" * 200_000, "gopher_short_doc", [("content-type", b"text/html")]),
    Hostile("a page never closed", b"<!-- good words " * 10_000, "empty", [("content-type", b"text/html")]),
    Hostile("a page in no encoding", b"good \xff words", "invalid_utf8",
            [("content-type", b"text/html; charset=idna")]),
    Hostile("Latin-1 that says so", "gute Wörter und mehr davon".encode("latin-1"),
            headers=[("content-type", b'text/plain; charset="ISO-8859-1"')]),
    Hostile("Shift JIS that says so", "これは 良い 言葉の 文章です それから 少し".encode("shift-jis"),
            headers=[("content-type", b"text/plain; charset=Shift_JIS; format=flowed")]),
    Hostile("UTF-16 that says so", text("UTF-16 that says so").encode("utf-16"),
            headers=[("content-type", b"text/plain;charset=utf-16")]),
    Hostile("a mail", b"To: x\n\nSome good words of a mail", headers=[("content-type", b"message/rfc822")]),
    Hostile("a mail of mails", b"Content-Type: message/rfc822\n\n" * 500, "empty",
            [("content-type", b"message/rfc822")]),
    Hostile("a mail of bounds", b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * 50_000, "empty",
            [("content-type", b"message/rfc822")]),
    Hostile("a mail in base64 that is none", b"Content-Transfer-Encoding: base64\n\ngood words!", "gopher_short_doc",
            [("content-type", b"message/rfc822")]),
    Hostile("a mail in an encoding that is none", b"Content-Type: text/plain; charset=rot13\n\nsome good words",
            headers=[("content-type", b"message/rfc822")]),
    Hostile("a mail of bytes", b"To: \xff\xfe\n\nsome good words \xff", headers=[("content-type", b"message/rfc822")]),
]  # fmt: skip

ENCODINGS = [
    *(
        plain(f"{name} in good words", b"good words with " + broken + b" in them", "invalid_utf8")
        for name, broken in {
            "a lone continuation": b"\x80",
            "a byte that is never UTF-8": b"\xff",
            "two bytes cut": b"\xc3",
            "three bytes cut": b"\xe2\x82",
            "four bytes cut": b"\xf0\x9f\x98",
            "an overlong slash": b"\xc0\xaf",
            "an overlong NUL": b"\xc0\x80",
            "an encoded surrogate": b"\xed\xa0\x80",
            "a surrogate pair in CESU-8": b"\xed\xa0\xbd\xed\xb8\x80",
            "beyond the last character": b"\xf4\x90\x80\x80",
            "five bytes": b"\xf8\x88\x80\x80\x80",
            "Latin-1": "grün".encode("latin-1"),
            "Windows quotes": b"\x93quoted\x94",
            "Shift JIS": "日本語".encode("shift-jis"),
            "GB 18030": "汉字".encode("gb18030"),
            "EBCDIC": "good words".encode("cp500"),
        }.items()
    ),
    plain("broken at the last byte", text("broken at the last byte").encode() + b"\xe2", "invalid_utf8"),
    typed("broken and said to be text", b"\xfe\xfe\xfe", "invalid_utf8"),
    said("broken inside JSON", b'{"text": "a \xff b"}', "invalid_utf8"),
    plain("UTF-16 with a mark", text("UTF-16 with a mark").encode("utf-16"), "invalid_utf8"),
    plain("UTF-16 big-endian with a mark", b"\xfe\xff" + text("UTF-16 BE").encode("utf-16-be"), "invalid_utf8"),
    said("UTF-16 JSON", json.dumps({"text": text("UTF-16 JSON")}).encode("utf-16"), "invalid_utf8"),
    plain("UTF-16 without a mark is text with NULs", text("UTF-16 without a mark").encode("utf-16-le")),
    plain("UTF-32 with a mark", text("UTF-32").encode("utf-32"), "invalid_utf8"),
    plain("UTF-7", "good words with +AOQ- and so on in them"),
    plain("gzip", gzip.compress(text("gzip").encode()), "invalid_utf8"),
    plain("a picture", b"\x89PNG\r\n\x1a\n" + bytes(100), "invalid_utf8"),
    plain("random bytes", random.Random(1).randbytes(10_000), "invalid_utf8"),
    plain("a byte order mark before the text", "\ufeff" + text("a byte order mark")),
    plain("byte order marks in the text", text("byte order\ufeff\ufeff marks")),
    plain("NULs in the text", text("NULs \0in\0 the text")),
    plain("NULs between all characters", "\0".join(text("NULs between all"))),
    plain("a NUL at the end", text("a NUL at the end") + "\0"),
    plain("terminal colours", text("\x1b[31mterminal\x1b[0m colours")),
    plain("backspaces", text("back\b\b\b\bspaces")),
    plain("old line ends", text("old") + "\r" + text("line") + "\r\n" + text("ends")),
    plain("replacement characters", text("replaced \ufffd\ufffd\ufffd characters")),
]

SIZES = [
    typed("one byte under the limit", words("under", LIMIT - 1)),
    typed("the limit", words("limit", LIMIT)),
    typed("one byte over the limit", words("over", LIMIT + 1), "too_long"),
    typed("3 MB", words("3 MB", 3_000_000), "too_long"),
    said("3 MB of broken JSON", b'{"' + b"x" * 3_000_000, "too_long"),
    plain("3 MB that are no UTF-8", b"\xff" * 3_000_000, "too_long"),
    Hostile("almost 4 MiB in key and value", bytes(2_000_000), "too_long", (), bytes(2_100_000)),
    said("one byte over the limit by white space", b" " * (LIMIT + 1), "too_long"),
    said("short text and meta up to the limit", json.dumps({"text": text("big meta"), "meta": "m" * 1_000_000})),
    said("a million numbers in meta", json.dumps({"text": text("numbers in meta"), "meta": [1] * 300_000})),
    said("text in escapes at the limit", '{"text": "' + "\\u0061" * 170_000 + '"}', "gopher_short_doc"),
    header("1 MB in one header", [("trace", b"t" * 1_000_000)]),
    plain("one letter", "a", "gopher_short_doc"),
    plain("one word of 1 MB", "a" * 1_000_000, "gopher_short_doc"),
    plain(
        "three words of 300 KB", "a" * 300_000 + " " + "b" * 300_000 + " " + "c" * 300_000, "gopher_above_avg_threshold"
    ),
    plain("500,000 words of a letter", "a " * 500_000, "gopher_long_doc"),
    plain("100,001 words", "word " * 100_001, "gopher_long_doc"),
    plain("a million spaces between", "good words" + " " * 1_000_000 + "and more good words far apart"),
    plain("500,000 line ends between", "good words" + "\n" * 500_000 + "and more good words, far below"),
    plain("500,000 short lines", "ab\n" * 300_000, "gopher_long_doc"),
    plain("no spaces", text("no spaces").replace(" ", "") * 300, "gopher_short_doc"),
    plain("base64", "TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsu" * 500, "gopher_short_doc"),
]

BROKEN_JSON = [
    *(
        said(f"{name}, as JSON", broken, "bad_json")
        for name, broken in {
            "cut in a string": '{"text": "cut',
            "cut after the colon": '{"text":',
            "cut before the brace": '{"text": "good words and more"',
            "one brace": "{",
            "a comma too many": '{"text": "good words and more",}',
            "single quotes": "{'text': 'good words and more'}",
            "no quotes": "{text: 1}",
            "a comment": '{"text": "good words and more" /* so */}',
            "garbage behind it": '{"text": "good words and more"} x',
            "two objects": '{"text": "good words"}\n{"text": "good words"}',
            "plain text": "good words and more of them",
            "a byte order mark": '\ufeff{"text": "good words and more"}',
            "a line end in a string": '{"text": "good\nwords"}',
            "a NUL in a string": '{"text": "good\0words"}',
            "an unknown escape": '{"text": "good \\x words"}',
            "a cut escape": '{"text": "good \\u12"}',
            "a high surrogate alone": '{"text": "good \\ud83d words"}',
            "a low surrogate alone": '{"text": "good \\ude00 words"}',
            "surrogates in the wrong order": '{"text": "good \\ude00\\ud83d words"}',
            "a surrogate in a name": '{"text": "good words and more", "\\ud800": 1}',
            "NaN": '{"text": "good words and more", "label": NaN}',
            "Infinity": '{"text": "good words and more", "label": -Infinity}',
            "a hexadecimal number": '{"text": "good words and more", "id": 0x10}',
            "a leading zero": '{"text": "good words and more", "id": 007}',
            "a plus": '{"text": "good words and more", "id": +1}',
            "a bare dot": '{"text": "good words and more", "label": .5}',
            "100,000 brackets": "[" * 100_000,
            "100,000 brackets in meta": '{"text": "good words", "meta": ' + "[" * 100_000 + "]" * 100_000 + "}",
            "100,000 objects in each other": '{"a":' * 100_000 + "1" + "}" * 100_000,
            "an array": '["good words and more"]',
            "an array of documents": '[{"text": "good words and more"}]',
            "an empty array": "[]",
            "a string": '"good words and more"',
            "a number": "7",
            "true": "true",
            "null": "null",
            "form fields": "text=good+words&id=1",
        }.items()
    ),
    plain("chat that begins like JSON", '{"well" she said and closed the book', "bad_json"),
    plain("a cut log line", '{"level": "info", "message": "good wor', "bad_json"),
    plain("two log lines", '{"level": "info"}\n{"level": "warn"}', "bad_json"),
    plain("a template", '{"{name}": {{ value }} }', "bad_json"),
]

WRONG_JSON = [
    *(
        said(f"text is {name}", {"text": wrong}, "bad_field")
        for name, wrong in {
            "null": None, "a number": 7, "true": True, "a list": ["good words"], "an object": {"en": "good words"},
        }.items()
    ),
    said("an empty object", "{}", "bad_field"),
    said("no text", {"id": 1, "source": "mail"}, "bad_field"),
    said("text in capitals", {"Text": "good words and more"}, "bad_field"),
    said("text one level down", {"data": {"text": "good words and more"}}, "bad_field"),
    plain("a JSON log line", '{"level": "info", "message": "good words and more", "time": 1}', "bad_field"),
    plain("an event", '{"type": "click", "x": 1}', "bad_field"),
    field("id is a list", "bad_field", id=[1]),
    field("id is an object", "bad_field", id={}),
    field("id is a fraction", "bad_field", id=1.5),
    field("id is true", "bad_field", id=True),
    field("id is null", id=None),
    field("id is negative", id=-1),
    field("id is long", id="i" * 100_000),
    raw_json("id of 64 bits", '"id": 18446744073709551615'),
    raw_json("id of 100 digits", f'"id": {"9" * 100}', "bad_field"),
    field("source is a number", "bad_field", source=1),
    field("source is a list", "bad_field", source=["a"]),
    field("source is empty", source=""),
    field("source is long", source="s" * 100_000),
    field("source of marks", source="z" + "\u0301" * 10_000),
    field("source of four bytes each", source="😀" * 1000),
    field("time is a word", "bad_field", time="yesterday"),
    field("time is empty", "bad_field", time=""),
    field("time is a list", "bad_field", time=[2020]),
    field("time is true", "bad_field", time=True),
    field("time has a 13th month", "bad_field", time="2020-13-01"),
    field("time has a 25th hour", "bad_field", time="2020-01-01T25:00:00Z"),
    field("time in the year 0", "bad_field", time="0000-01-01"),
    field("time in the year 10000", "bad_field", time="10000-01-01"),
    field("time before all years", "bad_field", time="0001-01-01T00:00:00+23:59"),
    field("time is negative", time=-62_000_000_000_000),
    field("time is a fraction", time=1.5),
    field("time is a date", time="1969-07-20"),
    field("time of 19 digits", "bad_field", time=10**18),
    raw_json("time of 100 digits", f'"time": {"9" * 100}', "bad_field"),
    raw_json("time beyond all floats", '"time": 1e999', "bad_json"),
    raw_json("time is 1e308", '"time": 1e308', "bad_field"),
    field("label is a list", "bad_field", label=[]),
    field("label is an object", "bad_field", label={"a": 1}),
    field("label is long", label="l" * 100_000),
    raw_json("label of 100 digits", f'"label": {"9" * 100}'),
    raw_json("label beyond all floats", '"label": 1e999', "bad_json"),
    raw_json("label is almost nothing", '"label": 1e-999'),
    raw_json("label is minus zero", '"label": -0.0'),
    raw_json("a number of 100,000 digits in meta", f'"meta": {"9" * 100_000}', "bad_json"),
    field("unknown fields", **{f"field{number}": number for number in range(1000)}),
    field("fields of ours", version=2, schema=9, raw=[0, 0], language="xx"),
    raw_json("meta 500 deep", f'"meta": {"[" * 500}{"]" * 500}'),
    said("a name said twice, good last", f'{{"text": 5, "text": "{text("said twice")}"}}'),
    said("a name said twice, bad last", f'{{"text": "{text("said twice too")}", "text": 5}}', "bad_field"),
    said("names in escapes", f'{{"\\u0074ext": "{text("names in escapes")}"}}'),
    said("text in escapes", f'{{"text": "\\ud83d\\ude00 {text("escapes")} \\u0000\\u0007"}}'),
    said("white space around", f'\n\t {{"text": "{text("white space around")}"}} \r\n'),
]  # fmt: skip

BRACES = [
    typed("JSON said to be text", '{"text": "good words and more", "id": 5}'),
    typed("a log line said to be text", '{"level": "info", "message": "good words and more"}'),
    typed("broken JSON said to be text", '{"quoted words" she said, and some more'),
    plain("chat that begins with a brace", "{sigh} good words and more of them"),
    plain("a brace and a space", '{ "text": "good words in a brace and space" }'),
    plain("a brace on a line of its own", '{\n"text": "good words in a brace of its own"\n}'),
    plain("white space before JSON", ' {"text": "good words after a space here"}'),
    plain("an array without a type", '["good words", "and more of them"]'),
    plain("a quoted line", '"good words" and more of them'),
    plain("a template of braces", "{{ greeting }} good words and more of them, one after another"),
    plain("TeX", "\\documentclass{article} some good words \\emph{and more}"),
]

TYPED_TOKENS = [
    plain("end-of-text alone", "<|endoftext|>", "gopher_short_doc"),
    plain("end-of-text, three times", "<|endoftext|> <|endoftext|> <|endoftext|>", "gopher_above_avg_threshold"),
    plain("end-of-text among words", "some good words <|endoftext|> and then some more"),
    plain("end-of-text at both ends", "<|endoftext|>good words that stand between the two ends<|endoftext|>"),
    plain("a hundred ends among words", "one good word <|endoftext|> and more " * 100),
    plain("end-of-text with NULs", "good words \0<|endoftext|>\0 and NULs on its two sides"),
    plain("end-of-text cut by a NUL", "good words <|endof\0text|> and one NUL within"),
    plain("end-of-text in wide letters", "good words ＜｜ｅｎｄｏｆｔｅｘｔ｜＞ and wide ones among them"),
    said("end-of-text in JSON", {"text": "in JSON <|endoftext|> good words and more", "source": "<|endoftext|>"}),
    plain("other special tokens", "<s> good words </s> <pad> [CLS] and more [SEP] of <unk> them"),
    plain("roles of a chat", "<|im_start|>system good words and more of them <|im_end|>"),
    plain("half an end", "good words <|endof and then a half |> more"),
]

SCRIPTS = [
    plain("Greek, Cyrillic and Latin", "καλές λέξεις хорошие слова good words all mixed"),
    plain("letters that look alike", "gооd wоrds with Сyrillic lеtters among thеm"),
    plain("Arabic", "هذه كلمات جيدة من نص عربي قصير جدا"),
    plain("Hebrew with points", "אֵלֶּה מִלִּים טוֹבוֹת בְּעִבְרִית"),
    plain("Hindi", "यह कुछ अच्छे शब्द हैं और कुछ और शब्द"),
    plain("Thai without spaces", "นี่คือคำที่ดีในภาษาไทย", "gopher_short_doc"),
    plain("Chinese without spaces", "这是一些好的词语没有空格", "gopher_short_doc"),
    plain("Japanese with spaces", "これは 良い 言葉の 文章です それから もっと"),
    plain("Korean", "이것은 좋은 단어들로 이루어진 문장입니다"),
    plain("Hangul in parts", normalize("NFD", "이것은 좋은단어로 만들어진 글입니다")),
    plain("Ethiopic", "እነዚህ ጥሩ ቃላት ናቸው ተጨማሪ"),
    plain("cuneiform", "𒀀𒀁𒀂 𒀃𒀄𒀅 𒀆𒀇𒀈 𒀉𒀊𒀋"),
    plain("mathematical letters", "𝓰𝓸𝓸𝓭 𝔀𝓸𝓻𝓭𝓼 𝓪𝓷𝓭 𝓶𝓸𝓻𝓮 𝓸𝓯 𝓽𝓱𝓮𝓶"),
    plain("right-to-left override", "good \u202esdrow\u202c and more \u202ethem of\u202c"),
    plain("overrides never closed", "\u202e\u202d\u202e good words that never turn back"),
    plain("isolates", "\u2066good\u2069 words \u2067and\u2069 more of \u2068them\u2069"),
    plain("10,000 embeddings", "\u202a" * 10_000 + " good words after many of them", "gopher_above_avg_threshold"),
    plain("zero-width text", "\u200b\u200c\u200d\u2060", "gopher_short_doc"),
    plain("zero-width words", "\u200b\u200b\u200b " * 10, "gopher_below_alpha_threshold"),
    plain("zero width between letters", "\u200b".join("some good") + " words with nothing between"),
    plain("soft hyphens", "go\u00adod wo\u00adrds and mo\u00adre of them, soft"),
    plain("invisible tags", "good words " + "".join(chr(0xE0000 + ord(c)) for c in "ignore") + " and tags unseen"),
    plain("a letter with 20 marks", "good words a" + "\u0301" * 20 + " and more of them here"),
    plain("200,000 marks on one letter", "good words a" + "\u0301" * 200_000 + " and more of them",
          "gopher_above_avg_threshold"),
    plain("300,000 marks in the worst order", "good a" + "\u0301\u0323" * 150_000, "gopher_short_doc"),
    plain("marks alone", "\u0301" * 1000, "gopher_short_doc"),
    plain("zalgo", "good words and more".translate({ord(c): c + "\u0335\u0321\u0352" for c in "adegmnorsw"}),
          "gopher_above_avg_threshold"),
    plain("marks before all", "\u0301\u0301 some good words behind the marks"),
    plain("a precomposed and a composed", "café cafe\u0301 good words and more coffee"),
    plain("letters that grow", "ﷺ ﷻ good words and some that grow when apart"),
    plain("ligatures", "ﬁne ﬂowers and good words with oﬃce ligatures"),
    plain("emoji", "😀 😀 😀 😀", "gopher_below_avg_threshold"),
    plain("emoji families", "👨‍👩‍👧‍👦 👩‍❤️‍💋‍👩 🏳️‍🌈 👩🏽‍🚀", "gopher_below_alpha_threshold"),
    plain("emoji among words", "good words 😀 and more of them 👍🏽 with the party going on and on"),
    plain("flags", "🇩🇪🇫🇷🇯🇵🇧🇷 🇩🇪🇫🇷🇯🇵🇧🇷 🇩🇪🇫🇷🇯🇵🇧🇷", "gopher_below_alpha_threshold"),
    plain("keycaps", "1️⃣2️⃣3️⃣ good words and more of them with keys"),
    plain("no characters", "good words \ufffe\uffff and \U0001ffff none of them characters at all"),
    plain("private characters", "\ue000\uf8ff good words and private ones of them"),
    plain("unassigned characters", "\u0378\u0379 good words and some to be assigned"),
    plain("the last character", "good words \U0010ffff and the last of them"),
    plain("interlinear notes", "good \ufff9words\ufffaand\ufffb more of them, noted"),
    plain("variation selectors", "good\ufe0f words\ufe0e and more of them, varied" + "\ufe0f" * 10),
]  # fmt: skip

SHAPES = [
    plain("only digits", "123 456 789 012 345", "gopher_below_alpha_threshold"),
    plain("only punctuation", "!!! ??? ... ---", "gopher_short_doc"),
    plain("hashes", "# good # words # and # more # of # them", "gopher_too_many_hashes"),
    plain("ellipses", "good words... and more... of them...", "gopher_too_many_ellipsis"),
    plain("a list", "\n".join(f"- good item number {number}" for number in "abcdef"), "gopher_too_many_bullets"),
    plain("one line a hundred times", "the same good words again\n" * 100, "gopher_repetition"),
    plain("a placeholder", "Lorem ipsum dolor sit amet consectetur", "lorem_ipsum"),
    plain("single letters", "a b c d e f g h", "gopher_below_avg_threshold"),
    plain("a hexadecimal dump", "00000010 6f6d6520 776f7264 73000000", "gopher_below_alpha_threshold"),
    plain("a table", "id,name,words\n1,first,good\n2,second,more\nand some good words below"),
    plain("markup", "<html><body>good words <b>and</b> more of them</body></html>"),
    plain("a growing entity", "<!ENTITY good '&words;&words;'> good words that grow no more"),
    plain("SQL", "good words'; DROP TABLE published; -- and more of them"),
    plain("a look-up", "good words ${jndi:ldap://x/a} and more here"),
    plain("format marks", "%s%n%x good words {0} {name} $value and more"),
    plain("a shell", "good words $(reboot) `reboot` and more here; true"),
    plain("escapes as text", "good words \\u0000 \\n \\ud800 and more, escaped"),
]

TIMES = [
    Hostile("published at the beginning", text("the beginning").encode(), time=1),
    Hostile("published in 1970", text("the year 1970").encode(), time=86_400_000),
    Hostile("published at no time", text("no time at all").encode(), time=-1),
    Hostile("published before 1970", text("the years before").encode(), time=-86_400_000),
    Hostile("published before all years", text("a time before time").encode(), time=-(2**60)),
    Hostile("published now", text("this very minute").encode(), time=0),
]

REPEATS = [
    replace(document, partition=0)
    for document in (
        plain("a repeat", "good words that are said a second time"),
        plain("a repeat: again", "good words that are said a second time", "duplicate"),
        plain("a repeat: with NULs", "good words\0 that are said a second\0 time", "duplicate"),
        plain("a repeat: with other spaces", " good  words\tthat are\u00a0said a second time\r\n", "duplicate"),
        said("a repeat: as JSON", {"text": "good words that are said a second time", "id": 2}, "duplicate"),
        plain("a repeat: of a reject", "short", "gopher_short_doc"),
        plain("a repeat: of a reject again", "short", "gopher_short_doc"),
    )
]

DEADLY = [
    plain("aborts the clean worker", text("the first clean!abort"), "quarantined"),
    plain("aborts the clean worker too", text("the next clean!abort"), "quarantined"),
    plain("kills the clean worker", text("the third clean!kill"), "quarantined"),
    plain("ends the clean worker", text("another clean!exit"), "quarantined"),
    plain("aborts the tokenize worker", text("a later tokenize!abort"), "tokenize quarantined"),
    plain("ends the tokenize worker", text("a later tokenize!exit"), "tokenize quarantined"),
]
STALLING = [
    plain("stalls the clean worker", text("an endless clean!stall"), "quarantined"),
    plain("holds the clean worker", text("an endless clean!hold"), "quarantined"),
    plain("stalls the tokenize worker", text("an endless tokenize!stall"), "tokenize quarantined"),
    plain("holds the tokenize worker", text("an endless tokenize!hold"), "tokenize quarantined"),
]
"""These two to jobs of the tests alone: see tests/integration/hostile_jobs.py."""

HARMLESS = [
    *NOTHING, *KEYS_AND_HEADERS, *MARKUP, *ENCODINGS, *SIZES, *BROKEN_JSON, *WRONG_JSON, *BRACES, *TYPED_TOKENS,
    *SCRIPTS, *SHAPES, *TIMES, *REPEATS,
]  # fmt: skip
TABLE = [*HARMLESS, *DEADLY]
