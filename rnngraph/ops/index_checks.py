"""Whether integers that choose lie inside of what they choose from.

The language puts an `inside` in front of each integer that chooses. What is known to be inside needs none, and of the
others a run looks at all at once, by `outside` (see `passes.index_checks`): so looking costs a step of a loop nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import Type, union
from rnngraph.ops.table import define, no_rule

_IDS, _LIVE = Type(("time", "batch"), (), "int"), Type(("batch",), (), "bool")
_ALL_LIVE = Type(("time", "batch"), (), "bool")


def _checked(types: tuple[Type, ...]) -> None:
    ids, *live = types
    if ids.dtype != "int" or len(live) > 1 or any(t.dtype != "bool" or t.shape for t in live):
        raise ShapeError(f"looks at integers, for rows that are live or not: {', '.join(map(str, types))}")


def _inside_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    _checked(types)
    return types[:1]


def _shared(types: tuple[Type, ...]) -> tuple[str, ...]:
    """The axes that the truth values have in common with the integers."""
    return tuple(axis for axis in types[1].axes if axis in types[0].axes) if len(types) > 1 else ()


def _some(attrs: Attrs, types: tuple[Type, ...], results: tuple[Type, ...]) -> tuple[Type, ...]:
    return (Type(_shared(types), (), "bool"),) if len(types) > 1 else ()


def _inside(backend: Any, node: Node) -> Callable[..., None]:
    xp, types = backend.xp, tuple(v.type for v in node.inputs)
    if len(types) == 1:
        return lambda ids, out: xp.copyto(out, ids)
    shared = _shared(types)
    gone = tuple(i for i, axis in enumerate(types[1].axes) if axis not in shared)
    index = (*(slice(None) if axis in shared else None for axis in types[0].axes), *(None,) * len(types[0].shape))

    def run(ids: Any, live: Any, out: Any, some: Any) -> None:
        xp.any(live, axis=gone, out=some) if gone else xp.copyto(some, live)
        out.fill(0)
        xp.copyto(out, ids, where=some[index])

    return run


define(
    "inside",
    _inside_type,
    kernel=_inside,
    scratch=_some,
    vjp=no_rule,
    range=ranges.same,
    examples=(
        ({"size": 4}, (_IDS,)),
        ({"size": 4}, (_IDS, _LIVE)),
        ({"size": 4}, (Type(("time",), (2,), "int"), _ALL_LIVE)),
    ),
)
"""The integers, each of which is to be one of 0 to `size` - 1; of rows that truth values leave out 0."""


def _outside_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    _checked(types)
    return (Type((), (), "bool"),)


def _bad(attrs: Attrs, types: tuple[Type, ...], results: tuple[Type, ...]) -> tuple[Type, ...]:
    return (Type(union(types), types[0].shape, "bool"),)


def _outside(backend: Any, node: Node) -> Callable[..., None]:
    xp, types = backend.xp, [v.type for v in node.inputs]
    size, axes, tail = backend.xp.uint64(node.attrs["size"]), union(types), (None,) * len(types[0].shape)
    index = [tuple(slice(None) if axis in t.axes else None for axis in axes) for t in types]

    def run(ids: Any, out: Any, bad: Any) -> None:
        # Without its sign a negative number is larger than any size.
        xp.greater_equal(ids.view(xp.uint64), size, bad)
        out[...] = bad.any()

    def of_some(ids: Any, live: Any, out: Any, bad: Any) -> None:
        xp.greater_equal(ids.view(xp.uint64)[index[0]], size, bad)
        xp.logical_and(bad, live[index[1] + tail], bad)
        out[...] = bad.any()

    return run if len(types) == 1 else of_some


define(
    "outside",
    _outside_type,
    kernel=_outside,
    vjp=no_rule,
    scratch=_bad,
    examples=(({"size": 1}, (_IDS,)), ({"size": 1}, (Type(("batch",), (2,), "int"), _ALL_LIVE))),
)
"""Whether any of the integers is none of 0 to `size` - 1, of rows that truth values do not leave out."""
