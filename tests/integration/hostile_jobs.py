"""`python -m tests.integration.hostile_jobs`: the jobs as they are, but for judges that obey the document.

What makes a document crash or stall its worker is here and nowhere else: no job outside the tests can be told to.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial

from flink_jobs.clean import job as clean
from flink_jobs.submit import serve
from flink_jobs.text.outcome import CleanJudge, CleanRow, EncodedRow, TokenizeJudge
from flink_jobs.tokenize import job as tokenize
from headrace.contract.errors import Coordinate
from tests.unit.flink_jobs.provoke import provoke


class ProvokedClean(CleanJudge):
    def __call__(
        self, value: bytes | None, headers: Mapping[str, bytes | None], raw: tuple[int, int], published: int
    ) -> CleanRow:
        provoke(value, "clean")
        return super().__call__(value, headers, raw, published)


class ProvokedTokenize(TokenizeJudge):
    def __call__(self, value: bytes | None, at: Coordinate, published: int) -> EncodedRow:
        provoke(value, "tokenize")
        return super().__call__(value, at, published)


if __name__ == "__main__":
    # Named by their module, not by __main__, so that a worker finds them.
    from tests.integration import hostile_jobs as here

    builds = {
        "clean": partial(clean.build, judge=here.ProvokedClean),
        "tokenize": partial(tokenize.build, judge=here.ProvokedTokenize),
    }
    sys.exit(serve(builds))
