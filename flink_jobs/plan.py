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
    """The same plan, as JSON, with every node once that does the same to the same inputs as another."""
    read = orjson.loads(CORRELATED.sub("$cor0", plan))
    inputs: dict[int, list[int]] = {node["id"]: [] for node in read["nodes"]}
    for edge in read["edges"]:
        inputs[edge["target"]].append(edge["source"])
    one_of: dict[bytes, int] = {}
    stands_for: dict[int, int] = {}
    for node in read["nodes"]:  # each behind its inputs
        what = {**node, "id": 0, "inputs": [stands_for[source] for source in inputs[node["id"]]]}
        stands_for[node["id"]] = one_of.setdefault(orjson.dumps(what), node["id"])
    kept = set(one_of.values())
    read["nodes"] = [node for node in read["nodes"] if node["id"] in kept]
    read["edges"] = [{**edge, "source": stands_for[edge["source"]]} for edge in read["edges"] if edge["target"] in kept]
    return orjson.dumps(read).decode()
