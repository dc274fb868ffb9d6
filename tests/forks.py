"""Processes of tests as forks of one that has imported torch and transformers: else each imports them for ten seconds.

A process has one fork server, which imports what was wanted when it started: so everybody wants the same.
"""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "trainer.fleet",
        "trainer.__main__",
        "transformers.models.llama.modeling_llama",
        "transformers.models.gpt2.modeling_gpt2",
    ]
)
