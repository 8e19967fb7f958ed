"""Whether the labels of every row fit into its steps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rnngraph.diagnostics import Diagnostic, UserError
from rnngraph.front.mistakes import counted
from rnngraph.ir.types import BATCH, every, size_of
from rnngraph.learn.checks import Checked
from rnngraph.learn.fitting import Array
from rnngraph.passes.alignments import Alignment


def refuse_long_labels(wanted: Iterable[Alignment], data: Checked) -> None:
    """UserError that names, for each CTC loss, the first row with more labels than its steps can say."""
    found = [told for one in wanted if (told := _too_long(one, data)) is not None]
    if found:
        raise UserError(found)


def _too_long(one: Alignment, data: Checked) -> Diagnostic | None:
    if one.labels not in data.arrays or one.over not in data.sizes:
        return None
    steps = _lengths(one.axis, data)
    count, repeated = _needed(one, data.arrays[one.labels], _lengths(one.over, data))
    bad = np.flatnonzero(count + repeated > steps)
    if not bad.size:
        return None
    row = int(bad[0])
    blanks = f", of which {repeated[row]} must follow an equal one behind a blank," if repeated[row] else ""
    return Diagnostic(
        "E539",
        f"row {row} of `{one.labels}` has {counted(int(count[row]), 'label')}{blanks} for "
        f"{counted(int(steps[row]), 'step')} of the scores",
        one.span,
        help="give the scores more steps, or leave such rows out with `ignore_longer = true`"
        if not repeated[row]
        else "give the scores more steps",
    )


def _lengths(axis: str, data: Checked) -> Array:
    """The real steps of each row; of a derived axis, those that are left of the axis it is of."""
    base, by = every(axis)
    if base:
        return -(-_lengths(base, data) // by)
    whole = np.full(data.sizes[BATCH], size_of(axis, data.sizes.__getitem__))
    return data.lengths.get(axis, whole)


def _needed(one: Alignment, labels: Array, lengths: Array) -> tuple[Array, Array]:
    """How many labels count in each row, and how many of them equal the one before."""
    real = (np.arange(labels.shape[1]) < lengths[:, None]) & (labels != one.blank)
    real &= (labels >= 0) & (labels < one.classes)
    real = np.logical_and.accumulate(real, axis=1)
    count = real.sum(axis=1)
    repeated = (real[:, 1:] & (labels[:, 1:] == labels[:, :-1])).sum(axis=1)
    if one.collapsed:
        return count - repeated, np.zeros_like(count)
    return count, repeated if one.merged else np.zeros_like(count)
