"""The training loop: a run can be stopped and taken up between any two batches."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo, OutsideIndex, UserError
from rnngraph.files.frames import frame
from rnngraph.files.tensors import Arrays
from rnngraph.runtime.whole_arrays import NumpyArrays, WholeArrays
from rnngraph.system.interrupts import held
from rnngraph.training import batches, checkpoint, optimisers
from rnngraph.training.batch_rows import Split, split, told_by
from rnngraph.training.checkpoint import Identity, Made, Training, digests
from rnngraph.training.config import FitConfig
from rnngraph.training.evaluation import EVALUATED, Evaluable, Record, evaluate
from rnngraph.training.pieces import Pieces, refuse_uncut
from rnngraph.training.rates import Place, warmed_up
from rnngraph.weights.about import About
from rnngraph.weights.save_load import Weights

Explain = Callable[[Mapping[str, Any], Mapping[str, Any]], Diagnostic | None]
"""Tells where a batch, with these weights, first gives a value that is not finite."""


class Trainable(Protocol):
    """A program with gradients: the loss of a batch (its mean over rows), and gradients of the weights by
    name, which the next batch may write over.
    """

    def lent_gradients(
        self, data: Mapping[str, Any], weights: Mapping[str, Any]
    ) -> tuple[float, Mapping[str, NDArray[Any]]]: ...


class Carrying(Trainable, Protocol):
    """A program that also gives the states that it ends with, by the names under which it takes them."""

    def lent_step(
        self, data: Mapping[str, Any], weights: Mapping[str, Any]
    ) -> tuple[float, Mapping[str, NDArray[Any]], Arrays]: ...


@dataclass(frozen=True)
class Progress:
    """Told after every batch. `loss` is the mean so far in this epoch; `record` is there once it is over."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    record: Record | None = None


@dataclass(frozen=True)
class Fitted:
    """The weights to use (the best where rows were held back), and one record per epoch.

    A record holds `epoch`, `loss` and, where rows are held back, `validation.loss` and `validation.METRIC`.
    """

    weights: Weights
    history: tuple[Record, ...]
    best_epoch: int | None
    stopped_early: bool

    def to_frame(self) -> Any:
        """The history as a pandas DataFrame, a row for each epoch."""
        return frame([dict(record) for record in self.history])


class Interrupted(CannotDo):
    """Training was stopped by Ctrl-C; `path` is the checkpoint that holds its state, or None."""

    exit_code = 130

    def __init__(self, training: Training, path: str | os.PathLike[str] | None) -> None:
        self.path = path
        place = f"training was interrupted in epoch {training.epoch + 1}, after {training.batch} batches"
        kept = (
            f"; `{path}` holds its state"
            if path
            else "; no checkpoint was requested, so nothing is saved"
        )
        super().__init__(place + kept, code="E730", help="continue with `--resume`" if path else "")


@dataclass(frozen=True)
class _Job:
    """What stays the same during a run."""

    program: Trainable
    arrays: WholeArrays
    config: FitConfig
    split: Split
    pieces: Pieces
    evaluator: Evaluable | None
    metrics: tuple[str, ...]
    frozen: frozenset[str]
    identity: Identity
    path: str | os.PathLike[str] | None
    over: Mapping[str, str] = field(default_factory=dict)
    together: int = EVALUATED
    progress: Callable[[Progress], None] | None = field(default=None)
    explain: Explain | None = field(default=None)


def fit(
    program: Trainable,
    weights: Mapping[str, NDArray[Any]],
    data: Mapping[str, Any],
    config: FitConfig,
    *,
    validation: Mapping[str, Any] | None = None,
    evaluator: Evaluable | None = None,
    metrics: Iterable[str] = (),
    frozen: Collection[str] = (),
    axes: Mapping[str, str] | None = None,
    over: Mapping[str, str] | None = None,
    states: Collection[str] = (),
    trims: bool = True,
    path: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    model: Made | None = None,
    about: About | None = None,
    progress: Callable[[Progress], None] | None = None,
    explain: Explain | None = None,
    together: int = EVALUATED,
    arrays: WholeArrays | None = None,
) -> Fitted:
    """Train on `data` (rows are axis 0 of every array) and give the weights to use.

    `validation` is held-back data; without it `config.validation` of the rows are. `evaluator` gives their loss and
    `metrics`. `axes` maps inputs to time axes, `over` the loss and metrics that are means over all steps of one to it;
    with `trims`, for programs of any number of steps, batches with lengths are cut to their longest row. `states` names
    first states that the data may hold. A checkpoint is written to `path` after every epoch and when interrupted;
    `resume` is one to go on from, which gives the same bits as if there had been no stop. `model` says what is trained,
    so that another one's checkpoint is refused; `about` is kept in it, and with the weights. `explain` is asked for the
    place where a loss or gradient that is not finite comes from. At most `together` rows are evaluated at once.
    `arrays` makes the updates, NumPy where it is not given.

    Raises Interrupted after Ctrl-C, CannotDo where the loss is no longer finite or another training has the
    checkpoint, UserError for wrong settings.
    """
    parts = split(data, validation, config)
    if config.segment:
        refuse_uncut(parts.learnt, axes or {})
    if config.patience is not None and parts.held is None:
        raise UserError(
            "`patience` needs validation rows",
            code="E712",
            help="set `validation` to a fraction of the rows, or give held-back data",
        )
    if parts.held is not None and evaluator is None:
        raise ValueError("validation rows need an evaluator")
    other = digests(validation, "held back: ") if validation is not None else {}
    known = digests(data) | other if path is not None or resume is not None else {}
    job = _Job(
        program,
        arrays or NumpyArrays(),
        config,
        parts,
        Pieces(parts.learnt, parts.numbers, config, axes or {}, frozenset(states), trims),
        evaluator,
        tuple(metrics),
        frozenset(frozen),
        Identity(model or Made(), config, len(parts.numbers), known, about or About()),
        path,
        over or {},
        together,
        progress,
        explain,
    )
    training = _fresh(job, weights)
    with checkpoint.alone(path):
        if resume:
            training = _own(job, checkpoint.resume(resume, job.identity, training))
        return _finished(job, _trained(job, training))


