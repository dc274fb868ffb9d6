"""The five dashboards: each panel is a question. docs/observe.md says what moves those of Overview and Training."""

from __future__ import annotations

from deploy.grafana.flink import FLINK
from deploy.grafana.kafka import KAFKA
from deploy.grafana.overview import OVERVIEW
from deploy.grafana.text import TEXT
from deploy.grafana.training import TRAINING

BOARDS = (OVERVIEW, TEXT, TRAINING, KAFKA, FLINK)
