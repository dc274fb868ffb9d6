# The two commands: `make demo` shows it working, `make test` shows that it keeps working.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
UV := VIRTUAL_ENV=$(VENV) $(RUN)/uv

.PHONY: demo test test-gpu chaos observe soak check bench clean

demo: $(VENV)/ready
	$(RUN)/headrace demo

# Two at a time, each with a broker of its own: much of a test is waiting for checkpoints and for what was killed.
test: check
	$(RUN)/pytest -n 2 --dist loadfile --no-loadscope-reorder tests/policy tests/unit tests/integration tests/fault

# On a machine with a CUDA device; elsewhere each is skipped and says why.
test-gpu: $(VENV)/ready
	$(RUN)/pytest tests/gpu

# Breaks a running stack N times at points drawn from SEED, then proves that nothing was lost or doubled.
N ?= 20
SEED ?= 1
chaos: $(VENV)/ready
	$(RUN)/python -m tests.fault -n $(N) --seed $(SEED)

# A stack under a real Prometheus: text flows, faults happen, every panel and every root alert has to show it.
observe: $(VENV)/ready
	$(RUN)/python -m tests.observe

# What takes long: backlogs, outages, twenty minutes of a slow trainer. Not part of `make test`.
soak: $(VENV)/ready
	$(RUN)/pytest --timeout=2400 --durations=0 tests/soak

check: $(VENV)/ready
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

# All of them, or `make bench NAME=publish_vs_produce`.
bench: $(VENV)/ready
	$(RUN)/python -m benchmarks $(NAME)

# The doctor needs nothing but Python, so it runs before anything is downloaded and says what is missing.
$(VENV)/ready: requirements/dev.txt requirements/uv.txt pyproject.toml
	$(PYTHON) -m headrace.doctor --before-install
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(UV) pip sync --quiet --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# What can be made again. Data (data/, demo/) stays.
clean:
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis $(VENV)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