# --- the loop ------------------------------------------------------------------------------------------


def _fresh(job: _Job, weights: Mapping[str, NDArray[Any]]) -> Training:
    trained = {name: w for name, w in weights.items() if name not in job.frozen}
    return _own(job, Training(dict(weights), optimisers.start(job.config.optimizer, trained)))


def _own(job: _Job, training: Training) -> Training:
    """The run with arrays that are its own, in one run of memory each: updates write over them."""
    weights = {n: w if n in job.frozen else np.array(w, order="C") for n, w in training.weights.items()}
    return replace(training, weights=weights, state={n: np.array(a, order="C") for n, a in training.state.items()})


def _trained(job: _Job, training: Training) -> Training:
    """One batch after another. An update is made as a whole or not at all: an interruption waits for its end."""
    try:
        while training.epoch < job.config.epochs and not _out_of_patience(job, training):
            if training.batch < job.pieces.count:  # else it was interrupted between the last batch and its record
                found = _found(job, training)
                with held():
                    training = _updated(job, training, found)
            record = None
            if training.batch == job.pieces.count:
                training = _close_epoch(job, training)
                record = training.history[-1]
                _keep(job, training)
            _tell(job, training, record)
    except KeyboardInterrupt:
        _keep(job, training)
        raise Interrupted(training, job.path) from None
    except OutsideIndex as error:
        _keep(job, training)
        kept = f"{error.note}; `{job.path}` holds the weights so far" if job.path is not None else error.note
        raise OutsideIndex(error.plain, error.row, kept) from None
    return training


@dataclass(frozen=True)
class _Found:
    """What the batches of one update give: the mean of their gradients by rows (or real steps, where the loss is a mean
    over these), its norm, the sum of their losses, the states that they end with, and the batch that comes next."""

    gradients: Mapping[str, NDArray[Any]]
    norm: float
    loss_sum: float
    rows: int
    carried: Arrays
    batch: int


@np.errstate(all="ignore")  # what overflows is told by `_diverged`, here or in the next batch
def _found(job: _Job, training: Training) -> _Found:
    """The gradients of the batches of the next update; CannotDo where one is not finite."""
    last = min(training.batch + job.config.accumulate, job.pieces.count)
    found = _Found({}, 0.0, 0.0, 0, training.carried, training.batch)
    for index in range(training.batch, last):
        found = _with_batch(job, training, found, index, index + 1 == last)
    norm = job.arrays.norm(list(found.gradients.values()))
    if not math.isfinite(norm):
        rows = job.pieces.piece(training.epoch, last - 1, training.carried) or {}
        raise _diverged(job, training, rows, "gradient")
    return replace(found, norm=norm, batch=last)


def _with_batch(job: _Job, training: Training, found: _Found, index: int, last: bool) -> _Found:
    """What is found with one more batch; one without any steps changes nothing."""
    rows = job.pieces.piece(training.epoch, index, found.carried)
    if rows is None:
        return found
    members = job.pieces.members(training.epoch, index)
    with told_by(members, "the data", f"in epoch {training.epoch + 1}, batch {index + 1}"):
        loss, gradients, carried = _gradients(job, rows, training.weights)
    if not math.isfinite(loss):
        raise _diverged(job, training, rows, "loss")
    mine = {n: gradients[n] for n in training.weights if n in gradients and n not in job.frozen}
    weight = batches.weight(rows, job.pieces.axes, job.over.get("loss", ""))
    if not (last and not found.rows):  # of one batch alone they are taken as they lie
        mine = {n: _mean(found.gradients.get(n), found.rows, g, weight) for n, g in mine.items()}
    loss_sum = found.loss_sum + float(loss) * weight
    return replace(found, gradients=mine, loss_sum=loss_sum, rows=found.rows + weight, carried=carried)


