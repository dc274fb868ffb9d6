"""The planner's state machine: every block exactly once, in canonical order, whenever it was stopped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.contract.digests import block_digest, run_digest
from headrace.contract.errors import ContractError
from headrace.contract.plan import Origin, Step
from services.planner.log import check_follows
from services.planner.planner import Arrival, Planner, Tail

ORIGIN = Origin(cluster="c", topics={}, tokenizer="t", time=0)
LINGER_S = 2.0


def block(partition: int, offset: int) -> Arrival:
    return Arrival(partition, offset, 1 + (7 * partition + offset) % 100, block_digest(b"%d/%d" % (partition, offset)))


@st.composite
def streams(draw: st.DrawFn) -> list[Arrival]:
    """Blocks of three partitions as a consumer yields them: offsets rise inside each, with holes for the markers."""
    stream, at = [], {0: 0, 1: 0, 2: 0}
    for partition, hole in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=60)):
        offset = at[partition] + hole
        at[partition] = offset + 1
        stream.append(block(partition, offset))
    return stream


def plan(stream: list[Arrival], tail: Tail, step_blocks: int, waits: list[float]) -> list[Step]:
    """The steps that a planner closes while block i comes waits[i % n] after the one before; flushed at the end."""
    planner, steps, now = Planner(step_blocks, LINGER_S, tail), [], 0.0
    for number, arrival in enumerate(stream):
        now += waits[number % len(waits)]
        if planner.due(now):
            steps.append(planner.close(int(now)))
        planner.add(arrival, now)
        if planner.due(now):
            steps.append(planner.close(int(now)))
    return [*steps, planner.close(int(now))] if planner.held else steps


def planned(steps: list[Step], stream: list[Arrival]) -> list[Arrival]:
    """The blocks that the runs name, in the plan's order."""
    return [
        arrival
        for step in steps
        for run in step.blocks
        for arrival in sorted(stream, key=lambda arrival: arrival.offset)
        if arrival.partition == run.partition and run.first <= arrival.offset <= run.last
    ]


WAITS = st.lists(st.floats(0, 3), min_size=1, max_size=9)


@given(streams(), st.integers(1, 9), WAITS)
def test_every_block_is_planned_exactly_once(stream: list[Arrival], step_blocks: int, waits: list[float]) -> None:
    steps = plan(stream, Tail(), step_blocks, waits)
    assert sorted(planned(steps, stream), key=repr) == sorted(stream, key=repr)
    assert sum(step.tokens for step in steps) == sum(arrival.tokens for arrival in stream)


@given(streams(), st.integers(1, 9), WAITS)
def test_a_step_is_dense_ordered_and_says_what_it_holds(
    stream: list[Arrival], step_blocks: int, waits: list[float]
) -> None:
    last, tokens, positions = ORIGIN, 0, {}
    for step in plan(stream, Tail(), step_blocks, waits):
        check_follows(last, step)
        blocks = planned([step], stream)
        assert step.block_count == len(blocks) <= step_blocks
        assert [run.partition for run in step.blocks] == sorted({run.partition for run in step.blocks})
        for run in step.blocks:
            own = [arrival for arrival in blocks if arrival.partition == run.partition]
            assert (own[0].offset, own[-1].offset, len(own)) == (run.first, run.last, run.records)
            assert run.digest == run_digest(arrival.digest for arrival in own).hex()
            assert run.first >= positions.get(run.partition, 0)
            positions[run.partition] = run.last + 1
        assert step.tokens == sum(arrival.tokens for arrival in blocks)
        assert step.tokens_before == tokens
        assert step.next == positions
        last, tokens = step, tokens + step.tokens


@given(streams(), st.integers(1, 9), WAITS, st.data())
def test_a_restart_from_any_tail_plans_each_block_once(
    stream: list[Arrival], step_blocks: int, waits: list[float], data: st.DataObject
) -> None:
    steps = plan(stream, Tail(), step_blocks, waits)
    kept = steps[: data.draw(st.integers(0, len(steps)))]
    tail = Tail.after(kept[-1] if kept else ORIGIN)
    rest = [arrival for arrival in stream if arrival.offset >= tail.next.get(arrival.partition, 0)]
    again = kept + plan(rest, tail, data.draw(st.integers(1, 9)), data.draw(WAITS))
    assert sorted(planned(again, stream), key=repr) == sorted(stream, key=repr)
    assert [step.seq for step in again] == list(range(1, len(again) + 1))
    assert [step.step for step in again] == list(range(len(again)))


def test_a_step_closes_when_full_or_after_its_first_block_lingered() -> None:
    planner = Planner(3, LINGER_S, Tail())
    assert not planner.due(100.0)
    planner.add(block(0, 0), 10.0)
    assert planner.room == 2
    assert not planner.due(11.9)
    planner.add(block(0, 1), 11.9)
    assert planner.due(12.0), "counted from the first block, not from the last"
    planner.add(block(1, 0), 11.95)
    assert planner.due(11.95)
    assert planner.close(1).block_count == 3
    assert not planner.due(1000.0)
    planner.add(block(1, 1), 1000.0)
    assert not planner.due(1000.0)


def test_a_full_step_takes_no_more() -> None:
    planner = Planner(1, LINGER_S, Tail())
    planner.add(block(0, 0), 0.0)
    with pytest.raises(AssertionError, match="full"):
        planner.add(block(0, 1), 0.0)


def step(seq: int, number: int) -> Step:
    planner = Planner(1, LINGER_S, Tail(seq=seq, step=number))
    planner.add(block(0, 0), 0.0)
    return planner.close(0)


@pytest.mark.parametrize(
    ("last", "record"),
    [
        (None, step(1, 0)),
        (ORIGIN, ORIGIN),
        (ORIGIN, step(2, 0)),
        (ORIGIN, step(1, 1)),
        (step(1, 0), step(1, 0)),
        (step(1, 0), step(2, 0)),
        (step(1, 0), step(2, 2)),
        (step(1, 0), ORIGIN),
    ],
)
def test_a_record_that_does_not_follow_is_refused(last: Origin | Step | None, record: Origin | Step) -> None:
    with pytest.raises(ContractError, match="cannot follow"):
        check_follows(last, record)
