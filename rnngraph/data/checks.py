"""Whether the data that was given fits what the model declares: everything wrong is told in one go."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from rnngraph.data.lengths import LENGTHS
from rnngraph.data.shape_checks import SEED, Checking, dims_of, fitting_array, refuse_too_large, target
from rnngraph.data.value_checks import check_contents, check_finite, check_lengths, check_start
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.files.arrays import host_array
from rnngraph.files.safetensors import Arrays
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import DataInput, StateInput
from rnngraph.weights.checks import shape_text


class Checked(Struct, frozen=True):
    """Data that fits: arrays batch-major as given, in the types of the program.

    `lengths` holds, for each time axis that was given any, the real length of every row (batch,), int64.
    `sizes` holds "batch" and the number of steps of each time axis.
    """

    arrays: Arrays
    states: Arrays
    lengths: Arrays
    sizes: dict[str, int]
    seed: int | None = None


def check_data(
    inputs: Sequence[DataInput],
    states: Sequence[StateInput],
    data: Mapping[str, Any],
    *,
    steps: int | Mapping[str, int] | None = None,
    need: Collection[str] | None = None,
    over: Sequence[str] = (),
    bounds: Mapping[str, int] | None = None,
    dtype: str = "float64",
) -> Checked:
    """The data by name as arrays that the model can take, and the sizes of its axes.

    `steps` is what a static program was compiled for (one number for every time axis, or by axis); `need`
    names the inputs that must be there (all that have no default, unless told), `over` the axes of which some input
    has to tell the number of steps; `bounds` gives for integer inputs the number of rows of the table that they index.
    Padding may hold anything but ids are still integers. Raises UserError with one diagnostic per mistake.
    """
    check = Checking()
    given = dict(data)
    seed = _seed(check, given)
    _names(check, inputs, states, given, need)
    arrays = {i.name: a for i in inputs if (a := fitting_array(check, i, given, dtype)) is not None}
    fed = {s.name: a for s in states if (a := fitting_array(check, s, given, dtype)) is not None}
    for item in inputs:
        if item.name in arrays and item.axes and BATCH in item.type.axes and item.name + LENGTHS in given:
            check_lengths(check, item, given[item.name + LENGTHS])
    for item in inputs:
        if item.name in arrays:
            check_contents(check, item, arrays[item.name], given[item.name], (bounds or {}).get(item.name))
    for state in states:
        if state.name in fed:
            check_finite(check, state, fed[state.name], given[state.name], None)
            check_start(check, state, fed[state.name])
    _static(check, steps)
    _over(check, inputs, over, {*given, *(need or ())})
    check.report.stop_on_errors()
    filled = _defaults(check, inputs, arrays, dtype)
    for item in inputs:
        if item.name in filled:
            check_contents(check, item, filled[item.name], filled[item.name], (bounds or {}).get(item.name))
    check.report.stop_on_errors()
    arrays.update(filled)
    sizes = {BATCH: 1, **check.sizes}  # a model that is given nothing runs one row
    return Checked(arrays, fed, check.lengths, sizes, seed)


def _names(
    check: Checking,
    inputs: Sequence[DataInput],
    states: Sequence[StateInput],
    given: Mapping[str, Any],
    need: Collection[str] | None,
) -> None:
    sequences = [i.name for i in inputs if i.axes and BATCH in i.type.axes]
    known = [i.name for i in inputs] + [s.name for s in states] + [n + LENGTHS for n in sequences]
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or f"it takes {', '.join(f'`{n}`' for n in known[:8]) or 'none'}"
            check.wrong("E510", f"the model has no input `{name}`", help=hint)
    for item in inputs:
        wanted = item.name in need if need is not None else item.default is None
        if wanted and item.name not in given:
            check.wrong(
                "E511",
                f"the data has no `{item.name}`",
                item,
                help=f"give an array {shape_text(dims_of(item))} under this name",
            )
        if item.name + LENGTHS in given and item.name not in given:
            check.wrong("E511", f"the data has `{item.name + LENGTHS}` but no `{item.name}`", item)
    kept = [s for s in states if not s.begins]  # how many steps are over is 0 where it is not told
    for record in dict.fromkeys(s.record for s in kept):
        _whole(check, record, [s for s in kept if s.record == record], given)


def _whole(check: Checking, record: str, states: list[StateInput], given: Mapping[str, Any]) -> None:
    """Of a record all states are given, or none: one that was forgotten would begin anew, and nobody would see it."""
    told, missing = [s for s in states if s.name in given], [s for s in states if s.name not in given]
    if told and missing:
        check.wrong(
            "E511",
            f"the data has `{told[0].name}` but no {' and no '.join(f'`{s.name}`' for s in missing)}",
            missing[0],
            help=f"give all states of `{record}`, or none of them",
        )


def _seed(check: Checking, given: dict[str, Any]) -> int | None:
    """Takes the seed of random numbers out of the data."""
    if SEED not in given:
        return None
    value = host_array(SEED, given[SEED])
    if value.shape != () or value.dtype.kind not in "iu":
        return None  # an input of the model that happens to have this name, or an unknown one
    del given[SEED]
    refuse_too_large(check, SEED, value)
    return int(value)


def _static(check: Checking, steps: int | Mapping[str, int] | None) -> None:
    if steps is None:
        return
    for axis, size in check.sizes.items():
        wanted = steps if isinstance(steps, int) else steps.get(axis, size)
        if axis != BATCH and size != wanted:
            item = check.said[axis]
            check.wrong(
                "E518",
                f"`{item.name}` has {size} steps, but the program was compiled for {wanted}",
                item,
                help=f"compile it with `--steps {size}`, or with `--unroll dynamic` for any number",
            )


def _over(check: Checking, inputs: Sequence[DataInput], over: Sequence[str], looked_at: Collection[str]) -> None:
    """Tells axes of which no input tells the number of steps, but for those of inputs that were looked at already."""
    for axis in over:
        along = [i for i in inputs if axis in i.axes]
        if axis not in check.sizes and not any(i.name in looked_at for i in along):
            names = " or ".join(f"`{i.name}`" for i in along)
            check.wrong("E511", f"the data do not tell how many steps `{axis}` has", along[0], help=f"give {names}")


def _defaults(check: Checking, inputs: Sequence[DataInput], arrays: Arrays, dtype: str) -> Arrays:
    """Inputs that were left out and have a value for that, where the sizes of their axes are known."""
    filled: Arrays = {}
    for item in inputs:
        dims = dims_of(item)
        if (
            item.name not in arrays
            and item.default is not None
            and all(isinstance(d, int) or d in check.sizes for d in dims)
        ):
            shape = tuple(d if isinstance(d, int) else check.sizes[d] for d in dims)
            filled[item.name] = np.full(shape, item.default, target(item.type.dtype, dtype))
    return filled
