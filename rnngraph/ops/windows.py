"""Windows of an image (or of a line, or a volume): what a convolution, a pooling or a dilation looks at.

`patches` lays the windows of all places side by side, so that a convolution is one product with the kernel; `unpatch`,
its transpose, adds them up again. The channels stand last. Place o of the result looks at
`o * stride + k * dilation - before` for every k of the window; what lies outside the image is `fill`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import Type
from rnngraph.ops.table import TABLE, Formula, define, dim_of, no_truth

Window = dict[str, Any]


def same(sizes: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Window:
    """Attributes with just so much around that the result has ceil(size / stride) places; the odd cell comes after."""
    missing = [
        max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        for n, k, s, d in zip(sizes, window, stride, dilation, strict=True)
    ]
    before = tuple(m // 2 for m in missing)
    after = tuple(m - m // 2 for m in missing)
    return {"window": window, "stride": stride, "dilation": dilation, "before": before, "after": after}


def valid(window: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Window:
    """Attributes for whole windows alone."""
    none = (0,) * len(window)
    return {"window": window, "stride": stride, "dilation": dilation, "before": none, "after": none}


def places(attrs: Attrs, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """How many windows there are along each dimension."""
    found = []
    for i, n in enumerate(sizes):
        reach = (attrs["window"][i] - 1) * attrs["dilation"][i] + 1
        room = n + attrs["before"][i] + attrs["after"][i] - reach
        if room < 0:
            raise ShapeError(f"a window that reaches over {reach} values does not fit into {n}")
        found.append(room // attrs["stride"][i] + 1)
    return tuple(found)


def sees_nothing(attrs: Attrs, sizes: tuple[int, ...]) -> bool:
    """Whether there is a place whose whole window lies in the padding."""
    for i, (n, count) in enumerate(zip(sizes, places(attrs, sizes), strict=True)):
        seen = [k * attrs["dilation"][i] - attrs["before"][i] for k in range(attrs["window"][i])]
        if any(not any(0 <= o * attrs["stride"][i] + k < n for k in seen) for o in range(count)):
            return True
    return False


def _patches_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    if len(x.shape) != len(attrs["window"]) + 1:
        raise ShapeError(f"needs {len(attrs['window'])} dimensions and channels, not {list(x.shape)}")
    *sizes, channels = x.shape
    return (Type(x.axes, (*places(attrs, tuple(sizes)), *attrs["window"], channels), x.dtype),)


def _overlap(attrs: Attrs, image: Type) -> Iterator[tuple[Any, Any]]:
    """For each entry of the window in row order: where it stands in the patches, and what it sees of the image."""
    sizes = image.shape[:-1]
    counts = places(attrs, sizes)
    for entry in product(*map(range, attrs["window"])):
        to, source = [], []
        for i, k in enumerate(entry):
            stride, first = attrs["stride"][i], k * attrs["dilation"][i] - attrs["before"][i]
            low = max(0, -(first // stride))
            high = min(counts[i], (sizes[i] - 1 - first) // stride + 1)
            to.append(slice(low, max(low, high)))
            start = low * stride + first
            source.append(slice(start, start + max(0, high - low - 1) * stride + 1 if high > low else start, stride))
        yield (..., *to, *entry, slice(None)), (..., *source, slice(None))


def _patches(backend: Any, node: Node) -> Callable[..., None]:
    copyto, pairs = backend.xp.copyto, list(_overlap(node.attrs, node.inputs[0].type))
    fill = node.attrs.get("fill", 0.0)
    inside = not any((*node.attrs["before"], *node.attrs["after"]))

    def run(x: Any, out: Any) -> None:
        if not inside:
            out.fill(fill)
        for to, source in pairs:
            copyto(out[to], x[source])

    return run


def _patches_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    return (dy.op("unpatch", **{**attrs, "sizes": x.type.shape[:-1]}),)


def _unpatch_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    return (no_truth(Type(x.axes, (*attrs["sizes"], x.shape[-1]), x.dtype)),)


def _unpatch(backend: Any, node: Node) -> Callable[..., None]:
    add, pairs = backend.xp.add, list(_overlap(node.attrs, node.types[0]))

    def run(x: Any, out: Any) -> None:
        out.fill(0)
        for to, source in pairs:
            place = out[source]
            add(place, x[to], place)

    return run


def _unpatch_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    return (dy.op("patches", **{k: v for k, v in attrs.items() if k not in ("sizes", "fill")}),)


_LINE = {"window": (2,), "stride": (1,), "dilation": (2,), "before": (1,), "after": (1,)}
_IMAGE = {"window": (3, 2), "stride": (2, 1), "dilation": (1, 1), "before": (1, 0), "after": (1, 1)}
define(
    "patches",
    _patches_type,
    kernel=_patches,
    vjp=_patches_vjp,
    swells=True,
    examples=(
        (_LINE, (Type(("batch",), (5, 2)),)),
        (_IMAGE, (Type(("time", "batch"), (4, 3, 2)),)),
        (valid((2, 2), (1, 1), (1, 1)), (Type((), (3, 3, 1)),)),
    ),
)
define(
    "unpatch",
    _unpatch_type,
    kernel=_unpatch,
    vjp=_unpatch_vjp,
    examples=(
        ({**_LINE, "sizes": (5,)}, (Type(("batch",), (5, 2, 2)),)),
        ({**_IMAGE, "sizes": (4, 3)}, (Type(("batch",), (2, 3, 3, 2, 2)),)),
    ),
)


# --- the first of equal maxima, and the other way round ------------------------------------------------------------


def _first_max_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    """To the largest entry; of equal ones to the first."""
    dim, rank = dim_of(attrs, x.type), len(x.type.shape)
    here = x.op("argmax", dim=dim).op("one_hot", depth=x.type.shape[dim])
    order = [*range(rank - 1)]
    order.insert(rank + dim, rank - 1)
    kept = [1 if i == rank + dim else n for i, n in enumerate(x.type.shape)]
    return (here.op("transpose", perm=tuple(order)) * dy.op("reshape", shape=tuple(kept)),)


define(
    "first_max",
    TABLE["max_over"].infer,
    kernel=TABLE["max_over"].kernel,
    vjp=_first_max_vjp,
    masks=True,
    examples=(({"dim": -1}, (Type(("batch",), (3,)),)), ({"dim": -2}, (Type(("time", "batch"), (2, 3, 2)),))),
)
"""The largest entry along a dimension, whose gradient goes to the first of equal ones: what a pooling takes."""


def _flip(backend: Any, node: Node) -> Callable[..., None]:
    dim, copyto = dim_of(node.attrs, node.types[0]), backend.xp.copyto
    index = (..., slice(None, None, -1), *(slice(None),) * (-dim - 1))
    return lambda x, out: copyto(out, x[index])


def _same_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    dim_of(attrs, types[0])
    return types


define(
    "flip",
    _same_type,
    kernel=_flip,
    vjp=lambda attrs, y, dy, x: (dy.op("flip", dim=attrs["dim"]),),
    range=ranges.same,
    examples=(({"dim": -1}, (Type(("batch",), (3,)),)), ({"dim": 0}, (Type((), (2, 3)),))),
)
"""A dimension the other way round."""
