"""Log events that others count on: the stations of a recovery, in the order in which they pass.

Each is the `event` of a JSON line in logs/trainer.log; what else such a line holds stands beside it. The moment of a
kill, and which steps were trained before, no process can log: the first is known to whoever kills, the second stands in
`train.steps`.
"""

from __future__ import annotations

RANK_ENDED = "rank ended"
"""Fleet: one rank is gone though nobody told it to end. rank, pid, code."""
RANKS_GONE = "ranks gone"
"""Fleet: the others have ended too. code: what all of them together mean."""
RANKS_STARTED = "ranks started"
"""Fleet: every rank has a process. pids, by rank; restarts."""
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
