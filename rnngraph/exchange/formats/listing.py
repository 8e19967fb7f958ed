"""What `weights show` prints: a row for each array of a file."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnngraph.exchange.formats.contents import HALF, Found
from rnngraph.weights.checks import shape_text


def shown(found: Found) -> list[tuple[str, str, str, int, str, str, str]]:
    """A row for each array: name, shape, type and bytes as the file has them, least, mean and largest value."""
    return [_row(name, array, found.types.get(name, "")) for name, array in sorted(found.arrays.items())]


def _row(name: str, array: Any, stored: str) -> tuple[str, str, str, int, str, str, str]:
    bytes = array.size * HALF if stored else array.nbytes
    return (name, shape_text(array.shape), stored or str(array.dtype), bytes, *_extent(array))


def _extent(array: Any) -> tuple[str, str, str]:
    if not array.size or array.dtype.kind not in "fiub":
        return ("", "", "")
    # A sum of narrow floats overflows long before their mean does.
    least, mean, largest = (f"{float(n):.4g}" for n in (array.min(), array.mean(dtype=np.float64), array.max()))
    return least, mean, largest
