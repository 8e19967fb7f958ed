"""The training loop: a run can be stopped and taken up between any two batches."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from rnngraph.diagnostics.errors import CannotDo, OutsideIndex, UserError
from rnngraph.distributed.failures import Stopped
from rnngraph.distributed.processes import ALONE, Processes, first_alone, own_shards
from rnngraph.files.dataframes import frame
from rnngraph.files.safetensors import Arrays
from rnngraph.runtime.array_updates import NumpyArrays, WholeArrays
from rnngraph.system.interrupts import Heard, held
from rnngraph.training import checkpoint, updates
from rnngraph.training.checkpoint import Identity, Made, Training, digests
from rnngraph.training.clipping import factor_by
from rnngraph.training.config import FitConfig
from rnngraph.training.device_fold import fold_of
from rnngraph.training.evaluation import EVALUATED, Evaluable, Record, evaluate
from rnngraph.training.gradients import last_batch, of_all_shards, of_own_shards
from rnngraph.training.job import Explain, Job, Norms, Progress, Together, Trainable, Weigh, by_rows
from rnngraph.training.learning_rates import Place, warmed_up
from rnngraph.training.segment_batches import Pieces, refuse_uncut
from rnngraph.training.validation import split
from rnngraph.weights.metadata import About
from rnngraph.weights.save_load import Weights


class Fitted(Struct, frozen=True):
    """The weights to use (the best where rows were held back and their loss was a number), and one record per epoch.

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
    known_to_all = True

    def __init__(
        self, training: Training, path: str | os.PathLike[str] | None, ranks: tuple[int, ...] = ()
    ) -> None:
        self.path = path
        on = f" on rank {', '.join(map(str, ranks))}" if ranks else ""
        place = f"training was interrupted{on} in epoch {training.epoch + 1}, after {training.batch} batches"
        kept = (
            f"; `{path}` holds its state"
            if path
            else "; no checkpoint was requested, so nothing is saved"
        )
        super().__init__(place + kept, code="E730", help="continue with `--resume`" if path else "")


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
    axes: Mapping[str, Sequence[str]] | None = None,
    weigh: Weigh = by_rows,
    states: Collection[str] = (),
    trims: bool = True,
    path: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    model: Made | None = None,
    about: About | None = None,
    progress: Callable[[Progress], None] | None = None,
    explain: Explain | None = None,
    norms: Norms | None = None,
    together: Together = lambda held, rows: EVALUATED,
    arrays: WholeArrays | None = None,
    processes: Processes = ALONE,
) -> Fitted:
    """Train on `data` (rows are axis 0 of every array) and give the weights to use.

    `validation` is held-back data; without it `config.validation` of the rows are. `evaluator` gives their loss and
    `metrics`. `axes` maps inputs to time axes; `weigh` says how much rows count; with `trims`, for programs of any
    number of steps, batches with lengths are cut to their longest row. `states` names first states that
    the data may hold. A checkpoint is written to `path` after every epoch and when interrupted;
    `resume` is one to go on from, which gives the same bits as if there had been no stop. `model` says what is trained,
    so that another one's checkpoint is refused; `about` is kept in it, and with the weights. `explain` is asked for the
    place where a loss or gradient that is not finite comes from; what `norms` says of the first batch is recorded after
    each epoch. `together` is asked, before anything begins, how many held-back rows are evaluated at once. `arrays`
    makes the updates, NumPy where it is not given. With `processes` all of them call this with the same arguments; each
    computes the gradients of its shards, and the first one writes the checkpoint and tells progress.

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
    first = processes.rank == 0
    known = _known(data, validation) if first and (path is not None or resume is not None) else {}
    whole = arrays or NumpyArrays()
    job = Job(
        program,
        whole,
        config,
        parts,
        Pieces(parts.learnt, parts.numbers, config, axes or {}, frozenset(states), trims),
        evaluator,
        tuple(metrics),
        frozenset(frozen),
        Identity(model or Made(), config, len(parts.numbers), known, about or About()),
        path,
        weigh,
        EVALUATED if parts.held is None else together(parts.held, len(parts.held_numbers)),
        progress if first else None,
        explain,
        processes,
        fold_of(processes, config.shards or 1, whole),
        norms,
    )
    if norms is not None and (rows := job.pieces.first()) is not None:
        norms.refuse_too_large(rows)
    fresh = _fresh(job, weights)
    with ExitStack() as stack, held() as heard:
        first_alone(processes, lambda: stack.enter_context(checkpoint.alone(path)))
        begun = processes.of_first(lambda: checkpoint.resume(resume, job.identity, fresh) if resume else fresh)
        return _finished(job, _trained(job, _own(job, begun), heard))


def _known(data: Mapping[str, Any], validation: Mapping[str, Any] | None) -> dict[str, str]:
    return digests(data) | (digests(validation, "held back: ") if validation is not None else {})


# --- the loop ------------------------------------------------------------------------------------------


def _fresh(job: Job, weights: Mapping[str, NDArray[Any]]) -> Training:
    trained = {name: w for name, w in weights.items() if name not in job.frozen}
    return Training(dict(weights), updates.start(job.config.optimizer, trained))


def _own(job: Job, training: Training) -> Training:
    """The run with arrays that are its own, in one run of memory each, where they are updated."""
    own, shared = job.arrays.own, () if job.arrays.on_device else job.frozen
    weights = {n: w if n in shared else own(w) for n, w in training.weights.items()}
    state = {n: a if n == updates.UPDATES else own(a) for n, a in training.state.items()}
    return replace(training, weights=weights, state=state)


def _on_host(job: Job, training: Training) -> Training:
    """The run with its arrays on the host."""
    weights, state, best = (
        {name: job.arrays.host(array) for name, array in (named or {}).items()}
        for named in (training.weights, training.state, training.best)
    )
    return replace(training, weights=weights, state=state, best=None if training.best is None else best)


def _trained(job: Job, training: Training, heard: Heard) -> Training:
    """One batch after another. An update is made as a whole or not at all: an interruption waits for its end. Signals
    are heard only in here, so that all processes come to the same end of it."""

    def loop() -> None:
        nonlocal training
        while training.epoch < job.config.epochs and not _out_of_patience(job, training):
            if training.batch < job.pieces.count:  # else it was interrupted between the last batch and its record
                with held() as between:
                    training = _updated(job, training, between)
            record = None
            if training.batch == job.pieces.count:
                training = _close_epoch(job, training)
                record = training.history[-1]
                _keep(job, training)
            _tell(job, training, record)

    try:
        heard(loop)
        job.processes.agreed(lambda: None)
    except KeyboardInterrupt as error:
        with held():
            ranks = _interrupted(job, error)
            _keep(job, training)
            raise Interrupted(training, job.path, ranks) from None
    except OutsideIndex as error:
        _keep(job, training)
        kept = f"{error.note}; `{job.path}` holds the weights so far" if job.path is not None else error.note
        raise OutsideIndex(error.plain, error.row, kept) from None
    return training


def _interrupted(job: Job, error: KeyboardInterrupt) -> tuple[int, ...]:
    """The ranks that were interrupted, once all know of it; none where all were."""

    def told() -> None:
        raise error

    try:
        job.processes.agreed(told)
    except Stopped as stopped:
        return stopped.ranks if len(stopped.ranks) < job.processes.size else ()
    except KeyboardInterrupt:
        pass
    return ()


@np.errstate(all="ignore")
def _updated(job: Job, training: Training, heard: Heard) -> Training:
    """The run after one more update, its weights written over; signals are `heard` while gradients are computed."""
    job.fold.begin()
    mine = job.processes.agreed(lambda: heard(lambda: of_own_shards(job, training)))
    found = of_all_shards(job, training, mine)
    state = training.state
    if found.gradients:
        rated = replace(job.config.optimizer, rate=_rate(job, training))
        factor = factor_by(job.config, found.norm)
        state = updates.update(rated, training.weights, found.gradients, state, job.arrays, factor)
    batch = last_batch(job, training)
    carried = tuple(mine[i].carried if i in mine else {} for i in range(job.shards))
    return replace(
        training,
        state=state,
        batch=batch,
        carried=carried if batch < job.pieces.count and job.config.segment else (),
        loss_sum=training.loss_sum + found.loss_sum,
        rows=training.rows + found.rows,
    )


def _rate(job: Job, training: Training) -> float:
    """The learning rate of the next update."""
    config, per_epoch = job.config, job.pieces.updates
    name = "loss" if job.split.held is None else "validation.loss"
    losses = [record[name] for record in training.history]
    place = Place(training.epoch * per_epoch + training.batch // config.accumulate, per_epoch, config.epochs, losses)
    factor = config.rate_decay**training.epoch * config.rate_schedule.factor(place)
    return config.optimizer.rate * factor * warmed_up(place, config.warmup)


def _close_epoch(job: Job, training: Training) -> Training:
    """The run with its epoch on record, and the weights kept if they are the best so far."""
    epoch = training.epoch + 1
    record: Record = {"epoch": epoch, "loss": training.loss_sum / (training.rows or 1)}
    closed = replace(training, epoch=epoch, batch=0, loss_sum=0.0, rows=0)
    _refuse_drift(job, training)
    if job.split.held is not None and job.evaluator is not None:
        found = evaluate(
            job.evaluator, job.split.held, training.weights, job.metrics, job.together, job.split.held_numbers,
            job.processes, job.shards, (job.split.held_from, f"after epoch {epoch}"),
        )  # fmt: skip
        record.update({f"validation.{name}": value for name, value in found.items()})
        if _is_better(found["loss"], training.best_loss):
            best = {name: w.copy() for name, w in training.weights.items()}
            closed = replace(closed, best=best, best_loss=found["loss"], best_epoch=epoch)
    if job.norms is not None and (rows := job.pieces.first()) is not None:
        record.update(job.norms(rows, training.weights))
    return replace(closed, history=(*training.history, record))


def _is_better(loss: float, best: float | None) -> bool:
    """Whether a held-back loss is less than the best so far; what is no number never is."""
    return loss < best if best is not None else not math.isnan(loss)


def _refuse_drift(job: Job, training: Training) -> None:
    """CannotDo where processes do not have the same weights any more."""
    if job.processes.size == 1:
        return
    everyone = job.processes.gathered(lambda: digests(_on_host(job, training).weights))
    for rank, theirs in enumerate(everyone):
        if theirs != everyone[0]:
            help = "their machines compute differently: use equal ones, or try `--kernels numpy`"
            raise CannotDo(f"rank {rank} has other weights than rank 0 after epoch {training.epoch + 1}", "E736", help)


def _out_of_patience(job: Job, training: Training) -> bool:
    return job.config.patience is not None and training.epoch - training.best_epoch >= job.config.patience


def _keep(job: Job, training: Training) -> None:
    """Writes the checkpoint, once, with what each process has of the states that are carried on."""
    if job.path is None:
        return
    path = job.path
    with held():
        if job.config.segment:
            training = replace(training, carried=_gathered(job, training))
        kept = _on_host(job, training)
        first_alone(job.processes, lambda: checkpoint.save(path, kept, job.identity))


def _gathered(job: Job, training: Training) -> tuple[Arrays, ...]:
    """The states of all shards."""
    mine = own_shards(job.processes, job.shards)
    parts = job.processes.gathered(lambda: training.carried[mine.start : mine.stop])
    return tuple(shard for part in parts for shard in part)


def _tell(job: Job, training: Training, record: Record | None) -> None:
    if job.progress is None:
        return
    if record is not None:
        told = Progress(training.epoch, job.config.epochs, job.pieces.count, job.pieces.count, record["loss"], record)
    else:
        mean = training.loss_sum / (training.rows or 1)
        told = Progress(training.epoch + 1, job.config.epochs, training.batch, job.pieces.count, mean)
    job.progress(told)


def _finished(job: Job, training: Training) -> Fitted:
    about, training = job.identity.about, _on_host(job, training)
    kept = training.weights if training.best is None else training.best
    weights = {n: w.copy() if n in job.frozen else w for n, w in kept.items()}  # those of the caller
    return Fitted(
        Weights(weights, about),
        training.history,
        training.best_epoch or None,
        training.epoch < job.config.epochs and _out_of_patience(job, training),
    )
