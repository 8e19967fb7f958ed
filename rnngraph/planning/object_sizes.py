"""What graphs and programs themselves take: the bytes of their Python objects, not of any array."""

from __future__ import annotations

import gc
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from rnngraph.diagnostics.source import Source
from rnngraph.ir.graph import Op

SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, Op, Source)
"""There once, whatever is compiled: the walk stops at them."""


def object_bytes(root: object, seen: set[int] | None = None) -> int:
    """The bytes of an object and of all it leads to. `seen` holds the ids that were counted, and is added to."""
    seen = set() if seen is None else seen
    total, left = 0, [root]
    while left:
        found: list[Any] = []
        for item in left:
            if id(item) not in seen and not isinstance(item, SHARED):
                seen.add(id(item))
                total += sys.getsizeof(item)
                found.append(item)
        left = gc.get_referents(*found)
    return total
