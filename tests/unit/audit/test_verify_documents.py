"""Promises 1 and 2, kept and broken: each document has one outcome of each stage, and all its tokens are in blocks."""

import dataclasses

import pytest

from headrace.audit.report import Report
from headrace.contract.documents import RejectedHeaders
from headrace.contract.topics import BLOCKS, CLEAN, RAW
from tests.unit.audit.pieces import BLOCK_TOKENS, START_MS, WINDOW_MS, Packed, Raw, all_of, block_of, tokens_of
from tests.unit.audit.world import World


def kinds(report: Report) -> dict[str, int]:
    return {finding["kind"]: finding["count"] for finding in report.wrong()}


def examples(report: Report, kind: str) -> str:
    return "\n".join(next(finding["examples"] for finding in report.wrong() if finding["kind"] == kind))


def place(log: dict[int, list], wanted: object) -> tuple[int, int]:
    return next((part, at) for part, records in log.items() for at, one in enumerate(records) if one == wanted)


def first_place(world: World, raw: Raw) -> tuple[int, int]:
    """Where the first block with tokens of a document lies."""
    return next(
        (part, at)
        for part, log in world.blocks.items()
        for at, packed in enumerate(log)
        if packed and list(raw) in packed.block.doc_raw.tolist()
    )


def long_one(world: World) -> Raw:
    return next(raw for raw in world.in_blocks()[20:] if len(tokens_of(raw)) > 2 * BLOCK_TOKENS)


def test_a_whole_deployment_holds() -> None:
    report = World.whole().verify()
    assert report.wrong() == []
    assert report.holds
    assert report.headline == "lost 0  duplicated 0  in flight 0"
    clean, tokenize, plan, train = report.rows()
    assert clean["entered"] == clean["left"] == 84
    assert tokenize["entered"] == tokenize["left"] == 72
    assert plan["entered"] == plan["left"] == train["entered"] == train["left"] == 67
    assert report.trained == report.planned == report.saved > 10


def test_an_outcome_that_is_missing_below_the_jobs_position_is_lost() -> None:
    world = World.whole()
    part, at = place(world.rejected, next(one for one in world.rejected[1] if one and one.stage == "clean"))
    raw = world.rejected[part][at].raw
    world.rejected[part][at] = None
    report = world.verify()
    assert kinds(report) == {"no_outcome": 1}
    assert f"{RAW}[{raw[0]}]@{raw[1]}" in examples(report, "no_outcome")
    assert (report.lost, report.in_flight, report.holds) == (1, 0, False)


def test_an_outcome_that_is_missing_above_the_jobs_position_is_in_flight() -> None:
    world = World.until_clean()
    world.raw[1] += [b"document 84", b"document 85"]
    world.passed = {RAW: {0: len(world.raw[0]), 1: len(world.raw[1]) - 2}, CLEAN: {0: 99, 1: 99}}
    world.pack()
    report = world.finish().verify()
    assert report.wrong() == []
    assert report.headline == "lost 0  duplicated 0  in flight 2"
    report.settled = True
    assert report.headline == "lost 2  duplicated 0  in flight 0"
    assert not report.holds


def test_without_any_commit_of_the_job_all_is_in_flight() -> None:
    world = World()
    world.publish()
    world.passed = {RAW: {}, CLEAN: {}}
    report = world.verify()
    assert report.headline == "lost 0  duplicated 0  in flight 84"
    assert report.holds


@pytest.mark.parametrize("stage", ["clean", "tokenize"])
def test_a_document_with_two_outcomes_is_duplicated(stage: str) -> None:
    world = World.whole()
    raw = world.in_blocks()[5]
    world.rejected[1].append(RejectedHeaders("empty", stage, "", raw))
    report = world.verify()
    kind = {"clean": "two_outcomes", "tokenize": "tokenized_twice"}[stage]
    if stage == "clean":
        assert kinds(report) == {kind: 1}
    assert f"{RAW}[{raw[0]}]@{raw[1]}" in examples(report, kind)
    assert (report.lost, report.duplicated, report.holds) == (0, 1, False)


def test_an_outcome_of_no_record_is_named() -> None:
    world = World.whole()
    world.rejected[0].append(RejectedHeaders("empty", "clean", "", (0, 7_000)))
    world.rejected[0].append(RejectedHeaders("empty", "clean", "", (7, 0)))
    marker = world.raw[1].index(None)
    world.rejected[0].append(RejectedHeaders("empty", "clean", "", (1, marker)))
    assert kinds(world.verify()) == {"outcome_of_nothing": 3}


