# The ranks. One image for CPU and CUDA: torch's wheel brings CUDA, the host brings the driver.
# Built by docker-compose.yml from the repository root; what it copies stands in .dockerignore.
ARG PYTHON_IMAGE

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /headrace
COPY requirements/uv.txt requirements/trainer.txt requirements/
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --quiet --require-hashes -r requirements/uv.txt
RUN python -m venv --without-pip /opt/venv && VIRTUAL_ENV=/opt/venv /opt/uv/bin/uv pip sync --quiet --require-hashes requirements/trainer.txt

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --no-create-home --home-dir /tmp headrace && install --directory --owner=headrace --group=headrace /data /data/run
WORKDIR /headrace
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/headrace PYTHONUNBUFFERED=1 TZ=UTC
COPY --from=build /opt/venv /opt/venv
COPY deploy/docker deploy/docker
COPY headrace headrace
COPY flink_jobs/tokenizer flink_jobs/tokenizer
COPY trainer trainer
COPY deploy/docker/headrace /usr/local/bin/headrace
RUN python -m compileall -q .
USER 10001:10001