def _mean(before: NDArray[Any] | None, weight: int, gradient: NDArray[Any], rows: int) -> NDArray[Any]:
    """The mean, by weight, of the gradients so far and of one more, which counts for so many `rows`."""
    if before is None:
        return gradient.copy()
    before += (gradient - before) * gradient.dtype.type(rows / (weight + rows))
    return before


def _gradients(job: _Job, rows: Arrays, weights: Arrays) -> tuple[float, Mapping[str, NDArray[Any]], Arrays]:
    if job.config.segment:
        return cast(Carrying, job.program).lent_step(rows, weights)
    return *job.program.lent_gradients(rows, weights), {}


@np.errstate(all="ignore")
def _updated(job: _Job, training: Training, found: _Found) -> Training:
    """The run after one more update, its weights written over."""
    config = job.config
    shorten = 1.0
    if config.clip_norm is not None:
        shorten = optimisers.shortening(found.norm, config.clip_norm, config.clip_epsilon)
    state = training.state
    if found.gradients:
        rated = replace(config.optimizer, rate=_rate(job, training))
        state = optimisers.update(rated, training.weights, found.gradients, state, job.arrays, shorten)
    return replace(
        training,
        state=state,
        batch=found.batch,
        carried=found.carried if found.batch < job.pieces.count else {},
        loss_sum=training.loss_sum + found.loss_sum,
        rows=training.rows + found.rows,
    )


def _rate(job: _Job, training: Training) -> float:
    """The learning rate of the next update."""
    config, per_epoch = job.config, job.pieces.updates
    name = "loss" if job.split.held is None else "validation.loss"
    losses = [record[name] for record in training.history]
    place = Place(training.epoch * per_epoch + training.batch // config.accumulate, per_epoch, config.epochs, losses)
    factor = config.rate_decay**training.epoch * config.rate_schedule.factor(place)
    return config.optimizer.rate * factor * warmed_up(place, config.warmup)


def _close_epoch(job: _Job, training: Training) -> Training:
    """The run with its epoch on record, and the weights kept if they are the best so far."""
    epoch = training.epoch + 1
    record: Record = {"epoch": epoch, "loss": training.loss_sum / max(1, training.rows)}
    closed = replace(training, epoch=epoch, batch=0, loss_sum=0.0, rows=0)
    if job.split.held is not None and job.evaluator is not None:
        with told_by(job.split.held_numbers, job.split.held_from, f"after epoch {epoch}"):
            numbers, axes = job.split.held_numbers, job.pieces.axes
            found = evaluate(
                job.evaluator, job.split.held, training.weights, job.metrics, job.together, numbers, axes, job.over
            )
        record.update({f"validation.{name}": value for name, value in found.items()})
        if training.best_loss is None or found["loss"] < training.best_loss:
            best = {name: w.copy() for name, w in training.weights.items()}
            closed = replace(closed, best=best, best_loss=found["loss"], best_epoch=epoch)
    return replace(closed, history=(*training.history, record))


def _out_of_patience(job: _Job, training: Training) -> bool:
    return job.config.patience is not None and training.epoch - training.best_epoch >= job.config.patience


def _keep(job: _Job, training: Training) -> None:
    if job.path is not None:
        with held():
            checkpoint.save(job.path, training, job.identity)


def _tell(job: _Job, training: Training, record: Record | None) -> None:
    if job.progress is None:
        return
    if record is not None:
        told = Progress(training.epoch, job.config.epochs, job.pieces.count, job.pieces.count, record["loss"], record)
    else:
        mean = training.loss_sum / max(1, training.rows)
        told = Progress(training.epoch + 1, job.config.epochs, training.batch, job.pieces.count, mean)
    job.progress(told)


def _diverged(job: _Job, training: Training, rows: Mapping[str, Any], what: str) -> CannotDo:
    kept = f"; `{job.path}` holds the end of epoch {training.epoch}" if job.path and training.epoch else ""
    said = f"the {what} was no longer finite in epoch {training.epoch + 1}, batch {training.batch + 1}{kept}"
    cause = job.explain(rows, training.weights) if job.explain else None
    found = cause or Diagnostic("E731", "")
    said += f": {cause.message}" if cause else ""
    help = "; ".join(filter(None, (found.help, "try a smaller `rate`, or `clip_norm 1`")))
    return CannotDo([replace(found, code="E731", message=said, help=help)])


def _finished(job: _Job, training: Training) -> Fitted:
    about = job.identity.about
    if training.best is None:
        return Fitted(Weights(training.weights, about), training.history, None, False)
    return Fitted(
        Weights(training.best, about),
        training.history,
        training.best_epoch,
        training.epoch < job.config.epochs and _out_of_patience(job, training),
    )
