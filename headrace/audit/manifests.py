"""The manifests of a run, of its checkpoints and of those whose weights are gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headrace.audit.findings import Findings
from headrace.checkpoints import name_of
from headrace.contract.errors import Coordinate, RecordError, SchemaError
from headrace.contract.training import MANIFEST, Manifest


def read_manifests(run_dir: Path, findings: Findings) -> list[Manifest]:
    """All manifests in <run_dir>/step-*/manifest.json and <run_dir>/history/*.json, by step.

    One that cannot be read, or that lies under another step's or run's name, is named and left out. A torn newest one
    is left out without a word: it does not count, and the run goes on from its parent. One of another version is whole.
    """
    found: dict[int, Manifest] = {}
    unreadable: dict[str, RecordError] = {}
    for path, text in _files(run_dir):
        name = path.parent.name if path.name == MANIFEST else path.stem
        try:
            manifest = Manifest.decode(text, Coordinate(str(path), 0, 0))
        except RecordError as error:
            unreadable[name] = error
            continue
        if name != name_of(manifest.step) or manifest.run != run_dir.name:
            findings.add("wrong_manifest", f"{path} is of step {manifest.step} of run {manifest.run}")
        else:
            found[manifest.step] = manifest
    newest = name_of(max(found, default=-1))
    for name, flaw in unreadable.items():
        if name < newest or isinstance(flaw, SchemaError):
            findings.add("unreadable", str(flaw))
    return [found[step] for step in sorted(found)]


def _files(run_dir: Path) -> Iterator[tuple[Path, bytes]]:
    """The history is listed last: a manifest that moves there meanwhile is found there."""
    for pattern in (f"step-*/{MANIFEST}", "history/step-*.json"):
        for path in sorted(run_dir.glob(pattern)):
            try:
                yield path, path.read_bytes()
            except FileNotFoundError:
                continue
