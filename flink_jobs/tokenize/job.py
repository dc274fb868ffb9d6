"""The tokenize job: `tokenize.sql` with its values filled in, and the two Python functions it calls."""

from __future__ import annotations

from pathlib import Path

from pyflink.table import CompiledPlan, StreamTableEnvironment
from pyflink.table.udf import udtf

from flink_jobs.environment import FETCH_BYTES, quarantine_dir, statements
from flink_jobs.plan import compile_shared
from flink_jobs.quarantine import Quarantine
from flink_jobs.text.outcome import EncodedRow, TokenizeJudge
from flink_jobs.text.pace import PIECE_BYTES, window_bytes
from flink_jobs.text.tokens import Encoder
from flink_jobs.tokenize.udtf import ENCODED, PACKED, PackFunction, TokenizeFunction
from headrace.contract import topics
from headrace.contract.settings import Settings
from headrace.kafka import brokers_of


def build(env: StreamTableEnvironment, settings: Settings, judge: type[TokenizeJudge] = TokenizeJudge) -> CompiledPlan:
    """The job, ready to be executed; nothing outside `env` is touched. Reads the tokenizer and pins its hash."""
    path, options = settings.tokenizer_file, settings.tokenize
    encoder = Encoder.load(path)
    quarantine = Quarantine[EncodedRow](quarantine_dir(settings, "tokenize"), settings.flink.document_timeout_s)
    rate = window_bytes(settings.flink.taskmanager_memory_mb) / options.window_s / settings.flink.parallelism
    tokenize = TokenizeFunction(judge, path, encoder.digest, options.shards, quarantine, rate)
    pack = PackFunction(encoder.digest, encoder.begin, options.block_tokens)
    env.create_temporary_function("tokenize", udtf(tokenize, result_types=ENCODED))
    env.create_temporary_function("pack", udtf(pack, result_types=PACKED))
    *definitions, insert = statements(
        Path(__file__).with_name("tokenize.sql"),
        brokers=brokers_of(settings),
        group=settings.topic(topics.TOKENIZE_GROUP),
        clean=settings.topic(topics.CLEAN),
        blocks=settings.topic(topics.BLOCKS),
        windows=settings.topic(topics.WINDOWS),
        rejected=settings.topic(topics.REJECTED),
        prefix=settings.kafka.topic_prefix,
        window_s=options.window_s,
        record_bytes=topics.RECORD_BYTES,
        fetch_bytes=FETCH_BYTES,
        piece_bytes=PIECE_BYTES,
        transaction_timeout_ms=settings.kafka.transaction_timeout_ms,
    )
    for definition in definitions:
        env.execute_sql(definition)
    return compile_shared(env, insert)
