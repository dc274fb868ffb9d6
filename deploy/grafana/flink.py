"""The two jobs, and the processes that carry them."""

from __future__ import annotations

from deploy.grafana.panels import Board, Panel

HEAP = "flink_taskmanager_Status_JVM_Memory_Heap_"
TASK = "flink_taskmanager_job_task_"
FLINK = Board(
    "headrace-flink",
    "Headrace: Flink",
    "The two jobs, and the processes that carry them, by Flink's own metrics.",
    (
        Panel(
            "Do the jobs run?",
            "Jobs that run, those that the jobs' supervisor finds, and how often it has submitted them.",
            "none",
            [
                ("max(flink_jobmanager_numRunningJobs)", "running"),
                ("min by (job_name) (headrace_job_present)", "{{job_name}}"),
                ("sum(headrace_job_submissions_total)", "submissions"),
            ],
            kind="now",
        ),
        Panel(
            "Is there room for them?",
            "TaskManagers, and slots that nobody has.",
            "none",
            [
                ("max(flink_jobmanager_numRegisteredTaskManagers)", "TaskManagers"),
                ("max(flink_jobmanager_taskSlotsTotal)", "slots"),
                ("max(flink_jobmanager_taskSlotsAvailable)", "free slots"),
            ],
            kind="now",
        ),
        Panel(
            "Do they go back?",
            "To the last checkpoint, since they were submitted.",
            "none",
            [("max by (job_name) (flink_jobmanager_job_numRestarts)", "{{job_name}}")],
        ),
        Panel(
            "Do checkpoints finish?",
            "Milliseconds that the last one took. What it covers is seen by others only then.",
            "ms",
            [("max by (job_name) (flink_jobmanager_job_lastCheckpointDuration)", "{{job_name}}")],
        ),
        Panel(
            "How large is the state, and do checkpoints fail?",
            "Bytes of the last one; failed ones since the job was submitted.",
            "bytes",
            [
                ("max by (job_name) (flink_jobmanager_job_lastCheckpointFullSize)", "{{job_name}}"),
                ("max by (job_name) (flink_jobmanager_job_numberOfFailedCheckpoints)", "{{job_name}}, failed"),
            ],
        ),
        Panel(
            "Is a transaction lost?",
            "Commits that failed: records that are gone, or what was committed before a failover. Alert CommitsFailed.",
            "none",
            [(f"sum by (job_name) ({TASK}operator_failedCommittables)", "{{job_name}}")],
        ),
        Panel(
            "Who is busy?",
            "Share of the time, by task: the first busy one behind a task that waits is the slow one.",
            "percentunit",
            [
                (f"max by (job_name, task_name) ({TASK}busyTimeMsPerSecond) / 1000", "{{job_name}}: {{task_name}}"),
            ],
        ),
        Panel(
            "Who waits for the next task?",
            "Share of the time under back pressure.",
            "percentunit",
            [
                (
                    f"max by (job_name, task_name) ({TASK}backPressuredTimeMsPerSecond) / 1000",
                    "{{job_name}}: {{task_name}}",
                )
            ],
        ),
        Panel(
            "What passes?",
            "Records a second out of each task.",
            "short",
            [(f"sum by (job_name, task_name) ({TASK}numRecordsOutPerSecond)", "{{job_name}}: {{task_name}}")],
        ),
        Panel(
            "Is the heap enough?",
            "Used, and the most that it may take.",
            "bytes",
            [(f"max({HEAP}Used)", "used"), (f"max({HEAP}Max)", "most")],
        ),
        Panel(
            "Does it collect garbage instead?",
            "Milliseconds a second.",
            "ms",
            [("max(flink_taskmanager_Status_JVM_GarbageCollector_All_TimeMsPerSecond)", "all collectors")],
        ),
        Panel(
            "How long since each loop came round?",
            "Of all processes of ours; a hung one is not healthy.",
            "s",
            [("max by (job) (time() - headrace_loop_last_turn_timestamp_seconds)", "{{job}}")],
        ),
    ),
)
