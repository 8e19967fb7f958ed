"""Whether weights that were given fit the model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.files.arrays import host_array
from rnngraph.files.precision import cast, overflow, wider
from rnngraph.files.safetensors import Arrays
from rnngraph.language.elaboration.elaborated import Weight


def check_weights(declared: Sequence[Weight], given: Mapping[str, Any], dtype: str = "float64") -> Arrays:
    """The given weights as arrays of `dtype`, in the declared order; UserError names everything that is
    wrong.
    """
    by_name = {weight.name: weight for weight in declared}
    problems = unknown(by_name, given)
    arrays: Arrays = {}
    for weight in declared:
        found = _fitted(weight, given, dtype)
        if isinstance(found, Diagnostic):
            problems.append(found)
        else:
            arrays[weight.name] = found
    if problems:
        raise UserError(problems)
    return arrays


def unknown(declared: Collection[str], given: Iterable[str]) -> list[Diagnostic]:
    """What is to be said of names that no weight has."""
    known = f"it has {', '.join(f'`{n}`' for n in list(declared)[:8])}" if declared else "it has none"
    return [
        Diagnostic("E654", f"the model has no weight `{name}`", help=did_you_mean(name, declared) or known)
        for name in given
        if name not in declared
    ]


def _fitted(weight: Weight, given: Mapping[str, Any], dtype: str) -> NDArray[Any] | Diagnostic:
    if weight.name not in given:
        return Diagnostic(
            "E655",
            f"no value is given for the weight `{weight.name}`",
            weight.span,
            f"declared here, {shape_text(weight.shape)}",
        )
    try:
        array = host_array(weight.name, given[weight.name])
    except ValueError:
        array = np.asarray(None)  # its rows differ in length
    if np.ma.is_masked(given[weight.name]):
        return Diagnostic("E657", f"the weight `{weight.name}` holds masked values", weight.span)
    if array.shape != weight.shape:
        return Diagnostic(
            "E656",
            f"the weight `{weight.name}` should be {shape_text(weight.shape)}, got {shape_text(array.shape)}",
            weight.span,
            "declared here",
        )
    if array.dtype.kind not in "fiu":
        return Diagnostic("E657", f"the weight `{weight.name}` should hold numbers, got {array.dtype}", weight.span)
    if not np.isfinite(array).all():
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        told = f"{array[first]} at {shape_text(first)}"
        return Diagnostic("E658", f"the weight `{weight.name}` holds {told}", weight.span)
    held = cast(array, dtype)
    if (at := overflow(array, held)) is not None:
        told = f"{array[at]:g} at {shape_text(at)}, which is infinite in {dtype}"
        return Diagnostic("E658", f"the weight `{weight.name}` holds {told}", weight.span, help=wider(dtype))
    return held


def shape_text(shape: Sequence[object]) -> str:
    """`(batch, time, 3)`; a single number is `()`."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
