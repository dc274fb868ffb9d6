"""Flink as its REST API shows it: jobs, checkpoints, stopping with a savepoint. And its state as it lies on disk."""

from __future__ import annotations

import json
import re
import struct
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headrace.contract.errors import ContractError, DependencyError, HeadraceError
from headrace.contract.settings import Settings

ACTIVE = ("INITIALIZING", "CREATED", "RUNNING", "FAILING", "RESTARTING", "RECONCILING", "SUSPENDED", "CANCELLING")
"""States in which a job holds its place: a second one of its name would fence its transactions."""

FAILED_COMMITS = ".failedCommittables"
METADATA = "_metadata"
MAGIC = 0x4960672D
HEADER = struct.Struct(">IiQ")
"""How every `_metadata` begins (Flink's Checkpoints.storeCheckpointMetadata): magic, version, checkpoint id."""

SPLIT = struct.Struct(">iqq")
NO_END = -(2**63)


def rest_of(settings: Settings) -> str:
    """Address of the JobManager: the setting, else the local stack's."""
    return settings.flink.rest.rstrip("/") or f"http://127.0.0.1:{settings.local.ports.flink}"


@dataclass(frozen=True)
class RunningJob:
    """One job as the cluster lists it. `tasks_running` is true when every task of it runs."""

    id: str
    name: str
    state: str
    start_ms: int
    tasks_running: bool

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


class FlinkRest:
    """The JobManager at `rest`. Every call blocks up to `timeout_s`; without an answer it raises DependencyError."""

    def __init__(self, rest: str, timeout_s: float = 5.0) -> None:
        self.rest = rest
        self.timeout_s = timeout_s

    def slots(self) -> int:
        """Slots that TaskManagers offer now."""
        return int(self._call("GET", "/overview")["slots-total"])

    def jobs(self) -> list[RunningJob]:
        """All jobs that this JobManager remembers, ended ones too; it forgets all when it restarts."""
        return [
            RunningJob(
                job["jid"],
                job["name"],
                job["state"],
                int(job["start-time"]),
                job["tasks"]["total"] > 0 and job["tasks"]["running"] == job["tasks"]["total"],
            )
            for job in self._call("GET", "/jobs/overview")["jobs"]
        ]

    def job(self, job_id: str) -> str:
        """The state of one job."""
        return str(self._call("GET", f"/jobs/{job_id}")["state"])

    def last_checkpoint(self, job_id: str) -> dict[str, Any] | None:
        """Flink's record of the last finished checkpoint, None before the first."""
        found: dict[str, Any] | None = self._call("GET", f"/jobs/{job_id}/checkpoints")["latest"]["completed"]
        return found

    def completed(self, job_id: str) -> int:
        """How many checkpoints this job has completed; their numbers go on from those of an earlier one."""
        return int(self._call("GET", f"/jobs/{job_id}/checkpoints")["counts"]["completed"])

    def restored(self, job_id: str) -> int | None:
        """The number of the state that the job last began or went on from; None if it began without."""
        latest = self._call("GET", f"/jobs/{job_id}/checkpoints")["latest"]["restored"]
        return int(latest["id"]) if latest else None

    def failed_commits(self, job_id: str) -> int:
        """Transactions that could not be committed, which the sinks only log; since the last restart of their tasks."""
        failed = 0
        for vertex in self._call("GET", f"/jobs/{job_id}")["vertices"]:
            path = f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics"
            names = [one["id"] for one in self._call("GET", path) if one["id"].endswith(FAILED_COMMITS)]
            found = self._call("GET", f"{path}?agg=sum&get={quote(','.join(names))}") if names else []
            failed += sum(round(one["sum"]) for one in found)
        return failed

    def root_cause(self, job_id: str) -> str:
        """The last line of the deepest exception of a job, empty if there is none."""
        entries = self._call("GET", f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        causes = (
            [line for line in entries[0]["stacktrace"].splitlines() if not line.startswith("\t")] if entries else [""]
        )
        return str(causes[-1])

    def stop(self, job_id: str, savepoints: Path, timeout_s: float) -> str:
        """Stop a running job with a savepoint below `savepoints`; returns its path when the job has ended.

        Blocks until then. Raises HeadraceError when Flink cannot take the savepoint; the job then goes on.
        """
        order = {"targetDirectory": savepoints.as_uri(), "drain": False, "formatType": "NATIVE"}
        trigger = self._call("POST", f"/jobs/{job_id}/stop", order)["request-id"]
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            answer = self._call("GET", f"/jobs/{job_id}/savepoints/{trigger}")
            if answer["status"]["id"] == "COMPLETED":
                operation = answer["operation"]
                if "failure-cause" in operation:
                    raise HeadraceError(f"job {job_id}: no savepoint: {operation['failure-cause']['class']}")
                return str(operation["location"]).removeprefix("file:")
            time.sleep(0.1)
        raise HeadraceError(f"job {job_id}: no savepoint within {timeout_s:.0f} s")

    def cancel(self, job_id: str) -> None:
        """End a job without a savepoint; its last checkpoint stays. Returns at once."""
        self._call("PATCH", f"/jobs/{job_id}?mode=cancel")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(f"{self.rest}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                return json.loads(answer.read() or b"null")
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise DependencyError(f"Flink at {self.rest}: {method} {path}: {error}") from None


@dataclass(frozen=True)
class SavedState:
    """A checkpoint or savepoint on disk. `number` rises over all, whichever job wrote them; `time`: epoch seconds."""

    path: Path
    number: int
    time: float


def newest_state(folder: Path) -> SavedState | None:
    """The highest-numbered checkpoint or savepoint in a job's own directory, over all job ids; None if there is none.

    Only what has `_metadata` is complete. Raises ContractError when one of these cannot be read: it may be the newest,
    and going on from an older one would show what was committed after it a second time.
    """
    complete = [
        *folder.glob(f"checkpoints/*/chk-*/{METADATA}"),
        *folder.glob(f"savepoints/*/{METADATA}"),
    ]
    return max((_saved(metadata) for metadata in complete), key=lambda state: state.number, default=None)


def positions(state: SavedState, topic: str) -> dict[int, int]:
    """Up to where the state counts the records of a topic as read, by partition; of partitions not read yet nothing.

    As the Kafka connector writes a split: topic, partition, next offset (negative: not begun), no end. None at all if
    there are so many that Flink puts them into a file of their own.
    """
    content = (state.path / METADATA).read_bytes()
    name = struct.pack(">H", len(topic)) + topic.encode()
    found: dict[int, int] = {}
    for place in re.finditer(re.escape(name), content):
        if len(content) - place.end() >= SPLIT.size:
            partition, offset, end = SPLIT.unpack_from(content, place.end())
            if end == NO_END and offset >= 0:
                found[partition] = max(offset, found.get(partition, 0))
    return found


def _saved(metadata: Path) -> SavedState:
    with metadata.open("rb") as file:
        head = file.read(HEADER.size)
    magic, _, number = HEADER.unpack(head) if len(head) == HEADER.size else (0, 0, 0)
    named = re.fullmatch(r"chk-(\d+)", metadata.parent.name)
    if magic != MAGIC or (named and int(named.group(1)) != number):
        raise ContractError(
            f"{metadata} cannot be read as Flink's state: it may be the newest, so nothing older is used. Restore it"
            " from a copy; remove its folder only if you know that the job never finished that checkpoint"
        )
    return SavedState(metadata.parent, number, metadata.stat().st_mtime)
