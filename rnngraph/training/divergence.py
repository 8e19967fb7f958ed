"""Where a loss or a gradient is nan or infinite, training stops: in which epoch and batch, and by which equation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.training.checkpoint import Training
from rnngraph.training.job import Job


def refuse_explained(job: Job, training: Training, batches: Iterable[Mapping[str, Any]]) -> None:
    """CannotDo with the equation in which the gradient of one of these batches is no longer finite, if it is in one."""
    for rows in batches:
        if _cause(job, training, rows):
            raise diverged(job, training, "gradient", rows)


def diverged(job: Job, training: Training, what: str, rows: Mapping[str, Any] | None) -> CannotDo:
    kept = f"; `{job.path}` holds the end of epoch {training.epoch}" if job.path and training.epoch else ""
    said = f"the {what} was no longer finite in epoch {training.epoch + 1}, batch {training.batch + 1}{kept}"
    cause = None if rows is None else _cause(job, training, rows)
    found = cause or Diagnostic("E731", "")
    said += f": {cause.message}" if cause else ""
    help = "; ".join(filter(None, (found.help, "try a smaller `rate`, or `clip_norm 1`")))
    return CannotDo([replace(found, code="E731", message=said, help=help)])


def _cause(job: Job, training: Training, rows: Mapping[str, Any]) -> Diagnostic | None:
    """Where these rows first give a value that is not finite."""
    return job.explain(rows, {n: job.arrays.host(w) for n, w in training.weights.items()}) if job.explain else None
