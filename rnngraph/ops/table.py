"""The one table of ops, and how an entry is written.

An entry says everything about an op, and nothing else names it:

* `infer(attrs, types)` gives the types of the results or raises `ShapeError`;
* `kernel(backend, node)` gives the function that the runtime calls with the input arrays, then the output
  arrays to write to, then the scratch arrays; it allocates nothing;
* `vjp(attrs, y, dy, *inputs)` gives the cotangent of each input as a formula over `Formula` values, None
  where there is none. It need not care for broadcasting: `passes.grad` sums each back to its input's type;
* `kind` tells the lowering how the op meets memory: "pointwise" kernels get inputs aligned to the axes
  and the rank of the result; "general" kernels get the arrays as they are; a "view" makes no step;
  a "constant" is filled once, when sizes are known, by `kernel(backend, node)(out, sizes)`;
  "leaf", "loop" and "gather" (stack, history, concat: inputs are written in place) are the lowering's own;
* `range(node, *ranges)` tells between which numbers the result lies, and whether it is always finite, from the same of
  the inputs (`ir.interval_arithmetic`);
* `masks`: minus infinity is an entry that takes no part, as behind a mask, and `vjp` reads it as such; other rules,
  which multiply by what they read, get 0 there, as where it is infinite otherwise or nan;
* `inplace`: the kernel may write over an input of the same type; `strided`: it can write to a strided view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from rnngraph.ir.graph import NO_ATTRS, NOWHERE, Attrs, Op, Origin, ShapeError, Value, apply, make
from rnngraph.ir.types import DType, Type, union

TABLE: dict[str, Op] = {}

Infer = Callable[[Attrs, tuple[Type, ...]], tuple[Type, ...]]


def define(name: str, infer: Infer, **fields: Any) -> Op:
    """Adds an entry to the table."""
    if name in TABLE:
        raise ValueError(f"op {name} is defined twice")
    op = Op(name, infer, **fields)
    TABLE[name] = op
    return op


def call(name: str, *values: Value, origin: Origin = NOWHERE, **attrs: Any) -> Value:
    """The first result of the named op over the values."""
    return apply(TABLE[name], *values, origin=origin, **attrs)


def const(number: float | int | bool, dtype: DType = "float", origin: Origin = NOWHERE) -> Value:
    """A number with no axes and shape ()."""
    return Value(make(TABLE["const"], (), {"value": number, "dtype": dtype}, origin))


ZERO: dict[DType, float | int | bool] = {"float": 0.0, "int": 0, "bool": False}


def zeros(type: Type, origin: Origin = NOWHERE) -> Value:
    """An array of zeros, or of false."""
    value = const(ZERO[type.dtype], type.dtype, origin)
    if type.shape:
        value = call("broadcast", value, origin=origin, shape=type.shape)
    return call("spread", value, origin=origin, axes=type.axes) if type.axes else value


# --- formulas ----------------------------------------------------------------------------------------------


class Formula(Struct, frozen=True, eq=False):
    """A value with arithmetic, so that a gradient rule reads as in the paper. All nodes get one origin."""

    value: Value
    origin: Origin = NOWHERE

    def op(self, name: str, *others: Formula | float, **attrs: Any) -> Formula:
        values = [other.value if isinstance(other, Formula) else self.number(other) for other in others]
        return Formula(call(name, self.value, *values, origin=self.origin, **attrs), self.origin)

    def number(self, number: float) -> Value:
        return const(number, self.value.type.dtype)

    def constant(self, number: float) -> Formula:
        return Formula(self.number(number), self.origin)

    @property
    def type(self) -> Type:
        return self.value.type

    def __add__(self, other: Formula | float) -> Formula:
        return self.op("add", other)

    def __sub__(self, other: Formula | float) -> Formula:
        return self.op("sub", other)

    def __rsub__(self, other: float) -> Formula:
        return self.constant(other).op("sub", self)

    def __mul__(self, other: Formula | float) -> Formula:
        return self.op("mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Formula | float) -> Formula:
        return self.op("div", other)

    def __neg__(self) -> Formula:
        return self.op("neg")

    def where(self, condition: Formula, otherwise: Formula | float = 0.0) -> Formula:
        """This value where the condition holds, else the other."""
        other = otherwise if isinstance(otherwise, Formula) else self.constant(otherwise)
        return condition.op("where", self, other)


# --- rules of shape ----------------------------------------------------------------------------------------


def broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """NumPy's rule, from the right; ShapeError names the two sizes that differ."""
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = []
    for sizes in zip(*padded, strict=True):
        wide = sorted({size for size in sizes if size != 1})
        if len(wide) > 1:
            raise ShapeError("sizes differ: " + " and ".join(f"[{', '.join(map(str, s))}]" for s in shapes))
        result.append(wide[0] if wide else 1)
    return tuple(result)


def same_dtype(types: tuple[Type, ...]) -> DType:
    found = {t.dtype for t in types}
    if len(found) > 1:
        raise ShapeError("kinds of number differ: " + " and ".join(t.dtype for t in types))
    return types[0].dtype


def no_truth(type: Type) -> Type:
    """The type, of numbers; ShapeError where it is truth, of which there are no sums."""
    if type.dtype == "bool":
        raise ShapeError("needs numbers, not true or false: write `float(...)` around it")
    return type


def pointwise_type(*allowed: DType, result: DType | None = None) -> Infer:
    """Broadcast shapes, united axes; operands of one dtype among those allowed."""

    def infer(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
        dtype = same_dtype(types)
        if dtype not in allowed:
            raise ShapeError(f"needs {' or '.join(allowed)} values, not {dtype}")
        return (Type(union(types), broadcast([t.shape for t in types]), result or dtype),)

    return infer


def dim_of(attrs: Attrs, type: Type) -> int:
    """The attribute `dim` of an op as a negative index, checked."""
    dim: int = attrs.get("dim", -1)
    if not -len(type.shape) <= dim < len(type.shape):
        raise ShapeError(f"has no axis {dim}: its shape is [{', '.join(map(str, type.shape))}]")
    return dim if dim < 0 else dim - len(type.shape)


def positions(type: Type, axes: tuple[str, ...]) -> tuple[int, ...]:
    """Where the named axes stand in the array of a value."""
    return tuple(type.axes.index(axis) for axis in axes)


def kernel_of(name: str) -> Callable[..., Any]:
    """The ufunc of the array module by its name, called with inputs and then the output."""
    if name in ("maximum", "minimum"):  # NumPy takes their output by keyword only
        return lambda backend, node: lambda a, b, out: getattr(backend.xp, name)(a, b, out=out)
    return lambda backend, node: getattr(backend.xp, name)


def no_rule(attrs: Attrs, y: Formula, dy: Formula, *inputs: Formula) -> tuple[None, ...]:
    """Gradient of what is flat almost everywhere."""
    return (None,) * len(inputs)


FLOAT = Type(("batch",), (3,))
ROW = Type((), (3,))

__all__ = ["NO_ATTRS", "TABLE", "Formula", "ShapeError", "Type", "broadcast", "call", "const", "define", "zeros"]
