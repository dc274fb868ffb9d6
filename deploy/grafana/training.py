"""How the model learns."""

from __future__ import annotations

from deploy.grafana.panels import RATE, RUN, Board, Panel

TRAINING = Board(
    "headrace-training",
    "Headrace: Training",
    "How the model learns: loss, pace, where a step's time goes, checkpoints.",
    (
        Panel(
            "Is the loss falling?",
            "Nats a token of each step, and the mean of five minutes.",
            "none",
            [
                (f"max by (run) (headrace_trainer_loss_nats{RUN})", "{{run}}"),
                (f"max by (run) (avg_over_time(headrace_trainer_loss_nats{RUN}[5m]))", "{{run}}, 5 min"),
            ],
        ),
        Panel(
            "How fast does it learn?",
            "Tokens a second.",
            "short",
            [(f"max by (run) (rate(headrace_trainer_tokens_total{RUN}{RATE}))", "{{run}}")],
        ),
        Panel(
            "Where does a step's time go?",
            "Seconds of a step by part, mean of all ranks. `wait`: for text; `agree` and `reduce`: for other ranks.",
            "s",
            [
                (
                    f"sum by (part) (rate(headrace_trainer_seconds_total{RUN}{RATE}))"
                    f" / ignoring(part) group_left () sum(rate(headrace_trainer_steps_total{RUN}{RATE}))",
                    "{{part}}",
                )
            ],
            kind="stack",
        ),
        Panel(
            "How far is it behind the plan?",
            "Steps: the planner goes on while this is at most planner.ahead. `held back`: it waits for the trainer.",
            "none",
            [
                ("max(headrace_planner_lead_steps)", "planned, not trained"),
                ("max(headrace_planner_throttled)", "held back"),
            ],
        ),
        Panel(
            "Which step?",
            "The last one planned, and the last one that each run has trained.",
            "none",
            [
                ("max(headrace_planner_step)", "planned"),
                (f"max by (run) (headrace_trainer_step{RUN})", "{{run}}"),
            ],
        ),
        Panel(
            "How large is a planned step?",
            "Blocks, on average. Less than planner.step_blocks: steps are closed by planner.linger_s.",
            "none",
            [
                (
                    f"sum(rate(headrace_planner_blocks_total{RATE})) / sum(rate(headrace_planner_steps_total{RATE}))",
                    "blocks a step",
                )
            ],
        ),
        Panel(
            "How steep is it?",
            "Norm of the gradient before clipping. It rises before a run diverges.",
            "none",
            [(f"max by (run) (headrace_trainer_gradient_norm{RUN})", "{{run}}")],
        ),
        Panel(
            "At which rate does it learn?",
            "After warm-up as trainer.decay says; a short step learns at a lower one.",
            "sci",
            [(f"max by (run) (headrace_trainer_learning_rate{RUN})", "{{run}}")],
        ),
        Panel(
            "How old is the text of a step?",
            "The oldest in it, since publishing.",
            "s",
            [(f"max by (run) (headrace_trainer_text_age_seconds{RUN})", "{{run}}")],
        ),
        Panel(
            "How many ranks share a step?",
            "And how many updates were skipped, for a gradient that was not finite.",
            "none",
            [
                (f"max by (run) (headrace_trainer_ranks{RUN})", "{{run}}, ranks"),
                (f"max by (run) (headrace_trainer_skipped_steps_total{RUN})", "{{run}}, skipped"),
            ],
        ),
        Panel(
            "When was the last checkpoint?",
            "Seconds since.",
            "s",
            [(f"time() - max by (run) (headrace_checkpoint_last_success_timestamp_seconds{RUN})", "{{run}}")],
        ),
        Panel(
            "What does a checkpoint take?",
            "Seconds in the thread that writes it, and how many could not be written.",
            "none",
            [
                (f"max by (run) (headrace_checkpoint_duration_seconds{RUN})", "{{run}}, seconds"),
                (f"max by (run) (headrace_checkpoint_failures_total{RUN})", "{{run}}, failed"),
            ],
        ),
        Panel(
            "How large is a checkpoint?",
            "The last one of each run.",
            "bytes",
            [(f"max by (run) (headrace_checkpoint_bytes{RUN})", "{{run}}")],
        ),
    ),
)
