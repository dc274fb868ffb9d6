"""Ctrl-C while documents flow through the demo; tests/integration/test_demo.py has it while the demo starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_demo import data, documents, interrupt

__all__ = ["data", "documents"]  # fixtures


@pytest.mark.timeout(400)
def test_ctrl_c_in_mid_stream_leaves_nothing(data: Path, documents: Path) -> None:
    interrupt(data, documents, "publishing")
