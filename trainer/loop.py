"""All that happens in a step. After step k the state is a function of the first state and of the plan up to k alone.

Ranks, restarts, clocks and operators decide when and where this runs; none of them reaches a weight. docs/step.md has
it line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from headrace.contract.digests import fed_next, seed_for
from headrace.contract.settings import Settings
from headrace.contract.training import StepReport
from trainer.assemble import Work
from trainer.batch import make_leaf
from trainer.board import guard
from trainer.control import Control
from trainer.fingerprint import digest
from trainer.group import Group, Header, PeerLost
from trainer.model import seed_everything, token_losses
from trainer.optimizer import Update, apply_update, learning_rate
from trainer.proof import FedLeaf, Fetched, LeafFacts, check_fed, read_and_hash
from trainer.reduce import REDUCTIONS
from trainer.report import Reporter, Stopwatch
from trainer.saver import Failed, Saved, Saver
from trainer.schedule import Schedule
from trainer.shares import leaf_count, leaves_of
from trainer.state import State


@dataclass
class Run:
    """One rank's part in one attempt of a run. `clock` gives epoch seconds, and changes nothing but reports.

    `saver`, `schedule` and commands in `control` count on rank 0 alone.
    """

    settings: Settings
    group: Group
    saver: Saver
    schedule: Schedule
    reporter: Reporter
    control: Control
    watch: Stopwatch
    clock: Callable[[], float]


def train(run: Run, state: State, steps: Iterable[Work | None]) -> None:
    """Apply steps to `state`, in order, until `steps` ends or the run is told to stop; None means: nothing to do yet.

    Every rank calls this with the same plan and its own blocks. Raises ContractError when ranks or data disagree,
    PeerLost when a rank is gone; in both cases the weights are those of the last complete step.
    """
    settings = run.settings.trainer
    run.watch.enter("wait", state.step)
    for work in steps:
        guard(settings.watchdog_s)
        run.control.look()
        hear(run, run.saver.finished())
        if work is None:
            if run.control.stop_idle:
                break
            rest(run, state)
        else:
            asked = agree(run, work)
            if asked is None:
                break
            apply(run, state, work)
            if asked.stop:
                break
            if asked.save or state.step % settings.checkpoint_steps == 0:
                save(run, state)
        run.watch.enter("wait", state.step)
    else:
        hear(run, run.saver.settle())
        return
    leave(run, state)


def apply(run: Run, state: State, work: Work) -> None:
    """One step: this rank's leaves, the sum over all of them, the update, the report."""
    settings, group, step, watch = run.settings.trainer, run.group, work.step, run.watch
    watch.enter("compute")
    leaves = leaf_count(step.block_count, settings.leaf_blocks)
    width = sum(parameter.numel() for parameter in state.parameters) + 1  # behind the gradients stands the loss
    reduction = REDUCTIONS[settings.reduction](leaves, width, group)
    fed: list[FedLeaf] = []
    mine = leaves_of(group.rank, group.size, leaves)
    for leaf, fetched in zip(mine, by_leaf(work.blocks, settings.leaf_blocks), strict=False):  # see check_fed
        gradients, one = learn(run, state, step.step, leaf, fetched)
        reduction.add(leaf, gradients)
        fed.append(one)
    own = [one.facts() for one in fed]  # not before: a GPU would stand still between leaves

    watch.enter("reduce")
    facts = [fact for of_rank in group.gather(own) for fact in of_rank]
    check_fed(step, facts)
    total, loss = torch.split(reduction.finish(), [width - 1, 1])
    watch.enter("checkpoint")
    run.saver.hold()

    watch.enter("update")
    rate = learning_rate(settings, run.settings.nominal_tokens, state.tokens, step.tokens)
    update = apply_update(state.optimizer, state.parameters, total, step.tokens, rate, settings.clip_norm)
    state.advance(step, fed_next(state.fed, step.seq, [block for fact in facts for block in fact.digests]))

    watch.enter("report")
    run.reporter.step(report(run, state, work, facts, loss.item() / step.tokens, update))


