"""`headrace tokenizer train | inspect`: make a tokenizer, or look at the one in use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.table import Table

from headrace.cli.inputs.cut import Cut, Refused
from headrace.cli.inputs.files import read
from headrace.cli.inputs.names import files_of
from headrace.cli.options import err, out, say, with_settings
from headrace.contract.digests import file_sha256
from headrace.contract.documents import decode_raw
from headrace.contract.errors import SettingsError
from headrace.contract.settings import Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
SMALLEST = 257
"""Every byte, and end-of-text: no text is out of vocabulary."""

app = typer.Typer(name="tokenizer", no_args_is_help=True, help="Make a tokenizer, or look at the one in use.")
Texts = Annotated[list[str], typer.Argument(metavar="PATH", help="Files or directories: .jsonl with text, or plain.")]


@app.command()
@with_settings
def train(
    settings: Settings,
    paths: Texts,
    folder: Annotated[Path, typer.Option("-o", "--output", help="Directory for tokenizer.json.")],
    vocabulary: Annotated[
        int, typer.Option(min=SMALLEST, help="Tokens, the 256 bytes and end-of-text included.")
    ] = 2048,
    longest: Annotated[int, typer.Option(min=0, help="Leave out longer documents (characters); 0: none.")] = 0,
) -> None:
    """Train a byte-level BPE on text of yours.

    Its only special token is <|endoftext|>, which begins and ends texts. The same files in the same order give the
    same tokenizer, bit for bit.

    [dim]headrace tokenizer train --vocabulary 8192 -o my-tokenizer chat.jsonl mails/[/]
    """
    files = files_of(paths)
    texts = (text for text in _texts(files, settings.clean.max_document_bytes) if not longest or len(text) <= longest)
    tokenizer = _train(texts, vocabulary)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / ".tokenizer.json"
    tokenizer.save(str(unfinished), pretty=True)
    unfinished.replace(folder / "tokenizer.json")
    _show(_described(folder / "tokenizer.json", tokenizer), json=False)


@app.command()
@with_settings
def inspect(
    settings: Settings,
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Text to measure it on.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the tokenizer in use: size, hash, special tokens, and how many tokens a word of your text takes.

    By language; and the scripts in it of which the tokenizer has learned nothing, a token for nearly every byte.
    """
    from tokenizers import Tokenizer

    file = settings.tokenizer_file
    if not file.exists():
        raise SettingsError(f"tokenizer {file} does not exist: set tokenizer.path to a tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise SettingsError(f"tokenizer.path: {file} is no tokenizer.json: {error}") from error
    said = _described(file, tokenizer)
    if paths:
        said |= _measured(tokenizer, _texts(files_of(paths), settings.clean.max_document_bytes))
    _show(said, json)


def _texts(files: Sequence[str], limit: int) -> Iterator[str]:
    """The text of every document that can be read; the others are counted and said at the end."""
    left_out: Counter[str] = Counter()
    for found in (found for file in files for found in read(file, Cut(limit))):
        if isinstance(found, Refused):
            left_out[found.reason] += 1
            continue
        headers: dict[str, bytes | None] = {
            name: value.encode() if isinstance(value, str) else value for name, value in found.headers.items()
        }
        yield decode_raw(found.value, headers, limit).text
    for reason, count in left_out.most_common():
        err.print(f"left out {count:,} documents: {reason}", highlight=False)


def _train(texts: Iterator[str], vocabulary: int) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=err.is_terminal,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if (made := tokenizer.get_vocab_size()) < vocabulary:
        raise SettingsError(f"the text gives only {made} tokens, not {vocabulary}: give more text, or ask for fewer")
    return tokenizer


def _described(file: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    added = tokenizer.get_added_tokens_decoder()
    return {
        "file": str(file),
        "sha256": file_sha256(str(file)),
        "vocabulary": tokenizer.get_vocab_size(),
        "special": {token.content: number for number, token in sorted(added.items()) if token.special},
    }


def _measured(tokenizer: Tokenizer, texts: Iterator[str]) -> dict[str, Any]:
    from flink_jobs.text.fertility import is_unknown, measure

    languages, scripts = measure(texts, lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids))
    counts = sum(languages.values(), Counter())
    return {
        **counts,
        "tokens_per_word": _per(counts, "words"),
        "languages": {
            name: {**count, "tokens_per_word": _per(count, "words"), "tokens_per_character": _per(count, "characters")}
            for name, count in sorted(languages.items(), key=lambda pair: -pair[1]["documents"])
        },
        "unknown_scripts": {
            name: {**count, "tokens_per_byte": _per(count, "bytes")}
            for name, count in sorted(scripts.items(), key=lambda pair: -pair[1]["words"])
            if is_unknown(count)
        },
    }


def _per(counts: Counter[str], what: str) -> float:
    return round(counts["tokens"] / max(1, counts[what]), 3)


def _show(said: dict[str, Any], json: bool) -> None:
    if json:
        typer.echo(orjson.dumps(said).decode())
        return
    for name, value in said.items():
        if isinstance(value, dict) and all(isinstance(row, dict) for row in value.values()):
            _show_table(name, value)
        else:
            say(f"[bold]{name.replace('_', ' ')}[/]  {value}")


def _show_table(name: str, rows: dict[str, dict[str, Any]]) -> None:
    """One line for each language or script; the text of an empty table says that there is none."""
    if not rows:
        out.print(f"[bold]{name.replace('_', ' ')}[/]  none", highlight=False)
        return
    columns = list(next(iter(rows.values())))
    heads = [column.replace("_", " ") for column in (name, *columns)]
    table = Table(*heads, box=None, header_style="bold", pad_edge=False)
    for row, values in rows.items():
        table.add_row(row, *(f"{values[column]:,}" for column in columns))
    out.print(table)
