"""Text that was decoded in a wrong encoding somewhere on its way (mojibake), mended by ftfy.

ftfy takes a millisecond for a page, so it is asked only where a gate sees what mojibake has and prose has not: UTF-8
read as Latin-1 or as one of Windows' encodings leaves a lead byte and a continuation byte side by side.
"""

from __future__ import annotations

import re

from ftfy import TextFixerConfig, fix_text

from flink_jobs.text.draft import Draft

CONTINUATIONS = bytes(range(0x80, 0xC0))
LATIN = "".join(sorted({*CONTINUATIONS.decode("latin-1"), *CONTINUATIONS.decode("windows-1252", "ignore")}))
CYRILLIC = CONTINUATIONS.decode("windows-1251", "ignore")
SUSPECT = re.compile(rf"[\xc2-\xf4][{re.escape(LATIN)}]|[ВГРС][{re.escape(CYRILLIC)}]")
"""Lead bytes of two to four are À-ô in Latin, and those of Cyrillic letters and of quotes В, Г, Р and С."""

MEND = TextFixerConfig(
    unescape_html=False,
    remove_terminal_escapes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    fix_c1_controls=False,
    remove_control_chars=False,
    normalization=None,
    max_decode_length=100_000,
    explain=False,
)
"""Wrong encodings alone: quotes, widths and ligatures are the writer's own, line ends are normalised later."""


def mend(draft: Draft) -> Draft:
    """The text as it was meant, where it can be told; else as it is."""
    text = draft.text
    return draft if text.isascii() or not SUSPECT.search(text) else draft.edited(fix_text(text, MEND))