def learn(run: Run, state: State, step: int, leaf: int, fetched: Sequence[Fetched]) -> tuple[torch.Tensor, FedLeaf]:
    """One forward and one backward pass: the leaf's flat fp32 gradients with its summed loss behind them, and what was
    fed.
    """
    blocks, digests = read_and_hash(fetched, run.saver.identity.tokenizer)
    batch = make_leaf(blocks)
    seed_everything(seed_for(run.settings.trainer.seed, step, leaf))
    losses = token_losses(state.model, batch, getattr(torch, run.settings.trainer.dtype))
    loss = losses.sum()
    gradients = torch.autograd.grad(loss, state.parameters, allow_unused=True, materialize_grads=True)
    flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), loss.detach().reshape(1)])
    return flat, FedLeaf(leaf, digests, min(one.published for one in fetched), batch, losses.detach())


def by_leaf(blocks: Sequence[Fetched], leaf_blocks: int) -> list[Sequence[Fetched]]:
    """A rank's blocks by leaf; its first one begins a leaf."""
    return [blocks[start : start + leaf_blocks] for start in range(0, len(blocks), leaf_blocks)]


def agree(run: Run, work: Work) -> Header | None:
    """Say which step this rank holds; returns what rank 0 asks for. None if a peer was told to stop before."""
    run.watch.enter("agree")
    fingerprint = digest(run.saver.identity.fingerprint)
    try:
        return run.group.agree(Header(work.step.seq, work.digest, fingerprint, wants_checkpoint(run), run.control.stop))
    except PeerLost:
        if run.control.stop_idle:
            return None
        raise


def report(run: Run, state: State, work: Work, facts: Sequence[LeafFacts], loss: float, update: Update) -> StepReport:
    """The record of an applied step. `seconds` of report and checkpoint are those since the report before."""
    sources: dict[str, tuple[int, float]] = {}
    for fact in facts:
        for name, (tokens, summed) in fact.sources.items():
            before = sources.get(name, (0, 0.0))
            sources[name] = (before[0] + tokens, before[1] + summed)
    now = run.clock()
    return StepReport(
        run=run.saver.identity.run,
        attempt=run.saver.identity.attempt,
        seq=work.step.seq,
        step=work.step.step,
        fed=state.fed.hex(),
        loss=loss,
        tokens=work.step.tokens,
        tokens_total=state.tokens,
        grad_norm=update.grad_norm,
        learning_rate=update.learning_rate,
        skipped=update.skipped,
        seconds=run.watch.take(),
        age_s=now - min(fact.published for fact in facts) / 1000,
        sources=sources,
        ranks=run.group.size,
        time=int(now * 1000),
        save_error=run.saver.trouble,
    )


def rest(run: Run, state: State) -> None:
    """A turn without a step."""
    if wants_checkpoint(run):
        save(run, state)
    run.reporter.idle(state, run.saver.trouble)


def wants_checkpoint(run: Run) -> bool:
    """Whether this rank wants one before the number of steps says so: by clock, by command, or because one is late."""
    return run.control.save or run.saver.late or run.schedule.due


def save(run: Run, state: State) -> None:
    """Rank 0 begins to write a checkpoint; while another is in flight, this one stays due."""
    run.watch.enter("checkpoint")
    if run.group.leads and run.saver.begin(state):
        run.control.saved()
        run.schedule.begun()


def hear(run: Run, outcome: Saved | Failed | None) -> None:
    """Say what has become of a save."""
    if outcome is not None:
        run.reporter.saved(outcome)


def leave(run: Run, state: State) -> None:
    """End this rank's part with nothing lost; raises DependencyError when the last checkpoint cannot be written."""
    run.watch.enter("checkpoint")
    run.control.leave()
    hear(run, run.saver.settle())
    if run.group.leads:
        hear(run, run.saver.save(state))
