"""The real steps of rows that are padded, as they are given beside the data and along each axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.files.arrays import host_array
from rnngraph.ir.types import every
from rnngraph.language.elaboration.elaborated import DataInput

Array = NDArray[Any]

LENGTHS = ".lengths"
"""What follows the name of an input in that of its lengths."""


def lengths_of(inputs: Iterable[DataInput], data: Mapping[str, Any]) -> dict[str, Array]:
    """The real steps of each row along every axis for which the data tell them."""
    told = [(i.axes, i.name + LENGTHS) for i in inputs if i.axes and i.name + LENGTHS in data]
    return {axis: found for axes, name in told for axis, found in by_axis(axes, host_array(name, data[name])).items()}


def real_steps(axis: str, lengths: Mapping[str, Array]) -> Array | None:
    """The real steps of each row along an axis, also along one of every k-th step; None where all of them are."""
    base, by = every(axis)
    found = real_steps(base, lengths) if base else lengths.get(axis)
    return found if found is None else -(-found // by)


def by_axis(axes: Sequence[str], lengths: Array) -> dict[str, Array]:
    """The real steps of each row along each axis, of lengths as they are given: (batch,) along one axis, (batch, 2)
    along two."""
    return dict(zip(axes, np.moveaxis(lengths, -1, 0) if len(axes) > 1 else [lengths], strict=True))


def as_given(axes: Sequence[str], lengths: Mapping[str, Array]) -> Array:
    """What `by_axis` takes apart."""
    return np.stack([lengths[axis] for axis in axes], axis=-1) if len(axes) > 1 else lengths[axes[0]]
