"""The clean job: `clean.sql` with its values filled in, and the one Python function it calls."""

from __future__ import annotations

from pathlib import Path
from string import Template

from pyflink.table import CompiledPlan, StreamTableEnvironment
from pyflink.table.udf import udtf

from flink_jobs.clean.udtf import RESULT, CleanFunction
from flink_jobs.environment import FETCH_BYTES, quarantine_dir, statements
from flink_jobs.plan import compile_shared
from flink_jobs.quarantine import Quarantine
from flink_jobs.text.near import BANDS
from flink_jobs.text.outcome import CleanJudge, CleanRow
from flink_jobs.text.pace import PIECE_BYTES
from headrace.contract import topics
from headrace.contract.settings import Settings
from headrace.kafka import brokers_of


def build(env: StreamTableEnvironment, settings: Settings, judge: type[CleanJudge] = CleanJudge) -> CompiledPlan:
    """The job, ready to be executed; nothing outside `env` is touched."""
    env.get_config().set("table.exec.state.ttl", f"{settings.clean.dedup_ttl_hours} h")
    quarantine = Quarantine[CleanRow](quarantine_dir(settings, "clean"), settings.flink.document_timeout_s)
    function = CleanFunction(judge(settings.clean), quarantine)
    env.create_temporary_function("clean", udtf(function, result_types=RESULT))
    *definitions, insert = page(settings)
    for definition in definitions:
        env.execute_sql(definition)
    return compile_shared(env, insert)


def page(settings: Settings) -> list[str]:
    """The statements of the job, the last one its INSERT; with near dedup the view before it once for each band."""
    bands = BANDS if settings.clean.near_dedup else 0
    *definitions, near, insert = statements(
        Path(__file__).with_name("clean.sql"),
        brokers=brokers_of(settings),
        group=settings.topic(topics.CLEAN_GROUP),
        raw=settings.topic(topics.RAW),
        clean=settings.topic(topics.CLEAN),
        rejected=settings.topic(topics.REJECTED),
        record_bytes=topics.RECORD_BYTES,
        fetch_bytes=FETCH_BYTES,
        piece_bytes=PIECE_BYTES,
        transaction_timeout_ms=settings.kafka.transaction_timeout_ms,
        bands=bands,
        band="$band",
        before="$before",
    )
    stages = [Template(near).substitute(band=band, before=band - 1) for band in range(1, bands + 1)]
    return [*definitions, *stages, insert]
