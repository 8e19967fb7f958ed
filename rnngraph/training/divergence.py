"""Where a loss or a gradient is nan or infinite, training stops: in which epoch and batch, and by which equation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from rnngraph.debugging.nan_finder import Cause
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.training.checkpoint import Training
from rnngraph.training.job import Job

Rows = Mapping[str, Any]
Place = tuple[int, int]
"""A batch of the epoch, and its shard."""


def refuse_explained(job: Job, training: Training, batches: Iterable[tuple[Place, Rows]]) -> None:
    """CannotDo with the equation in which the gradient of one of these batches is no longer finite, if it is in one."""
    for place, rows in batches:
        if cause := _cause(job, training, rows):
            raise diverged(job, training, "gradient", place, cause)


def not_finite(job: Job, training: Training, place: Place, rows: Rows) -> CannotDo:
    """What is said of a batch whose loss is not finite."""
    return diverged(job, training, "loss", place, _cause(job, training, rows))


def diverged(job: Job, training: Training, what: str, place: Place, cause: Cause | None = None) -> CannotDo:
    kept = f"; `{job.path}` holds the end of epoch {training.epoch}" if job.path and training.epoch else ""
    said = f"the {what} was no longer finite {when(job, training, place[0])}{kept}"
    found = cause.told if cause else Diagnostic("E731", "")
    said += f": {found.message}{_own_row(job, training, place, cause)}" if cause else ""
    help = "; ".join(filter(None, (found.help, "try a smaller `rate`, or `clip_norm 1`")))
    return CannotDo([replace(found, code="E731", message=said, help=help)])


def when(job: Job, training: Training, index: int) -> str:
    """Which batch that was, in words; steps are told as those of its segment."""
    first = job.pieces.first_step(index)
    segment = f", whose steps begin at step {first} of the data" if first else ""
    return f"in epoch {training.epoch + 1}, batch {index + 1}{segment}"


def _own_row(job: Job, training: Training, place: Place, cause: Cause) -> str:
    """The row of the user's data that a row of the batch is."""
    if cause.row is None:
        return ""
    return f" (row {job.pieces.members(training.epoch, *place)[cause.row]} of the data)"


def _cause(job: Job, training: Training, rows: Rows) -> Cause | None:
    """Where these rows first give a value that is not finite."""
    return job.explain(rows, {n: job.arrays.host(w) for n, w in training.weights.items()}) if job.explain else None
