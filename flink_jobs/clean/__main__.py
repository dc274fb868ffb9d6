"""`python -m flink_jobs.clean`: submit the clean job."""

import sys

from flink_jobs.clean.job import build
from flink_jobs.submit import main

if __name__ == "__main__":
    sys.exit(main("clean", build))
