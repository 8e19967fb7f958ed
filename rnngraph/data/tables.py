"""Data from a table: which columns an input is made of, and windows over its rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from rnngraph.data.column_encoding import fitted, values
from rnngraph.data.dataset import Dataset
from rnngraph.data.lengths import LENGTHS
from rnngraph.data.preprocessing import TABLE, Names, Recipe, recipe_in
from rnngraph.data.roles import Roles
from rnngraph.data.table_files import Table, read_table
from rnngraph.data.table_order import Sorted, in_order
from rnngraph.data.windowing import Windows, over, whole
from rnngraph.diagnostics.argument_kinds import kinds_checked
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import DataInput

Array = NDArray[Any]
ROW = "row"
"""The name of what stands beside rows that have no order: their number in the table."""


class Fed(Protocol):
    """What a model tells of its inputs."""

    @property
    def roles(self) -> Roles: ...


@kinds_checked
def table(
    model: Fed,
    source: Any,
    *,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    masks: Mapping[str, str | Sequence[str]] | None = None,
    steps: int | Mapping[str, int] | None = None,
    stride: int | None = None,
    horizon: int | None = None,
    by: str | None = None,
    order: str | None = None,
    standardise: bool | None = None,
    rows: int | None = None,
    like: Mapping[str, Any] | None = None,
    only: Collection[str] | None = None,
    partly: bool = False,
) -> Dataset:
    """The inputs of a model from a table: a CSV file, what pandas reads, a DataFrame, or a mapping of columns.

    `columns` gives for an input (batch, time, k) or (batch, k) the names of its k columns; an input of one value takes
    the column of its own name where none is given. With `steps` (for all time axes, or for each) rows are windows over
    the table, one every `stride` rows; without, a sequence is all of the table. `by` is a column that tells sequences
    apart, `order` one that their rows are sorted by: numbers or dates. What only the loss and the metrics read is a
    target and stands `horizon` rows behind the last step; a sequence of targets along the same axis is that many rows
    ahead, one along another axis begins there. With `rows` the table is laid out as so many windows that follow each
    other instead, for training with `segment`. `standardise` scales columns of floats to mean 0 and deviation 1.
    Missing values are refused, but in columns that `masks` names for an input: that input is 1 where they have values,
    and 0 stands where they have none.

    `like` (`Dataset.made`, `Weights.about.data`) has new data made as others were, with their scaling and classes.
    `only` names the inputs that are made; `partly` leaves out those that the table has no column for, as where each of
    several tables has some.

    UserError with the row and the column of what is wrong.
    """
    known = recipe_in(like or {}) or Recipe()
    roles = model.roles
    given: dict[str, Any] = {
        "columns": None if columns is None else _named(columns),
        "masks": None if masks is None else _named(masks),
        "steps": None if steps is None else _by_axis(steps, roles),
        "stride": None if stride is None else whole("stride", stride, 1),
        "horizon": None if horizon is None else whole("horizon", horizon, 0),
        "by": by,
        "order": order,
        "standardise": standardise,
    }
    asked = replace(known, **{name: value for name, value in given.items() if value is not None})
    if known.scaling and not asked.standardise:
        raise UserError("the weights were trained on standardised columns", "E554", "leave `standardise` as it was")
    wanted = [i for i in roles.inputs if only is None or i.name in only]
    read = read_table(source)
    chosen = _chosen(roles, wanted, read, asked, partly)
    masked = {name for name, columns in asked.masks.items() if not (partly and _lacks(read, columns))}
    inputs = [i for i in wanted if i.name in chosen or i.name in masked]
    asked = replace(asked, columns={**asked.columns, **chosen})
    return _made(roles, inputs, read, asked, known, rows)


def _named(given: Mapping[str, str | Sequence[str]]) -> dict[str, tuple[str, ...]]:
    fine = isinstance(given, Mapping) and all(
        isinstance(v, str) or (isinstance(v, Sequence) and all(isinstance(n, str) for n in v)) for v in given.values()
    )
    if not fine:
        raise UserError("columns are given by input", "E550", "as in columns={'x': ['temp', 'load'], 'y': 'price'}")
    return {name: (names,) if isinstance(names, str) else tuple(names) for name, names in given.items()}


def _by_axis(steps: int | Mapping[str, int], roles: Roles) -> dict[str, int]:
    axes = dict.fromkeys(axis for i in roles.inputs for axis in i.axes)
    unknown = [axis for axis in steps if axis not in axes] if isinstance(steps, Mapping) else []
    if unknown:
        help = did_you_mean(unknown[0], axes) or f"its axes: {', '.join(f'`{a}`' for a in axes) or 'none'}"
        raise UserError(f"no sequence of the data runs over `{unknown[0]}`", "E621", help)
    found = dict(steps) if isinstance(steps, Mapping) else dict.fromkeys(axes, steps)
    return {axis: whole("steps", n, 1) for axis, n in found.items()}


# --- one table ------------------------------------------------------------------------------------------------------


def _made(
    roles: Roles, inputs: Sequence[DataInput], table: Table, asked: Recipe, known: Recipe, rows: int | None
) -> Dataset:
    there = in_order(table, asked)
    asked = fitted(inputs, table, asked, known)
    cut = _in_rows(roles, inputs, there, asked, rows) if rows else asked
    windows = _windows(roles, inputs, there, cut, rows)
    arrays = {i.name: _array(i, roles, there, windows, cut) for i in inputs}
    first = next((i.name for i in inputs if i.axes == (roles.axis,)), "")
    if windows.ragged and first:
        arrays[first + LENGTHS] = windows.lengths
    beside = _beside(roles, there, windows, asked)
    left_out = _too_short(roles, inputs, there, cut)
    ends = there.places[windows.starts + windows.lengths - 1]
    return Dataset(arrays, {TABLE: asked.as_json()}, beside, roles.axis, left_out, ends)


def _chosen(roles: Roles, wanted: Sequence[DataInput], table: Table, asked: Recipe, partly: bool) -> Names:
    """The columns of each input: those that are given, else those of its own name."""
    names = [i.name for i in roles.inputs]
    for name in (*asked.columns, *asked.masks):
        if name not in names:
            raise UserError(f"the model has no input `{name}`", "E510", did_you_mean(name, names) or _takes(names))
    plain = [i for i in wanted if i.name not in asked.masks]
    found = {i.name: asked.columns.get(i.name) or _own_columns(i, table) for i in plain}
    found = {name: () if partly and _lacks(table, columns) else columns for name, columns in found.items()}
    for item in plain:
        if found[item.name]:
            _refuse_unfit(item, found[item.name], table)
        elif item.default is None and not partly:
            _refuse_grid(item)
            few = ", ".join(f"`{n}`" for n in list(table.columns)[:8])
            raise UserError(
                f"no column of `{table.path}` is given for the input `{item.name}`",
                "E550",
                f"it has {few}: say which by --columns {item.name}=COLUMN, or columns={{'{item.name}': ...}}",
            )
    return {name: columns for name, columns in found.items() if columns}


def _lacks(table: Table, columns: Sequence[str]) -> bool:
    """Whether the table has none of these columns."""
    return not any(name in table.columns for name in columns)


def _refuse_unfit(item: DataInput, columns: Sequence[str], table: Table) -> None:
    """UserError where a column is not there, or an input is not made of so many."""
    _refuse_grid(item)
    for name in columns:
        table.column(name, f"the input `{item.name}` is made of")
    if len(item.type.shape) > 1:
        told = f"`{item.name}` is {list(item.type.shape)} at each step, which columns of a table cannot fill"
        raise UserError(told, "E550", "give such data as .npz")
    if len(columns) != _count(item):
        given = f"{len(columns)} column{'s are' if len(columns) > 1 else ' is'} given for it"
        raise UserError(f"`{item.name}` takes {_count(item)} columns, and {given}", "E550", "give it as many")


def _refuse_grid(item: DataInput) -> None:
    """UserError where an input runs over more axes than the rows of a table."""
    if len(item.axes) > 1:
        told = f"`{item.name}` runs over {' and '.join(item.axes)}, which columns of a table cannot fill"
        raise UserError(told, "E550", "give such data as .npz")


def _takes(names: Sequence[str]) -> str:
    return f"it takes {', '.join(f'`{n}`' for n in names)}"


def _count(item: DataInput) -> int:
    return int(np.prod(item.type.shape))


def _own_columns(item: DataInput, table: Table) -> tuple[str, ...]:
    numbered = tuple(f"{item.name}[{k}]" for k in range(_count(item)))
    if item.type.shape and all(name in table.columns for name in numbered):
        return numbered
    return (item.name,) if _count(item) == 1 and item.name in table.columns else ()


def _in_rows(roles: Roles, inputs: Sequence[DataInput], there: Sorted, asked: Recipe, rows: int) -> Recipe:
    """The recipe by which one long sequence is so many windows that follow each other."""
    rows = whole("rows", rows, 1)
    extra = max((_reach(i, roles, asked) for i in inputs), default=0)
    steps = (there.table.rows - extra) // rows
    if asked.by or not roles.axis or steps < 1:
        why = "its rows are sequences by themselves" if asked.by else f"it has {there.table.rows} rows"
        raise UserError(f"`{there.table.path}` cannot be laid out in {rows} rows: {why}", "E553")
    return replace(asked, steps={**asked.steps, roles.axis: steps}, stride=steps)


# --- windows --------------------------------------------------------------------------------------------------------


def _windows(roles: Roles, inputs: Sequence[DataInput], there: Sorted, asked: Recipe, rows: int | None) -> Windows:
    steps = asked.steps.get(roles.axis) if roles.axis else 1
    if roles.axis and steps and asked.horizon is None and any(i.name in roles.targets for i in inputs):
        target = next(i.name for i in inputs if i.name in roles.targets)
        raise UserError(
            f"it is not said how many rows behind a window its target `{target}` stands",
            "E552",
            "--horizon 1 (horizon=1) is the next row, --horizon 0 the last row of the window",
        )
    extra = max((_reach(i, roles, asked) for i in inputs), default=0)
    found = over(there.groups, steps, asked.stride if roles.axis else 1, extra).first(rows)
    if not len(found.starts):
        longest = max(there.groups)
        raise UserError(
            f"one step and what is ahead of it need {1 + extra} rows; the longest sequence has {longest}",
            "E553",
            "take a smaller horizon, or a longer table",
        )
    if roles.axis and steps and not asked.by and found.whole < steps:
        raise UserError(
            f"a window of {steps} steps{f' and {extra} rows behind it' if extra else ''} is longer than the table,"
            f" which has {there.table.rows} rows",
            "E553",
            f"take at most {there.table.rows - extra} steps",
        )
    return found


def _reach(item: DataInput, roles: Roles, asked: Recipe) -> int:
    """How many rows behind its last step a window has to have for an input."""
    if item.axes and item.axes != (roles.axis,):
        return (asked.horizon or 0) + _steps_of(item, asked) - 1
    return (asked.horizon or 0) if item.name in roles.targets else 0


def _steps_of(item: DataInput, asked: Recipe) -> int:
    (axis,) = item.axes
    if axis not in asked.steps:
        raise UserError(
            f"it is not said how many steps `{item.name}` has, which runs over `{axis}`",
            "E552",
            f"give one for each axis: --steps time=30,{axis}=7",
        )
    return asked.steps[axis]


def _array(item: DataInput, roles: Roles, there: Sorted, windows: Windows, asked: Recipe) -> Array:
    """What an input is given, batch first."""
    if BATCH not in item.type.axes:
        raise UserError(f"`{item.name}` is shared by all rows, so it is no column", "E550", "give it as .npz")
    columns = [values(item, name, there, asked) for name in (asked.masks.get(item.name) or asked.columns[item.name])]
    stacked = np.stack(columns, axis=-1) if item.type.shape else columns[0]
    ahead = (asked.horizon or 0) if item.name in roles.targets else 0
    if not item.axes:
        return windows.behind(stacked, ahead, 1)[:, 0]
    if item.axes == (roles.axis,):
        return windows.steps(stacked, ahead)
    return windows.behind(stacked, asked.horizon or 0, _steps_of(item, asked))


def _too_short(roles: Roles, inputs: Sequence[DataInput], there: Sorted, asked: Recipe) -> tuple[str, ...]:
    """The sequences that have not even one step and what is ahead of it."""
    extra = max((_reach(i, roles, asked) for i in inputs), default=0)
    firsts = np.cumsum([0, *there.groups[:-1]])
    short = [first for first, rows in zip(firsts, there.groups, strict=True) if rows <= extra]
    return tuple(str(there.table.columns[asked.by][there.rows[first]]) for first in short) if asked.by else ()


# --- beside ---------------------------------------------------------------------------------------------------------


def _beside(roles: Roles, there: Sorted, windows: Windows, asked: Recipe) -> dict[str, Array]:
    """What tells a person which row of the table is meant: its sequence, and the date of each step, or its number."""
    found: dict[str, Array] = {}
    if asked.by:
        found[asked.by] = there.table.columns[asked.by][there.rows][windows.starts]
    name = asked.order or ROW
    along = there.table.columns[asked.order][there.rows] if asked.order else there.rows + 1
    found[name] = windows.steps(along) if roles.axis else along[windows.starts]
    return found
