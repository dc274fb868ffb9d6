"""Compiled plans in which what branches have in common is there once."""

from __future__ import annotations

import re

import orjson
from pyflink.table import CompiledPlan, PlanReference, StreamTableEnvironment

CORRELATED = re.compile(r"\$cor\d+")
"""Flink numbers the rows that an UNNEST takes apart, anew in each branch: to its search for equal parts they differ."""


def compile_shared(env: StreamTableEnvironment, insert: str) -> CompiledPlan:
    """The plan of an INSERT whose branches share all that they do alike: else Python is called for each of them."""
    plan = env.create_statement_set().add_insert_sql(insert).compile_plan()
    shared = env.load_plan(PlanReference.from_json_string(share(plan.as_json_string())))
    return CompiledPlan(shared._j_compiled_plan, env)  # load_plan of PyFlink 2.3.0 gives it Java's environment instead


def share(plan: str) -> str:
    """The same plan, as JSON, with every node once that does the same to the same inputs as another.

    Right where equal nodes give equal rows: a query that draws random numbers in two branches would get the same ones.
    """
    read = orjson.loads(CORRELATED.sub("$cor0", plan))
    first: dict[bytes, int] = {}  # by what a node does: the first that does it
    stands: dict[int, int] = {}  # by node: the one that stands for it
    for node in read["nodes"]:  # each behind its inputs
        inputs = [edge for edge in read["edges"] if edge["target"] == node["id"]]
        for edge in inputs:
            edge["source"] = stands[edge["source"]]
        does = {**node, "id": 0, "inputs": [{**edge, "target": 0} for edge in inputs]}
        stands[node["id"]] = first.setdefault(orjson.dumps(does), node["id"])
    kept = set(first.values())
    read["nodes"] = [node for node in read["nodes"] if node["id"] in kept]
    read["edges"] = [edge for edge in read["edges"] if edge["target"] in kept]
    return orjson.dumps(read).decode()
