"""Encoding as the tokenize job does it, one document after another, against Hugging Face's `encode_batch_fast` of all.

    python -m benchmarks.encode_vs_hf [--megabytes 30]

One core each, in turn, the same texts (long film reviews) and the tokenizer shipped; all ids must be equal. CPU seconds
are counted. Ours pays for each document's array and its check for special ids as well.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from itertools import cycle

from benchmarks.results import tell
from flink_jobs.text.tokens import Encoder
from headrace.contract.settings import load
from headrace.local.corpora import reviews


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--megabytes", type=float, default=30)
    wanted = arguments.parse_args().megabytes * 1e6
    os.environ["RAYON_NUM_THREADS"] = os.environ["TOKENIZERS_PARALLELISM"] = "1"
    settings = load(environment={}).settings
    encoder = Encoder.load(settings.tokenizer_file)
    texts: list[str] = []
    size = 0
    for review in cycle(reviews(settings.cache_dir)):
        if size > wanted:
            break
        if review.source == "imdb":
            texts.append(review.text)
            size += len(review.text.encode())
    encoder.encode(texts[0])

    begun = time.process_time()
    ours = [encoder.encode(text) for text in texts]
    ours_s = time.process_time() - begun
    begun = time.process_time()
    theirs = encoder.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    theirs_s = time.process_time() - begun
    begun = time.process_time()
    for text in texts:
        encoder.encode(text)
    again_s = time.process_time() - begun
    if any(mine[:-1].tolist() != its.ids for mine, its in zip(ours, theirs, strict=True)):
        print("some ids differ")
        return 1
    for name, seconds in (("ours", ours_s), ("ours again", again_s), ("encode_batch_fast", theirs_s)):
        print(f"{name}: {len(texts):,} texts, {size / 1e6:.1f} MB, {seconds:.2f} s, {size / 1e6 / seconds:.1f} MB/s")
    return 0 if tell("encode_vs_hf", theirs_s / ours_s) else 1


if __name__ == "__main__":
    sys.exit(main())
