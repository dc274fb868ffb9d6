"""Log events that others count on: the stations of a recovery, in the order in which they pass.

Each is the `event` of a JSON line in logs/trainer.log; what else such a line holds stands beside it. The moment of a
kill, and which steps were trained before, no process can log: the first is known to whoever kills, the second stands in
`train.steps`.
"""

from __future__ import annotations

RANK_ENDED = "rank ended"
"""Fleet: a rank has failed. rank, pid, code, and where it was last: step, in (the part of the step), for_s."""
RANK_STUCK = "rank stuck"
"""Fleet: a rank stays where it is for longer than trainer.watchdog_s, and is ended. rank, pid, step, in, for_s."""
RANKS_GONE = "ranks gone"
"""Fleet: the others have ended too. code: that of the rank which says why."""
RANKS_STARTED = "ranks started"
"""Fleet: every rank has a process. pids, by rank; restarts, of this fleet so far."""
GAVE_UP = "{restarts} restarts in a row came to no step that was new, the last because {why}"
"""Fleet: it ends with exit code 1, for ranks that are lost again and again it does not start once more."""
IMPORTED = "imported"
"""Rank: it has all its code, and begins. pid."""
GROUP_FORMED = "group formed"
"""Rank: all ranks have met."""
STATE_LOADED = "state loaded"
"""Rank: weights and optimizer state of a checkpoint are in memory and fit. step."""
TRAINING = "training"
"""Rank: it waits for steps. run, step, ranks, pid."""
FIRST_STEP = "first step"
"""Rank 0: the first step of this attempt is applied, which may be one that was trained before. step."""
