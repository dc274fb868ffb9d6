#!/usr/bin/env bash
# Lock every kind of machine: one file per extra, with hashes, for Python 3.11 and 3.12 alike.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --custom-compile-command "requirements/compile.sh" pyproject.toml "${@:2}" -o "requirements/$1.txt"; }
lock dev --extra dev
echo "uv==$(grep -oP '^uv==\K\S+' requirements/dev.txt)" |
    uv pip compile --quiet --generate-hashes --no-emit-index-url \
        --custom-compile-command "requirements/compile.sh" - -o requirements/uv.txt
for extra in kafka flink trainer local demo; do lock "$extra" --extra "$extra" -c requirements/dev.txt; done
lock publisher -c requirements/dev.txt
lock parquet --extra parquet -c requirements/dev.txt
lock tensorboard --extra trainer --extra tensorboard -c requirements/dev.txt
lock oracle --extra oracle
