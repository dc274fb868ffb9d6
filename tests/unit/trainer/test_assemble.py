"""Records in, steps out: every way in which plan and blocks can contradict each other or the checkpoint."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fleet_of_tests import make_steps
from hypothesis import given
from hypothesis import strategies as st

from headrace.contract.errors import ContractError, Coordinate, RecordError
from headrace.contract.plan import Origin, Step
from trainer.assemble import Assembler, Pins, Position, Share, Work
from trainer.proof import Fetched, LeafFacts, check_fed, read_and_hash

ORIGIN = Origin(cluster="c", topics={"tokens.blocks": "b", "text.raw": "r"}, tokenizer="t", time=0)
PINS = Pins("c", {"tokens.blocks": "b", "text.raw": "r"}, "t")
ALL = Share(0, 1, 2)
FIRST = Position(1, 0, 0)
PLANNED = make_steps("t", 12)


def assembler(position: Position = FIRST, share: Share = ALL, pins: Pins = PINS) -> Assembler:
    return Assembler(position, share, pins)


def give_plan(to: Assembler, *records: Origin | Step) -> None:
    for record in records:
        to.add_plan(Coordinate("train.plan", 0, 2 * record.seq), record.encode())


def steps_of(planned: Any) -> list[Step]:
    return [step for step, _ in planned]


@given(st.integers(0, 2**32), st.integers(0, 11), st.integers(1, 4))
def test_steps_come_whole_and_in_order_however_records_arrive(seed: int, start: int, ranks: int) -> None:
    """Blocks of a partition come in order; everything else may come in any order, also after a resume."""
    step = PLANNED[start][0]
    position = Position(step.seq, step.step, step.tokens_before)
    todo: list[list[Any]] = [
        [ORIGIN, *steps_of(PLANNED[max(start - 1, 0) :])],
        *([one for _, blocks in PLANNED[start:] for one in blocks if one.at.partition == p] for p in (0, 1)),
    ]
    dice = np.random.default_rng(seed)
    shares = [assembler(position, Share(rank, ranks, 2)) for rank in range(ranks)]
    got: list[list[Work]] = [[] for _ in shares]
    while any(todo):
        queue = todo[dice.choice([i for i, queue in enumerate(todo) if queue])]
        record = queue.pop(0)
        for one, works in zip(shares, got, strict=True):
            give_plan(one, record) if isinstance(record, Origin | Step) else one.add_block(record)
            works += one.ready()
    for number, (step, blocks) in enumerate(PLANNED[start:]):
        assert all(works[number].step == step for works in got)
        assert [one for works in got for one in works[number].blocks] == blocks
        assert len({works[number].digest for works in got}) == 1
    assert all(size == 0 for one in shares for size in one.waiting_bytes.values())


def test_where_blocks_begin_is_known_from_the_record_before() -> None:
    fresh, later = assembler(), assembler(Position(6, 5, PLANNED[5][0].tokens_before))
    give_plan(fresh, ORIGIN)
    assert fresh.starts == {}
    give_plan(later, ORIGIN)
    assert later.starts is None
    give_plan(later, PLANNED[4][0])
    assert later.starts == PLANNED[4][0].next
    assert not later.steps, "the record before was trained already"


@pytest.mark.parametrize(
    ("pins", "said"),
    [
        (replace(PINS, cluster="x"), "cluster c, this run is of x"),
        (replace(PINS, tokenizer="x"), "tokenizer t, this run is of x"),
        (replace(PINS, topics={"tokens.blocks": "x"}), "tokens.blocks with id b, this run of x"),
    ],
)
def test_a_plan_of_other_data_is_refused_naming_both(pins: Pins, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        give_plan(assembler(pins=pins), ORIGIN)


def test_a_checkpoint_of_another_plan_is_refused() -> None:
    with pytest.raises(RecordError, match="not of one plan"):
        give_plan(assembler(Position(2, 1, 1)), ORIGIN, PLANNED[0][0])
    with pytest.raises(RecordError, match="has seq 3, the record before it was expected: seq 1"):
        give_plan(assembler(Position(2, 1, PLANNED[0][0].tokens)), PLANNED[2][0])


@pytest.mark.parametrize("change", [{"seq": 3}, {"step": 2}, {"tokens_before": 1}])
def test_a_gap_in_the_plan_is_named(change: dict[str, int]) -> None:
    first, second = steps_of(PLANNED[:2])
    with pytest.raises(RecordError, match=r"train\.plan\[0\]@.*the plan has a gap"):
        give_plan(assembler(), ORIGIN, first, second.model_copy(update=change))


def big_step() -> tuple[Step, list[Fetched]]:
    """The first step, with a run of at least two blocks."""
    return next((step, blocks) for step, blocks in make_steps("t", 1, seed=3) if step.blocks[-1].records > 1)


def feed(step: Step, blocks: list[Fetched]) -> list[Work]:
    one = assembler()
    give_plan(one, ORIGIN, step)
    for block in blocks:
        one.add_block(block)
    return list(one.ready())


def test_fewer_blocks_in_a_run_than_planned_is_named() -> None:
    step, blocks = big_step()
    last = blocks[-1]
    beyond = replace(last, at=replace(last.at, offset=last.at.offset + 1))
    said = rf"tokens\.blocks\[1\]@{beyond.at.offset}: comes after {step.blocks[-1].records - 1} blocks"
    with pytest.raises(RecordError, match=said):
        feed(step, [*blocks[:-1], beyond])


def test_a_block_that_no_step_has_is_named() -> None:
    step, blocks = big_step()
    run = step.blocks[0]
    later = step.model_copy(update={"blocks": (run._replace(first=run.first + 1), *step.blocks[1:])})
    with pytest.raises(RecordError, match=r"tokens\.blocks\[0\]@0: stands in no step"):
        feed(later, blocks)


def test_markers_inside_a_run_are_no_blocks() -> None:
    """Offsets have holes where transactions ended; a run says how many records there are."""
    step, blocks = big_step()
    run = step.blocks[-1]
    spread = [replace(one, at=replace(one.at, offset=one.at.offset * 3)) for one in blocks]
    wide = step.model_copy(
        update={"blocks": tuple(r._replace(first=r.first * 3, last=r.last * 3) for r in step.blocks)}
    )
    (work,) = feed(wide, spread)
    assert len(work.blocks) == sum(r.records for r in step.blocks)
    assert run.records > 1


def test_what_is_missing_is_said() -> None:
    step, blocks = big_step()
    one = assembler()
    give_plan(one, ORIGIN, step)
    for block in blocks[:-1]:
        one.add_block(block)
    assert list(one.ready()) == []
    assert f"step 0 waits for 1 of the {step.blocks[-1].records} blocks" in one.missing()


def facts(step: Step, blocks: list[Fetched]) -> list[LeafFacts]:
    read, digests = read_and_hash(blocks, "t")
    return [LeafFacts(0, digests, sum(len(block.tokens) for block in read), 0, {})]


def test_what_was_fed_is_compared_with_the_plan() -> None:
    step, blocks = big_step()
    check_fed(step, facts(step, blocks))
    run = step.blocks[-1]
    for wrong in ([*blocks[:-2], blocks[-1], blocks[-2]], [*blocks[:-1], blocks[-2]]):
        with pytest.raises(ContractError, match=f"blocks {run.first} to {run.last} of partition 1: fed .*{run.digest}"):
            check_fed(step, facts(step, wrong))
    with pytest.raises(ContractError, match=f"{len(blocks) - 1} blocks were fed, {len(blocks)} are planned"):
        check_fed(step, facts(step, blocks[:-1]))
    with pytest.raises(ContractError, match="tokens were fed"):
        check_fed(step.model_copy(update={"tokens": step.tokens + 1}), facts(step, blocks))


def test_a_block_of_another_tokenizer_is_named() -> None:
    with pytest.raises(RecordError, match=r"tokens\.blocks\[.*was made with tokenizer t, the run's is other"):
        read_and_hash(PLANNED[0][1], "other")
