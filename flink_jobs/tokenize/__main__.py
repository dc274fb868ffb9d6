"""`python -m flink_jobs.tokenize`: submit the tokenize job."""

import sys

from flink_jobs.submit import main
from flink_jobs.tokenize.job import build

if __name__ == "__main__":
    sys.exit(main("tokenize", build))
