"""Whether the labels of every row are classes, and fit into its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from rnngraph.data.checks import Checked
from rnngraph.data.shape_checks import Array
from rnngraph.data.value_checks import within
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.ir.types import BATCH, every, size_of
from rnngraph.language.elaboration.mistakes import counted
from rnngraph.ops.ctc import WHAT_ENDS, no_class
from rnngraph.passes.alignments import Alignment


def refuse_wrong_labels(wanted: Iterable[Alignment], data: Checked) -> None:
    """UserError that names, for each CTC loss, the first label that is no class, or the first row with more labels
    than its steps can say."""
    given = [one for one in wanted if one.labels in data.arrays and one.over in data.sizes]
    found = [told for one in given if (told := _wrong(one, data)) is not None]
    if found:
        raise UserError(found)


def fitting_labels(
    wanted: Iterable[Alignment], data: Mapping[str, Any], sizes: Mapping[str, int]
) -> Iterator[tuple[str, Callable[[Array], bool]]]:
    """Of each array of labels among data of these sizes, without lengths, what tells whether it would be refused."""
    for one in wanted:
        if one.labels in data and one.over in sizes:
            most = data[one.labels].shape[1]
            most += one.merged * max(0, most - 1)
            fits = one.lenient or most <= size_of(one.axis, sizes.__getitem__)
            yield one.labels, partial(_fit, one, dict(sizes), fits)


def _fit(one: Alignment, sizes: dict[str, int], always: bool, labels: Array) -> bool:
    """`always`: however many labels count, there are steps enough."""
    return (always and within(one.classes, labels)) or _wrong(one, Checked({one.labels: labels}, {}, {}, sizes)) is None


def _wrong(one: Alignment, data: Checked) -> Diagnostic | None:
    return _no_class(one, data) or _too_long(one, data)


def _no_class(one: Alignment, data: Checked) -> Diagnostic | None:
    labels = data.arrays[one.labels]
    bad = np.argwhere(_real(one, data) & ((labels < 0) | (labels >= one.classes)))
    if not bad.size:
        return None
    row, place = map(int, bad[0])
    told = no_class(one.blank, one.classes, int(labels[row, place]), row, place)
    return Diagnostic("E531", f"`{one.labels}` holds {told}", one.span, help=WHAT_ENDS)


def _too_long(one: Alignment, data: Checked) -> Diagnostic | None:
    steps = _lengths(one.axis, data)
    count, repeated = _needed(one, data)
    bad = np.flatnonzero(count + repeated > steps)
    if one.lenient or not bad.size:
        return None
    row = int(bad[0])
    blanks = f", of which {repeated[row]} must follow an equal one behind a blank," if repeated[row] else ""
    return Diagnostic(
        "E539",
        f"row {row} of `{one.labels}` has {counted(int(count[row]), 'label')}{blanks} for "
        f"{counted(int(steps[row]), 'step')} of the scores",
        one.span,
        help="give the scores more steps, or leave such rows out with `ignore_longer = true`",
    )


def _lengths(axis: str, data: Checked) -> Array:
    """The real steps of each row; of a derived axis, those that are left of the axis it is of."""
    base, by = every(axis)
    if base:
        return -(-_lengths(base, data) // by)
    whole = np.full(data.sizes[BATCH], size_of(axis, data.sizes.__getitem__))
    return data.lengths.get(axis, whole)


def _real(one: Alignment, data: Checked) -> Array:
    """Which labels count: those before the first blank, within the length."""
    labels = data.arrays[one.labels]
    real = (np.arange(labels.shape[1]) < _lengths(one.over, data)[:, None]) & (labels != one.blank)
    return np.logical_and.accumulate(real, axis=1)


def _needed(one: Alignment, data: Checked) -> tuple[Array, Array]:
    """How many labels count in each row, and how many of them equal the one before."""
    labels, real = data.arrays[one.labels], _real(one, data)
    count = real.sum(axis=1)
    repeated = (real[:, 1:] & (labels[:, 1:] == labels[:, :-1])).sum(axis=1)
    if one.collapsed:
        return count - repeated, np.zeros_like(count)
    return count, repeated if one.merged else np.zeros_like(count)
