"""What an operator looks at first."""

from __future__ import annotations

from deploy.grafana.panels import CLEAN, RATE, REJECTED, RUN, Board, Panel

JOBS = '{consumergroup=~".*(clean|tokenize)"}'
OVERVIEW = Board(
    "headrace-overview",
    "Headrace: Overview",
    "Is text flowing, is it good, how old is what the model learns from, is all well, is the model getting better?",
    (
        Panel(
            "Is everything up?",
            "1: the part answers. `supervised`: as the supervisor of a stack without containers sees it, broker too.",
            "none",
            [("min by (job) (up)", "{{job}}"), ("min by (part) (headrace_part_up)", "{{part}}, supervised")],
            kind="now",
        ),
        Panel(
            "What is wrong now?",
            "Alerts that fire; each says in its runbook what to do.",
            "none",
            [
                ('count by (alertname, part) (ALERTS{alertstate="firing"})', "{{alertname}} {{part}}"),
                ('count(ALERTS{alertstate="firing"}) or vector(0)', "in all"),
            ],
            kind="now",
        ),
        Panel(
            "Is text flowing?",
            "Documents a second: published, accepted, in blocks. What lies between two lines is rejected, or waits.",
            "short",
            [
                (f'sum(rate(kafka_topic_partition_current_offset{{topic=~".*text.raw"}}{RATE}))', "published"),
                (f'sum(rate(headrace_documents_total{{stage="clean",outcome="accepted"}}{RATE}))', "accepted"),
                (f"sum(rate(headrace_window_documents_total{RATE}))", "in blocks"),
            ],
        ),
        Panel(
            "Who has still to read, and how much?",
            "Records before each stage; before the trainer, steps. A line that rises is a stage that is too slow.",
            "short",
            [
                (f"sum by (consumergroup) (kafka_consumergroup_lag_sum{JOBS})", "{{consumergroup}}"),
                ("max(headrace_planner_lag_offsets)", "planner, blocks"),
                ("max(headrace_planner_lead_steps)", "trainer, steps"),
            ],
        ),
        Panel(
            "How old is the text at each stage?",
            "Since publishing, when it comes out of each stage. Windows and Flink's checkpoints make seconds of it.",
            "s",
            [
                ("max by (stage) (headrace_text_age_seconds)", "{{stage}}"),
                (f"max(headrace_trainer_text_age_seconds{RUN})", "gradient"),
            ],
        ),
        Panel(
            "What share of the documents is rejected?",
            "Of those that came in. Text quality says why.",
            "percentunit",
            [
                (
                    f"sum(rate(headrace_documents_total{REJECTED}{RATE}))"
                    f" / sum(rate(headrace_documents_total{CLEAN}{RATE}))",
                    "rejected",
                )
            ],
        ),
        Panel(
            "How many tokens a second are learned?",
            "By run. 0 while nothing comes, or while it stands still.",
            "short",
            [(f"max by (run) (rate(headrace_trainer_tokens_total{RUN}{RATE}))", "{{run}}")],
        ),
        Panel(
            "Is the model getting better?",
            "Loss in nats a token, lower is better; it jumps when the text changes.",
            "none",
            [(f"max by (run) (headrace_trainer_loss_nats{RUN})", "{{run}}")],
        ),
        Panel(
            "How much of its time does training wait for text?",
            "Near 1: the trainer is faster than the text comes. Near 0: it is the slowest part.",
            "percentunit",
            [
                (
                    f'sum by (run) (rate(headrace_trainer_seconds_total{{run=~"$run",part="wait"}}{RATE}))'
                    f" / sum by (run) (rate(headrace_trainer_seconds_total{RUN}{RATE}))",
                    "{{run}}",
                )
            ],
        ),
        Panel(
            "How much would be trained again after a crash?",
            "Since the last checkpoint.",
            "s",
            [(f"time() - max by (run) (headrace_checkpoint_last_success_timestamp_seconds{RUN})", "{{run}}")],
        ),
        Panel(
            "What was started again?",
            "Within ten minutes: processes, parts as their supervisor counts, jobs that went back to a checkpoint.",
            "none",
            [
                ("sum by (job) (changes(process_start_time_seconds[10m]))", "{{job}}"),
                ("sum by (part) (increase(headrace_part_restarts_total[10m]))", "{{part}}, supervised"),
                ("sum by (job_name) (increase(flink_jobmanager_job_numRestarts[10m]))", "job {{job_name}}"),
            ],
        ),
        Panel(
            "How much room is left?",
            "Where data lies, as the supervisor of a stack without containers sees it.",
            "bytes",
            [("min by (directory) (headrace_disk_free_bytes)", "{{directory}}")],
        ),
    ),
)