def test_what_an_aborted_transaction_wrote_and_the_job_wrote_again_is_seen_twice_when_both_are_committed() -> None:
    """The sink took a transaction for aborted, emitted its records anew, and then the old one was committed too."""
    world = World.until_clean()
    again = [one for one in world.clean_log[0] if one is not None][3:9]
    world.clean_log[0] += [*again, None]
    world.pack()
    report = world.finish().verify()
    assert kinds(report)["two_outcomes"] == 6
    assert kinds(report)["tokenized_twice"] > 0
    assert report.lost == 0
    assert report.duplicated >= 6


def test_blocks_of_an_aborted_transaction_that_was_committed_after_all_are_seen_twice() -> None:
    world = World.until_clean()
    world.pack()
    window = START_MS + 2 * WINDOW_MS
    again = [packed for packed in world.blocks[0] if packed and packed.block.window == window]
    last = max(at for at, packed in enumerate(world.blocks[0]) if packed and packed.block.window == window)
    world.blocks[0][last + 1 : last + 1] = [None, *again]
    report = world.finish().verify()
    assert kinds(report)["tokenized_twice"] == sum(int((one.block.doc_from == 0).sum()) for one in again)
    assert report.lost == 0
    assert report.duplicated == kinds(report)["tokenized_twice"]


def test_a_document_that_is_in_no_block_is_lost_once_a_later_window_of_its_shard_is_sealed() -> None:
    world = World.until_clean()
    raw = world.in_blocks()[10]
    world.pack(leave_out=[raw])
    report = world.finish().verify()
    assert kinds(report) == {"not_in_blocks": 1}
    assert f"{RAW}[{raw[0]}]@{raw[1]}" in examples(report, "not_in_blocks")
    assert (report.lost, report.in_flight) == (1, 0)


def test_a_document_that_is_in_no_block_is_in_flight_while_its_window_may_be_open() -> None:
    world = World.until_clean()
    world.pack(leave_out=world.in_blocks()[-3:])
    report = world.finish().verify()
    assert report.wrong() == []
    assert report.headline == "lost 0  duplicated 0  in flight 3"


def test_a_document_that_the_job_has_not_passed_is_in_flight_even_if_later_ones_are_in_blocks() -> None:
    world = World.until_clean()
    raw = world.in_blocks()[10]
    world.pack(leave_out=[raw])
    world.finish()
    part, at = next(
        (part, at) for part, log in world.clean_log.items() for at, one in enumerate(log) if one and one.raw == raw
    )
    world.passed = {RAW: {0: 99, 1: 99}, CLEAN: {part: at, 1 - part: 99}}
    assert world.verify().headline == "lost 0  duplicated 0  in flight 1"


def test_a_cut_document_is_named() -> None:
    world = World.until_clean()
    raw = long_one(world)
    world.pack(keep=lambda one: all_of(one)[:-5] if one == raw else all_of(one))
    report = world.finish().verify()
    assert kinds(report) == {"cut_document": 1}
    assert f"{RAW}[{raw[0]}]@{raw[1]}" in examples(report, "cut_document")
    assert (report.lost, report.duplicated) == (1, 0)


def test_a_document_without_its_middle_or_its_beginning_is_cut() -> None:
    world = World.until_clean()
    raw, other = long_one(world), world.in_blocks()[3]
    cuts = {raw: [*all_of(raw)[:9], *all_of(raw)[12:]], other: all_of(other)[1:]}
    world.pack(keep=lambda one: cuts.get(one) or all_of(one))
    report = world.finish().verify()
    assert kinds(report) == {"cut_document": 2}
    assert report.lost == 2


def test_a_repeated_span_is_duplicated() -> None:
    world = World.until_clean()
    raw = long_one(world)
    world.pack(keep=lambda one: [*all_of(one)[:9], *all_of(one)[4:]] if one == raw else all_of(one))
    report = world.finish().verify()
    assert "repeated_span" in kinds(report)
    assert f"of {RAW}[{raw[0]}]@{raw[1]}" in examples(report, "repeated_span")
    assert report.duplicated > 0


def test_a_missing_block_is_named_and_its_documents_are_lost() -> None:
    world = World.whole()
    part, at = first_place(world, long_one(world))
    world.blocks[part][at] = None
    report = world.verify()
    assert {"wrong_run", "wrong_seal"} <= set(kinds(report))
    assert report.lost > 0
    assert report.duplicated == 0


def test_a_wrong_seal_is_named() -> None:
    world = World.whole()
    for at, change in enumerate(({"tokens": 1}, {"documents": 99}, {"blocks": 9}, {"digest": "00" * 16})):
        world.windows[at] = world.windows[at].model_copy(update=change)
    report = world.verify()
    assert kinds(report) == {"wrong_seal": 4}
    assert "tokens.windows[0]@0 says" in examples(report, "wrong_seal")


