"""`python -m flink_jobs`: both jobs, in one JVM, for whoever asks on standard input; see flink_jobs/submit.py."""

import sys

from flink_jobs.clean.job import build as build_clean
from flink_jobs.submit import serve
from flink_jobs.tokenize.job import build as build_tokenize

if __name__ == "__main__":
    sys.exit(serve({"clean": build_clean, "tokenize": build_tokenize}))
