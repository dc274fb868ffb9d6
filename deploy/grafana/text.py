"""What comes in, and what is rejected."""

from __future__ import annotations

from deploy.grafana.panels import CLEAN, RATE, Board, Panel

SOURCE = '{source=~"$source"}'
TEXT = Board(
    "headrace-text",
    "Headrace: Text quality",
    "What comes in, what is rejected and why, and what windows and blocks are made of it.",
    (
        Panel(
            "Why are documents rejected?",
            "A second, by reason: docs/rejections.md explains each.",
            "short",
            [
                (f'sum by (reason) (rate(headrace_documents_total{{outcome="rejected"}}{RATE})) > 0', "{{reason}}"),
            ],
            kind="stack",
        ),
        Panel(
            "What became of all documents?",
            "Since the first one.",
            "short",
            [("sum by (stage, outcome) (headrace_documents_total)", "{{stage}} {{outcome}}")],
            kind="now",
        ),
        Panel(
            "What share was seen before?",
            "Duplicates among all that came in. A jump: a publisher sends again what it had sent.",
            "percentunit",
            [
                (
                    f'sum(rate(headrace_documents_total{{reason=~"(near_)?duplicate"}}{RATE}))'
                    f" / sum(rate(headrace_documents_total{CLEAN}{RATE}))",
                    "duplicates",
                )
            ],
        ),
        Panel(
            "Which sources?",
            "Accepted documents a second; the first twenty sources by name.",
            "short",
            [(f"sum by (source) (rate(headrace_source_documents_total{SOURCE}{RATE}))", "{{source}}")],
            kind="stack",
        ),
        Panel(
            "Which languages come in?",
            "Accepted documents a second.",
            "short",
            [(f"sum by (language) (rate(headrace_language_documents_total{RATE}))", "{{language}}")],
            kind="stack",
        ),
        Panel(
            "What private things are replaced?",
            "A second, by kind, in accepted documents; the profile's `hide` says what is looked for.",
            "short",
            [(f"sum by (kind) (rate(headrace_redactions_total{RATE}))", "{{kind}}")],
            kind="stack",
        ),
        Panel(
            "How long is a document?",
            "Accepted ones, on average: characters, and tokens in their blocks.",
            "short",
            [
                (
                    f"sum(rate(headrace_document_characters_total{RATE}))"
                    f' / sum(rate(headrace_documents_total{{stage="clean",outcome="accepted"}}{RATE}))',
                    "characters",
                ),
                (
                    f"sum(rate(headrace_window_tokens_total{RATE})) / sum(rate(headrace_window_documents_total{RATE}))",
                    "tokens",
                ),
            ],
        ),
        Panel(
            "How large is a window?",
            "Of one shard, on average. Windows of few documents make short blocks.",
            "short",
            [
                (
                    f"sum(rate(headrace_window_documents_total{RATE})) / sum(rate(headrace_windows_total{RATE}))",
                    "documents",
                ),
                (f"sum(rate(headrace_window_blocks_total{RATE})) / sum(rate(headrace_windows_total{RATE}))", "blocks"),
            ],
        ),
        Panel(
            "How full is a block?",
            "Tokens in it, on average; tokenize.block_tokens is the most.",
            "short",
            [
                (
                    f"sum(rate(headrace_window_tokens_total{RATE})) / sum(rate(headrace_window_blocks_total{RATE}))",
                    "tokens",
                )
            ],
        ),
    ),
)
