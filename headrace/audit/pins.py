"""Whether the offsets in plan and manifests still mean the same records: cluster and topic ids are pinned in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headrace.audit.findings import Findings
from headrace.contract.audit import VerifiedCut
from headrace.contract.errors import Coordinate
from headrace.contract.plan import Origin, decode_plan
from headrace.contract.topics import CUTS, PINNED, PLAN
from headrace.contract.training import Manifest
from headrace.kafka import Cluster

Pin = tuple[str, str, Mapping[str, str]]
"""Who pins, which cluster, which topic ids."""


def check_pins(cluster: Cluster, manifests: Sequence[Manifest], start: VerifiedCut, findings: Findings) -> bool:
    """Compare what plan, manifests and verified cut pin with the broker; False if nothing else is worth reading.

    Raises DependencyError when a topic does not exist and nothing says that it ever did.
    """
    pins: list[Pin] = [(f"manifest of step {one.step} of run {one.run}", one.cluster, one.topics) for one in manifests]
    if start.topics:
        pins.append((f"the verified cut in {CUTS}", start.cluster, start.topics))
    there = list(cluster.partitions(PINNED))
    if PLAN in there and (origin := read_origin(cluster)) is not None:
        pins.insert(0, ("the plan", origin.cluster, origin.topics))
    if not pins:
        cluster.require(PINNED)
    differences = compare(pins, cluster.id(), cluster.topic_ids(there))
    for text in differences:
        findings.add("pinned", text, documents=0)
    return not differences


def compare(pins: Iterable[Pin], cluster: str, topics: Mapping[str, str]) -> list[str]:
    """What differs, in words."""
    differences = []
    for whose, pinned_cluster, pinned in pins:
        if pinned_cluster != cluster:
            differences.append(f"{whose} belongs to cluster {pinned_cluster}, this is {cluster}")
            continue
        differences += [
            f"{whose} pins topic {name} with id {then}, "
            + (f"here it has {topics[name]}: it was made again" if name in topics else "here it does not exist")
            for name, then in pinned.items()
            if topics.get(name) != then
        ]
    return differences


def read_origin(cluster: Cluster) -> Origin | None:
    """The first record of the plan if it is an origin."""
    first, end = cluster.first_offsets(PLAN)[0], cluster.end_offsets(PLAN)[0]
    for message in cluster.read(PLAN, 0, first, end):
        record = decode_plan(message.value(), Coordinate(PLAN, 0, message.offset()))
        return record if isinstance(record, Origin) else None
    return None