def test_a_seal_of_blocks_that_are_not_there_is_named() -> None:
    world = World.whole()
    world.windows.append(world.windows[0].model_copy(update={"start": START_MS + 900_000}))
    assert kinds(world.verify()) == {"wrong_seal": 1}


def test_a_missing_seal_is_named_when_a_later_window_has_one() -> None:
    world = World.whole()
    world.windows[0] = None
    assert kinds(world.verify()) == {"no_seal": 1}


def test_the_last_window_of_a_shard_may_lack_its_seal_until_all_is_settled() -> None:
    world = World.whole()
    last = max(seal.start for seal in world.windows if seal)
    world.windows = [seal for seal in world.windows if seal.start != last]
    report = world.verify()
    assert report.holds
    assert not report.drained
    report.settled = True
    assert not report.holds
    assert f"window {last} of shard" in report.unsealed[0]


def test_a_window_may_be_sealed_again_with_other_documents() -> None:
    """A clock that was set back."""
    world = World.until_clean()
    world.pack()
    for log in world.blocks.values():
        for at, packed in enumerate(log):
            if packed and packed.block.window == START_MS + 2 * WINDOW_MS:
                log[at] = Packed.of(dataclasses.replace(packed.block, window=START_MS + WINDOW_MS))
    report = world.finish().verify()
    assert report.wrong() == []
    assert len(world.in_blocks()) == report.rows()[2]["entered"]


def test_wrong_numbers_of_blocks_are_named() -> None:
    world = World.until_clean()
    world.pack()
    part, at = first_place(world, world.in_blocks()[4])
    world.blocks[part][at] = Packed.of(dataclasses.replace(world.blocks[part][at].block, number=5))
    assert "block_number" in kinds(world.finish().verify())


def test_spans_that_contradict_each_other_are_named() -> None:
    world = World.until_clean()
    world.pack()
    places = [
        (part, at)
        for part, log in world.blocks.items()
        for at, packed in enumerate(log)
        if packed and packed.block.doc_from[0] > 0
    ]
    for (part, at), name in zip(places, ("doc_before", "doc_tokens"), strict=False):
        block = world.blocks[part][at].block
        changed = getattr(block, name).copy()
        changed[0] += 1
        world.blocks[part][at] = Packed.of(dataclasses.replace(block, **{name: changed}))
    found = kinds(world.finish().verify())
    assert found["wrong_span"] >= 2


def test_a_document_in_blocks_that_was_never_accepted_is_named() -> None:
    world = World.until_clean()
    rejected = next(one.raw for one in world.rejected[0] if one)
    world.pack()
    piece = [(raw, at) for raw in (rejected, (0, 9_999)) for at in all_of(raw)]
    world.blocks[0].append(Packed.of(block_of(piece, START_MS + 800_000, 0, 0)))
    report = world.finish().verify()
    assert kinds(report) == {"span_of_nothing": 2}


def test_records_that_cannot_be_read_are_named_and_the_rest_is_checked() -> None:
    world = World.whole()
    world.clean_log[0].append(b"{}")
    world.clean_log[1].append(b"\xff")
    world.windows.append(b"[]")
    world.steps.append(b"{}")
    world.plan.append(b"nothing")
    world.rejected[0].append(b"no headers")
    report = world.verify()
    assert kinds(report) == {"unreadable": 6}
    assert report.headline == "lost 0  duplicated 0  in flight 0"


@pytest.mark.parametrize("value", [b"", b"\x00" * 20, b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_block_that_cannot_be_read_is_named(value: bytes) -> None:
    world = World.whole()
    part, at = first_place(world, world.in_blocks()[4])
    world.blocks[part][at] = value
    report = world.verify()
    assert f"{BLOCKS}[{part}]@{at}" in examples(report, "unreadable")
    assert {"unreadable", "wrong_run"} <= set(kinds(report))


def test_records_deleted_from_the_beginning_are_named() -> None:
    world = World.whole()
    world.first = {RAW: {1: 5}}
    report = world.verify()
    assert f"{RAW}[1]@5" in examples(report, "deleted")


def test_only_the_first_examples_of_a_kind_are_kept() -> None:
    world = World.whole()
    world.raw[0] += [b"document 90"] * 50
    report = world.verify()
    assert kinds(report) == {"no_outcome": 50}
    assert examples(report, "no_outcome").count("\n") == 19
    assert report.lost == 50
