"""The gradients of one update: of each shard those of its batches, and their mean over all shards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from rnngraph.distributed.processes import mean_with, own_shards
from rnngraph.files.safetensors import Arrays
from rnngraph.training.batch_rows import told_by
from rnngraph.training.checkpoint import Training
from rnngraph.training.divergence import Place, diverged, not_finite, refuse_explained, when
from rnngraph.training.job import Carrying, Job, Ready


class Found(NamedTuple):
    """What the batches of one update give in a shard: the mean of their gradients by rows (or real steps, where the
    loss is a mean over these, or what it is divided by), the sum of their losses, and the states that they end with."""

    gradients: Mapping[str, NDArray[Any]]
    loss_sum: float
    rows: float
    carried: Arrays


class Update(NamedTuple):
    """What all shards give: the mean of their gradients and its norm, the sum of the losses, and their rows."""

    gradients: Mapping[str, NDArray[Any]]
    norm: float
    loss_sum: float
    rows: float


@np.errstate(all="ignore")  # what overflows is told by `diverged`, here or in the next batch
def of_own_shards(job: Job, training: Training) -> dict[int, Found]:
    """What each shard of this process gives; its gradients go into the fold, from where they may travel at once."""
    found = {}
    for shard in own_shards(job.processes, job.shards):
        mine = _of_shard(job, training, shard)
        job.fold.put(shard, mine.gradients, mine.rows)
        found[shard] = mine
    return found


@np.errstate(all="ignore")
def of_all_shards(job: Job, training: Training, found: Mapping[int, Found]) -> Update:
    """The mean over the shards of all processes, after these have agreed. CannotDo where it is not finite."""
    rows = [(bool(mine.gradients), mine.rows, mine.loss_sum) for mine in found.values()]
    numbers, gradients = job.fold.mean(np.array(rows, np.float64).reshape(len(rows), 3))
    norm = job.arrays.norm(list(gradients.values()))
    if not math.isfinite(norm):
        job.processes.agreed(lambda: refuse_explained(job, training, _last_rows(job, training)))
        raise diverged(job, training, "gradient", (last_batch(job, training) - 1, 0))
    loss_sum = 0.0
    for one in numbers[:, 2]:
        loss_sum += float(one)
    return Update(gradients, norm, loss_sum, float(numbers[:, 1].sum()))


def last_batch(job: Job, training: Training) -> int:
    """The batch behind the last one of the next update."""
    return min(training.batch + job.config.accumulate, job.pieces.count)


def _of_shard(job: Job, training: Training, shard: int) -> Found:
    last = last_batch(job, training)
    found = Found({}, 0.0, 0.0, _carried(training, shard))
    for index in range(training.batch, last):
        found = _with_batch(job, training, found, (index, shard), index + 1 == last)
    return found


def _carried(training: Training, shard: int) -> Arrays:
    return training.carried[shard] if training.carried else {}


def _last_rows(job: Job, training: Training) -> Iterator[tuple[Place, Arrays]]:
    """The rows of each of our shards in the last batch of the update, and where these are."""
    last = last_batch(job, training) - 1
    for shard in own_shards(job.processes, job.shards):
        rows = job.pieces.piece(training.epoch, last, _carried(training, shard), shard)
        if rows is not None:
            yield (last, shard), rows


def _with_batch(job: Job, training: Training, found: Found, place: Place, last: bool) -> Found:
    """What is found with one more batch; one without any steps changes nothing."""
    index, shard = place
    rows = job.pieces.piece(training.epoch, index, found.carried, shard)
    if rows is None:
        return found
    members = job.pieces.members(training.epoch, index, shard)
    weight = job.weigh(rows, training.weights)
    mine = dict[str, NDArray[Any]]()

    def ready(made: Mapping[str, NDArray[Any]]) -> None:
        """Takes gradients as they are made."""
        fresh = {n: g for n, g in made.items() if n in training.weights and n not in job.frozen and n not in mine}
        if not (last and not found.rows):  # of one batch alone they are taken as they lie
            fresh = {n: mean_with(found.gradients.get(n), found.rows, g, weight) for n, g in fresh.items()}
        mine.update(fresh)
        if last:
            job.fold.put_some(shard, fresh)

    with told_by(members, "the data", when(job, training, index)):
        loss, gradients, carried = _gradients(job, rows, training.weights, ready if last and job.fold.travels else None)
    if not math.isfinite(loss):
        raise not_finite(job, training, place, rows)
    ready(gradients)
    ordered = {n: mine[n] for n in training.weights if n in mine}
    return Found(ordered, found.loss_sum + float(loss) * weight, found.rows + weight, carried)


def _gradients(
    job: Job, rows: Arrays, weights: Arrays, ready: Ready | None
) -> tuple[float, Mapping[str, NDArray[Any]], Arrays]:
    if job.config.segment:
        return cast(Carrying, job.program).lent_step(rows, weights, ready)
    return *job.program.lent_gradients(rows, weights, ready), {}
