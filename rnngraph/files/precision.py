"""What becomes of a number in a type of floats of less range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def becomes(number: float, dtype: str) -> str:
    """`infinite`, or `0`, where a finite number that is not 0 is that in this type; else nothing."""
    if number == 0 or 1e-37 < abs(number) < 1e38 or not math.isfinite(number):  # any type has these
        return ""
    with np.errstate(over="ignore", under="ignore"):
        held = np.dtype(dtype).type(number)
    return "0" if held == 0 else "" if np.isfinite(held) else "infinite"


def cast(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The array in this type; itself, if it has it. What the type does not hold is infinite there: see `overflow`."""
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


def overflow(given: NDArray[Any], held: NDArray[Any]) -> tuple[int, ...] | None:
    """The place of the first number that is `held`, in another type, as infinity though it is finite, or as another
    integer."""
    if given is held:
        return None
    bad = np.argwhere(held != given if held.dtype.kind in "iu" else np.isinf(held) & np.isfinite(given))
    return tuple(bad[0].tolist()) if len(bad) else None


def wider(dtype: str) -> str:
    """What mends it where a type does not hold a number."""
    return "compute in float64 (`--dtype float64`)" if dtype == "float32" else f"no type holds more than {dtype} does"
