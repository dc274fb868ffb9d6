"""What two branches of a plan do alike is there once; what they do each for themselves stays."""

from __future__ import annotations

from typing import Any

import orjson

from flink_jobs.plan import share


def plan(nodes: dict[int, str], edges: list[tuple[int, int]]) -> str:
    said = {
        "nodes": [{"id": number, "type": what} for number, what in nodes.items()],
        "edges": [{"source": source, "target": target} for source, target in edges],
    }
    return orjson.dumps(said).decode()


def read(shared: str) -> tuple[dict[int, str], list[tuple[int, int]]]:
    said: dict[str, list[dict[str, Any]]] = orjson.loads(shared)
    nodes = {node["id"]: node["type"] for node in said["nodes"]}
    return nodes, [(edge["source"], edge["target"]) for edge in said["edges"]]


def test_branches_go_on_from_one_node_where_they_part() -> None:
    nodes = {
        1: "source",
        2: "unnest $cor3.a",
        3: "python",
        4: "bad",
        5: "unnest $cor7.a",
        6: "python",
        7: "good",
        8: "sink",
    }
    edges = [(1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (4, 8), (7, 8)]
    kept = {1: "source", 2: "unnest $cor0.a", 3: "python", 4: "bad", 7: "good", 8: "sink"}
    assert read(share(plan(nodes, edges))) == (kept, [(1, 2), (2, 3), (3, 4), (3, 7), (4, 8), (7, 8)])


def test_the_same_done_to_other_inputs_stays_and_so_do_sources_that_differ() -> None:
    nodes = {1: "one", 2: "other", 3: "calc", 4: "calc", 5: "union"}
    edges = [(1, 3), (2, 4), (3, 5), (4, 5)]
    assert read(share(plan(nodes, edges))) == (nodes, edges)


def test_the_order_of_inputs_counts() -> None:
    nodes = {1: "one", 2: "other", 3: "join", 4: "join", 5: "union"}
    edges = [(1, 3), (2, 3), (2, 4), (1, 4), (3, 5), (4, 5)]
    assert read(share(plan(nodes, edges))) == (nodes, edges)


def test_a_plan_without_anything_alike_stays_as_it_is() -> None:
    whole = plan({1: "source", 2: "calc", 3: "sink"}, [(1, 2), (2, 3)])
    assert share(whole) == whole
    assert share(share(whole)) == whole
