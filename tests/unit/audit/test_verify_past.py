"""From a verified cut on, verify says what it says from the beginning on: of healthy logs, and of what breaks later."""

import dataclasses
import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from headrace.audit.blockview import BlockView
from headrace.audit.findings import Findings
from headrace.audit.past import Reread, next_cut, whole_before
from headrace.audit.report import Report
from headrace.audit.seals import Seals
from headrace.audit.verify import verify
from headrace.contract.audit import BEGINNING, VerifiedCut
from headrace.contract.blocks import Seal
from headrace.contract.documents import RejectedHeaders
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, CLEAN, PLAN, RAW, REJECTED, STEPS, WINDOWS
from tests.unit.audit.pieces import RUN, Packed
from tests.unit.audit.world import World, change_report, replan

ALWAYS = 1 << 60
FEW = profile(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cut_of(world: World, seq: int, start: VerifiedCut = BEGINNING) -> VerifiedCut:
    logs = world.logs(start)
    report, planned = verify(logs, world.manifests, RUN, Settings(), Findings())
    assert report.holds, report.wrong()
    cut = next_cut(Reread(logs), planned, seq, ALWAYS, Settings().tokenize.shards)
    assert cut is not None
    return cut


def logs_of(world: World) -> dict[str, dict[int, list]]:
    return {
        RAW: world.raw,
        CLEAN: world.clean_log,
        REJECTED: world.rejected,
        BLOCKS: world.blocks,
        WINDOWS: {0: world.windows},
        PLAN: {0: world.plan},
    }


def first_ahead(cut: VerifiedCut, name: str, part: int) -> int:
    """The first offset that is neither past nor planned before the cut."""
    if name == BLOCKS:
        return max(cut.next.get(part, 0), cut.position(name, part))
    return cut.position(name, part) + (name == PLAN)


def above(world: World, cut: VerifiedCut) -> list[tuple[list, int]]:
    """Every record that is not past: its log and its place there."""
    return [
        (log, at)
        for name, of_topic in logs_of(world).items()
        for part, log in of_topic.items()
        for at in range(first_ahead(cut, name, part), len(log))
        if log[at] is not None and at not in cut.skips(name, part)
    ]


def delete_past(world: World, cut: VerifiedCut) -> None:
    """What retention does: nothing is left below the cut, in any topic but the plan."""
    for name in (RAW, CLEAN, REJECTED, BLOCKS, WINDOWS):
        for part, log in logs_of(world)[name].items():
            position = cut.position(name, part)
            log[:position] = [None] * position
            world.first.setdefault(name, {})[part] = position


def verdict(report: Report) -> dict[str, object]:
    said = report.as_json()
    del said["verified_before"]
    return said


def some_world(seed: int) -> World:
    """A healthy one: drained, or with documents on their way at any stage, seals out of order, short or long steps."""
    chance = random.Random(seed)
    world = World(documents=chance.randrange(66, 84))
    world.publish()
    world.clean()
    more = chance.randrange(5)
    world.raw[1] += [f"document {world.documents + number}".encode() for number in range(more)]
    ends = {part: len(log) for part, log in world.clean_log.items()}
    world.passed = {RAW: {0: len(world.raw[0]), 1: len(world.raw[1]) - more}, CLEAN: ends}
    in_blocks = world.in_blocks()
    world.pack(leave_out=in_blocks[len(in_blocks) - chance.randrange(5) :])
    world.seal()
    last = max(seal.start for seal in world.windows)
    world.windows = [seal for seal in world.windows if seal.start != last or chance.random() < 0.5]
    for first in range(0, len(world.windows) - 3, 3):
        world.windows[first : first + 3] = chance.sample(world.windows[first : first + 3], 3)
    world.plan_steps(chance.randrange(3, 8))
    whole = world.plan
    world.plan = whole[: len(whole) - 2 * chance.randrange(3)]
    world.train()
    world.plan = whole
    return world


@FEW
@given(st.integers(0, 10**6), st.data())
def test_from_any_cut_healthy_logs_have_the_same_counts(seed: int, data: st.DataObject) -> None:
    """From a cut, from a cut that was made by way of another, and when what is past has been deleted."""
    world = some_world(seed)
    whole = verdict(world.verify())
    last = world.manifests[-1].seq
    first = data.draw(st.integers(1, last))
    second = data.draw(st.integers(first, last))
    one = cut_of(world, first)
    both = cut_of(world, second, one)
    assert (one.seq, both.seq) == (first, second)
    assert both == cut_of(world, second)
    assert verdict(world.verify(one)) == verdict(world.verify(both)) == whole
    delete_past(world, one)
    assert cut_of(world, second, one) == both
    delete_past(world, both)
    assert verdict(world.verify(both)) == whole
    assert not world.verify().holds or both.counts.published == 0


@FEW
@given(st.integers(0, 10**6), st.data())
def test_any_record_that_is_lost_later_is_noticed_alike(seed: int, data: st.DataObject) -> None:
    world = some_world(seed)
    cut = cut_of(world, data.draw(st.integers(1, world.manifests[-1].seq)))
    for log, at in random.Random(seed).sample(above(world, cut), 3):
        lost, log[at] = log[at], None
        assert verdict(world.verify(cut)) == verdict(world.verify())
        log[at] = lost


@FEW
@given(st.integers(0, 10**6), st.data())
def test_a_block_that_is_planned_before_the_cut_and_lost_later_is_noticed(seed: int, data: st.DataObject) -> None:
    """Its window reaches over the cut, so it was kept; the plan's past is not read again, but its windows are."""
    world = some_world(seed)
    cut = cut_of(world, data.draw(st.integers(1, world.manifests[-1].seq)))
    for part, log in world.blocks.items():
        for at in range(cut.position(BLOCKS, part), first_ahead(cut, BLOCKS, part)):
            lost, log[at] = log[at], None
            assert world.verify(cut).holds == (lost is None)
            log[at] = lost


@FEW
@given(st.integers(0, 10**6), st.data())
def test_a_cut_that_stands_elsewhere_does_not_hold(seed: int, data: st.DataObject) -> None:
    """One more or one less in any position: verify notices, unless it is a marker that is passed."""
    world = some_world(seed)
    whole = world.verify()
    cut = cut_of(world, data.draw(st.integers(2, world.manifests[-1].seq)))
    for name in (RAW, CLEAN, REJECTED, BLOCKS, WINDOWS, PLAN):
        for part, position in cut.positions[name].items():
            log, by = logs_of(world)[name][part], data.draw(st.sampled_from((-1, 1)))
            passed = position if by == 1 else position - 1
            if 0 <= passed < len(log):
                moved = {**cut.positions, name: {**cut.positions[name], part: position + by}}
                past_before = passed in cut.skips(name, part)
                report = world.verify(cut.model_copy(update={"positions": moved}))
                # What comes last may still come: the last seals of shards, outcomes of the last documents.
                same = report.holds and (report.rows(), report.unsealed) == (whole.rows(), whole.unsealed)
                assert same == (log[passed] is None or past_before), (name, part, by)


def twice(world: World) -> None:
    last = world.planned()[-1]
    more = {"seq": last.seq + 1, "step": last.step + 1, "tokens_before": last.tokens_before + last.tokens}
    world.plan.append(last.model_copy(update=more))


def shorten(world: World) -> None:
    last = world.planned()[-1]
    run, *others = last.blocks
    shorter = run._replace(first=run.first + 1, records=run.records - 1)
    world.plan = replan(world.plan, last.step, blocks=(shorter, *others))


def other_tokenizer(world: World) -> None:
    at = max(at for at, packed in enumerate(world.blocks[1]) if packed)
    world.blocks[1][at] = Packed.of(dataclasses.replace(world.blocks[1][at].block, tokenizer="u" * 64))


BREAKAGES: dict[str, Callable[[World], None]] = {
    "an early document has a second outcome of clean": lambda world: world.rejected[0].append(
        RejectedHeaders("empty", "clean", "", world.published()[0])
    ),
    "an early document has a second outcome of tokenize": lambda world: world.rejected[0].append(
        RejectedHeaders("no_tokens", "tokenize", "", world.in_blocks()[0])
    ),
    "a late document has a second outcome of clean": lambda world: world.rejected[0].append(
        RejectedHeaders("empty", "clean", "", world.published()[-1])
    ),
    "an early document is accepted again": lambda world: world.clean_log[1].append(
        next(one for one in world.clean_log[0] if one)
    ),
    "an outcome is of no document": lambda world: world.rejected[0].append(
        RejectedHeaders("empty", "clean", "", (0, 7_000))
    ),
    "a seal is wrong": lambda world: world.windows.append(world.windows.pop().model_copy(update={"digest": "00" * 16})),
    "early blocks are written again": lambda world: world.blocks[0].extend(world.blocks[0][:4]),
    "an early seal is written again": lambda world: world.windows.append(world.windows[0]),
    "records cannot be read": lambda world: [
        log.append(b"nothing") for log in (world.clean_log[0], world.windows, world.steps, world.plan, world.blocks[0])
    ],
    "a step is planned again": twice,
    "the plan goes past a block": shorten,
    "a block is of another tokenizer": other_tokenizer,
    "sums of the plan are wrong": lambda world: setattr(
        world, "plan", replan(world.plan, world.planned()[-1].step, tokens_before=1)
    ),
    "the last report is wrong": lambda world: change_report(world.steps, len(world.steps) - 2, fed="00" * 16),
    "a step is applied again": lambda world: world.steps.insert(-1, world.steps[-2]),
    "the newest manifest is wrong": lambda world: world.manifests.append(
        world.manifests.pop().model_copy(update={"tokens": 7})
    ),
    "a parent is gone": lambda world: world.manifests.pop(-2),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_whatever_breaks_later_is_named_alike(name: str) -> None:
    world = World.whole()
    cut = cut_of(world, world.manifests[-3].seq)
    assert cut.counts.published > 20
    BREAKAGES[name](world)
    from_cut, from_beginning = verdict(world.verify(cut)), verdict(world.verify())
    assert not from_cut["holds"]
    assert [finding["kind"] for finding in from_cut["findings"]] == [one["kind"] for one in from_beginning["findings"]]
    for count in ("lost", "duplicated", "in_flight", "trained", "saved"):
        assert from_cut[count] == from_beginning[count]


@pytest.mark.parametrize("topic", [RAW, CLEAN, REJECTED, BLOCKS, WINDOWS])
def test_records_deleted_above_the_cut_are_named(topic: str) -> None:
    world = World.whole()
    cut = cut_of(world, world.manifests[-3].seq)
    delete_past(world, cut)
    assert world.verify(cut).holds
    world.first[topic][0] += 1
    report = world.verify(cut)
    assert "deleted" in report.findings.tallies
    assert f"{topic}[0]@{world.first[topic][0]}" in report.findings.tallies["deleted"].examples[0]


def test_the_plan_may_not_be_deleted_even_below_the_cut() -> None:
    world = World.whole()
    cut = cut_of(world, world.manifests[-3].seq)
    world.first = {PLAN: {0: 2}}
    assert "deleted" in world.verify(cut).findings.tallies


@pytest.mark.parametrize("count", ["published", "rejected", "accepted", "refused", "planned"])
def test_a_cut_that_counts_wrongly_is_named(count: str) -> None:
    world = World.whole()
    cut = cut_of(world, world.manifests[-3].seq).sealed()
    counts = cut.counts.model_copy(update={count: getattr(cut.counts, count) + 1})
    lying = cut.model_copy(update={"counts": counts})
    assert cut.intact
    assert not lying.intact
    assert set(world.verify(lying.sealed()).findings.tallies) == {"wrong_cut"}


@pytest.mark.parametrize("change", [{"seq": 3}, {"tokens": 1}, {"next": {0: 1}}])
def test_a_cut_that_contradicts_the_plan_is_named(change: dict[str, object]) -> None:
    world = World.whole()
    cut = cut_of(world, world.manifests[-3].seq).model_copy(update=change)
    assert "wrong_cut" in world.verify(cut).findings.tallies


def test_a_cut_with_another_fed_is_named_by_every_manifest_after_it() -> None:
    world = World.whole()
    cut = cut_of(world, world.manifests[-3].seq).model_copy(update={"fed": "00" * 16})
    assert world.verify(cut).findings.tallies["wrong_fed"].count >= 3


def test_a_cut_beyond_the_end_of_a_log_is_named() -> None:
    world = World.whole()
    cut = cut_of(world, world.manifests[-3].seq)
    beyond = {**cut.positions, CLEAN: {0: 9_000, 1: 9_000}}
    report = world.verify(cut.model_copy(update={"positions": beyond}))
    assert "the log ends at" in "".join(report.findings.tallies["wrong_cut"].examples)


def test_without_a_plan_there_is_no_cut() -> None:
    world = World.until_clean()
    world.plan = []
    report, planned = verify(world.logs(), [], RUN, Settings(), Findings())
    assert report.holds
    assert next_cut(Reread(world.logs()), planned, 1, ALWAYS, 4) is None


def test_young_steps_are_not_past() -> None:
    """The planner of the world gives step s the time s + 1 or so."""
    world = World.whole()
    _, planned = verify(world.logs(), world.manifests, RUN, Settings(), Findings())
    wanted = world.planned()[6]
    cut = next_cut(Reread(world.logs()), planned, ALWAYS, wanted.time, 4)
    assert cut is not None
    assert (cut.seq, cut.step) == (wanted.seq, wanted.step)


def test_reports_of_steps_that_are_past_are_not_read_again() -> None:
    world = World.whole()
    cut = cut_of(world, world.manifests[-3].seq)
    assert world.steps[cut.position(STEPS, 0)].step >= cut.step
    assert all(report.step < cut.step for report in world.steps[: cut.position(STEPS, 0)])


def a_block(offset: int, window: int, shard: int, number: int) -> BlockView:
    return BlockView(0, offset, bytes(16), 1, window, shard, number)


def seals_of(groups: Iterable[tuple[int, int]]) -> Seals:
    """Of (shard, window)."""
    seals = Seals()
    for offset, (shard, window) in enumerate(groups):
        facts = {"start": window, "end": window + 2, "documents": 1, "tokens": 1, "blocks": 1, "digest": "00" * 16}
        seals.add(Seal(shard=shard, **facts), offset)
    return seals


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans(), st.integers(1, 3)), max_size=14),
    st.integers(0, 40),
)
def test_a_position_divides_no_window_and_has_every_seal(
    written: list[tuple[int, bool, bool, int]], limit: int
) -> None:
    """Blocks of three shards side by side: each goes on with its window or begins another, with a seal or without."""
    blocks: list[BlockView] = []
    ends: dict[tuple[int, int], list[int]] = {}
    sealed, windows, offset = set(), dict.fromkeys(range(3), 0), 0
    for shard, begins, has_seal, gap in written:
        if begins or windows[shard] == 0:
            windows[shard] += 1
            sealed |= {(shard, windows[shard])} if has_seal else set()
        place = (shard, windows[shard])
        blocks.append(a_block(offset, windows[shard], shard, len(ends.setdefault(place, []))))
        ends[place].append(offset)
        offset += gap

    def fits(position: int) -> bool:
        return not any(
            of_group[0] < position and (position <= of_group[-1] or place not in sealed)
            for place, of_group in ends.items()
        )

    starts = {block.offset for block in blocks} | {0, limit}
    expected = max(at for at in starts if at <= limit and fits(at))
    assert whole_before(0, limit, iter(blocks), seals_of(sealed)) == expected
