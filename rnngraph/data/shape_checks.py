"""Whether one array fits its declaration: kind of numbers, rank, and the size of each axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from rnngraph.data.lengths import LENGTHS
from rnngraph.diagnostics.diagnostic import Diagnostic, Label
from rnngraph.diagnostics.errors import Report, UserError
from rnngraph.files.arrays import host_array
from rnngraph.files.precision import cast
from rnngraph.files.safetensors import Arrays
from rnngraph.ir.types import BATCH, DType
from rnngraph.language.elaboration.elaborated import DataInput, StateInput
from rnngraph.weights.checks import shape_text

SEED = "seed"

Array = NDArray[Any]


class Checking(Struct):
    """What is being found out; each array that fits so far, and who first said the size of an axis."""

    report: Report = field(default_factory=Report)
    sizes: dict[str, int] = field(default_factory=dict)
    said: dict[str, DataInput | StateInput] = field(default_factory=dict)
    lengths: Arrays = field(default_factory=dict)
    length_names: dict[str, str] = field(default_factory=dict)

    def wrong(
        self,
        code: str,
        message: str,
        item: DataInput | StateInput | None = None,
        *,
        note: str = "",
        labels: tuple[Label, ...] = (),
        help: str = "",
    ) -> None:
        span = item.span if item else None
        self.report.add(
            Diagnostic(code, message, span, note or ("declared here" if span else ""), labels, help)
        )


def dims_of(item: DataInput | StateInput) -> tuple[str | int, ...]:
    """What the axes of the array should be: names where any size will do."""
    order = item.order if isinstance(item, DataInput) else (BATCH,) * (BATCH in item.type.axes)
    return (*order, *item.type.shape)


def fitting_array(
    check: Checking, item: DataInput | StateInput, given: Mapping[str, Any], dtype: str
) -> Array | None:
    """What is given for `item` in the type of the program, where kind, rank and sizes fit; else None."""
    if item.name not in given:
        return None
    try:
        array = host_array(item.name, given[item.name])
    except ValueError:
        check.wrong(
            "E512",
            f"`{item.name}` is not an array: its rows differ in length",
            item,
            help=f"pad the rows, and give their real lengths as `{item.name}{LENGTHS}`",
        )
        return None
    if np.ma.is_masked(given[item.name]):
        check.wrong("E513", f"`{item.name}` holds masked values", item, help="fill them, or give `lengths`")
        return None
    if not _kind(check, item, array) or not _shape(check, item, array):
        return None
    if item.type.dtype == "int" and refuse_too_large(check, item.name, array, item):
        return None
    return cast(array, target(item.type.dtype, dtype))


def unmasked(name: str, given: Any) -> Array:
    """What is given as a plain array. UserError where values are masked, which a plain one would show."""
    if np.ma.is_masked(given):
        raise UserError(f"`{name}` holds masked values", "E513", "fill them, or give `lengths`")
    return host_array(name, given)


def target(kind: DType, dtype: str) -> str:
    """The name of the array type that holds a kind of value; `dtype` is that of the program's floats."""
    return {"float": dtype, "int": "int64", "bool": "bool"}[kind]


def _kind(check: Checking, item: DataInput | StateInput, array: Array) -> bool:
    allowed = {"float": "fiub", "int": "iu", "bool": "b"}[item.type.dtype]
    truth = item.type.dtype == "bool" and array.dtype.kind in "iuf"
    if array.dtype.kind in allowed or (truth and bool(((array == 0) | (array == 1)).all())):
        return True
    wanted = {"float": "floats", "int": "integers", "bool": "booleans"}[item.type.dtype]
    whole = item.type.dtype == "int" and array.dtype.kind == "f"
    help = f"`{item.name}.astype(int)` converts whole numbers to integers" if whole else ""
    help = "the numbers 0 and 1 stand for false and true, but there are others here" if truth else help
    check.wrong("E513", f"`{item.name}` should hold {wanted}, got {array.dtype}", item, help=help)
    return False


def refuse_too_large(
    check: Checking, name: str, array: Array, item: DataInput | StateInput | None = None
) -> bool:
    """Whether integers without a sign are too large for one with a sign, which would make them negative."""
    large = bool(array.dtype == np.uint64 and array.size and array.max() > np.iinfo("int64").max)
    if large:
        check.wrong("E513", f"`{name}` holds {array.max()}, which 64 bits with a sign do not hold", item)
    return large


def _shape(check: Checking, item: DataInput | StateInput, array: Array) -> bool:
    dims = dims_of(item)
    if array.ndim != len(dims):
        check.wrong(
            "E514", f"`{item.name}` should be {shape_text(dims)}, got {shape_text(array.shape)}", item
        )
        return False
    fits = [_size(check, item, dims, i, size) for i, size in enumerate(array.shape)]
    return all(fits)


def _size(
    check: Checking, item: DataInput | StateInput, dims: tuple[str | int, ...], index: int, size: int
) -> bool:
    """Whether one axis has the size that was declared, or that an earlier array gave it."""
    wanted = dims[index]
    if isinstance(wanted, int):
        if size != wanted:
            check.wrong(
                "E515",
                f"`{item.name}` has {size} values on axis {index}, expected {wanted}: it should be "
                f"{shape_text(dims)}",
                item,
            )
        return size == wanted
    if size == 0 and wanted == BATCH:
        check.wrong("E516", f"`{item.name}` is empty: it has no rows", item)
        return False
    first = check.said.setdefault(wanted, item)
    if check.sizes.setdefault(wanted, size) == size:
        return True
    thing = "rows (batch)" if wanted == BATCH else f"steps ({wanted})"
    other = (Label(first.span, f"`{first.name}` has {check.sizes[wanted]}"),) if first.span else ()
    check.wrong(
        "E517",
        f"`{item.name}` has {size} {thing}, but `{first.name}` has {check.sizes[wanted]}",
        item,
        note=f"`{item.name}` has {size}",
        labels=other,
    )
    return False


def steps_of(inputs: Iterable[DataInput], data: Mapping[str, Any]) -> dict[str, int]:
    """The number of steps of each time axis, from the data."""
    found: dict[str, int] = {}
    for item in inputs:
        array = data.get(item.name)
        if array is not None and np.ndim(array) > len(item.axes):
            found = {**dict(zip(item.axes, np.shape(array)[1:], strict=False)), **found}
    return found
