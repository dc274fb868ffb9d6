"""The two Flink jobs: what each is, how it is started, stopped, counted and upgraded.

job.py       what belongs to a job, who looks after it, what its state folder says
checks.py    when a job must not be started
program.py   the program that knows PyFlink, asked what to compile and submit
start.py     submitting from the newest state and from nothing else; stopping with savepoints
counting.py  whether all that a job has read has its outcome
watch.py     counting again after every restore and every so often; a loss stops the job
upgrade.py   from the old query to a changed one, with nothing lost and nothing twice
notes.py, aside.py   the small files in a state folder, and how an upgrade sets one aside
"""

from headrace.jobs.checks import check_age, check_untouched
from headrace.jobs.job import CLEAN, JOBS, PINNED, TOKENIZE, Job, Pinned, active, alone
from headrace.jobs.program import Program
from headrace.jobs.start import (
    Ensured,
    commit_beginning,
    ensure,
    start,
    stop,
    stop_all,
)

__all__ = [
    "CLEAN",
    "JOBS",
    "PINNED",
    "TOKENIZE",
    "Ensured",
    "Job",
    "Pinned",
    "Program",
    "active",
    "alone",
    "check_age",
    "check_untouched",
    "commit_beginning",
    "ensure",
    "start",
    "stop",
    "stop_all",
]
