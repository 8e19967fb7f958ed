"""How each op of the table is said in ONNX: `rule(scope, node, *names of inputs) -> name of the result`."""

from __future__ import annotations

from itertools import product

import numpy as np

from rnngraph.exchange.export.onnx.products import contract
from rnngraph.exchange.export.onnx.scope import Rule, Scope
from rnngraph.ir.graph import Node
from rnngraph.ir.types import Type, union
from rnngraph.ops.table import dim_of

FAR = (1 << 63) - 1
"""Beyond the end of every dimension."""

# --- elementwise ----------------------------------------------------------------------------------------------------


def operands(s: Scope, node: Node, names: tuple[str, ...]) -> list[str]:
    """The inputs of an elementwise op, lined up with its result."""
    y = node.types[0]
    axes = union([v.type for v in node.inputs])
    return [s.aligned(n, v.type, axes, len(y.shape)) for n, v in zip(names, node.inputs, strict=True)]


def plain(op: str) -> Rule:
    return lambda s, node, *names: s.emit(op, *operands(s, node, names))


def compared(op: str) -> Rule:
    """Comparisons know no truth values: these are compared as integers."""

    def rule(s: Scope, node: Node, *names: str) -> str:
        lined = operands(s, node, names)
        if node.inputs[0].type.dtype == "bool":
            lined = [s.emit("Cast", n, to=s.whole.element("int")) for n in lined]
        return str(s.emit(op, *lined))

    return rule


def _where(s: Scope, node: Node, *names: str) -> str:
    """A choice; onnxruntime has none between truth values, which are put together from both cases."""
    condition, a, b = operands(s, node, names)
    if node.types[0].dtype != "bool":
        return str(s.emit("Where", condition, a, b))
    return str(s.emit("Or", s.emit("And", condition, a), s.emit("And", s.emit("Not", condition), b)))


def _not_equal(s: Scope, node: Node, *names: str) -> str:
    return str(s.emit("Not", str(compared("Equal")(s, node, *names))))


def _softplus(s: Scope, node: Node, x: str) -> str:
    """log(1 + exp(x)) as max(x, 0) + log(1 + exp(-|x|)), which overflows nowhere and exists for doubles."""
    small = s.emit("Exp", s.emit("Neg", s.emit("Abs", x)))
    tail = s.emit("Log", s.emit("Add", small, s.number(1)))
    return str(s.emit("Add", s.emit("Max", x, s.number(0)), tail))


def _log_sigmoid(s: Scope, node: Node, x: str) -> str:
    return str(s.emit("Neg", _softplus(s, node, s.emit("Neg", x))))


def _relu(s: Scope, node: Node, x: str) -> str:
    return str(s.emit("Max", x, s.number(0, node.types[0].dtype)))


def _square(s: Scope, node: Node, x: str) -> str:
    return str(s.emit("Mul", x, x))


def _mod(s: Scope, node: Node, *names: str) -> str:
    """The remainder with the sign of the divisor; ONNX has that for integers only, and only where that is not 0."""
    a, b = operands(s, node, names)
    if node.types[0].dtype == "int":
        _, by = _divisor(s, b)
        return str(s.emit("Mod", a, by))  # a remainder of 0 is 0: so it is of 1
    rest, zero = s.emit("Mod", a, b, fmod=1), s.number(0)
    other = s.emit("Xor", s.emit("Less", rest, zero), s.emit("Less", b, zero))
    wrong = s.emit("And", other, s.emit("Not", s.emit("Equal", rest, zero)))
    return str(s.emit("Where", wrong, s.emit("Add", rest, b), rest))


def _divisor(s: Scope, b: str) -> tuple[str, str]:
    """Where an integer is 0, and the integer with 1 in its place."""
    none = str(s.emit("Equal", b, s.number(0, "int")))
    return none, str(s.emit("Where", none, s.number(1, "int"), b))


def _floordiv(s: Scope, node: Node, *names: str) -> str:
    """What is left without the remainder, divided: without a rest but for rounding."""
    a, b = operands(s, node, names)
    whole = s.emit("Sub", a, _mod(s, node, *names))
    if node.types[0].dtype == "int":
        none, by = _divisor(s, b)
        return str(s.emit("Where", none, s.number(0, "int"), s.emit("Div", whole, by)))
    none = str(s.emit("Equal", b, s.number(0)))
    return str(s.emit("Where", none, s.emit("Div", a, b), s.emit("Round", s.emit("Div", whole, b))))


def _straight_through(s: Scope, node: Node, *names: str) -> str:
    """The value of the first operand."""
    return s.expanded(names[0], node.inputs[0].type, node.types[0])


def _cast(s: Scope, node: Node, x: str) -> str:
    return str(s.emit("Cast", x, to=s.whole.element(node.attrs["dtype"])))


def _broadcast(s: Scope, node: Node, x: str) -> str:
    (v,), y = node.inputs, node.types[0]
    lined = s.aligned(x, v.type, y.axes, len(y.shape))
    return str(s.emit("Expand", lined, s.ints(*[1] * len(y.axes), *y.shape)))


def _spread(s: Scope, node: Node, x: str) -> str:
    return s.expanded(x, node.inputs[0].type, node.types[0])


# --- constants ------------------------------------------------------------------------------------------------------


def _const(s: Scope, node: Node) -> str:
    return s.number(node.attrs["value"], node.attrs["dtype"])


def _size(s: Scope, node: Node) -> str:
    total = s.number(1, "int")
    for axis in node.attrs["axes"]:
        total = s.emit("Mul", total, s.size(axis))
    return str(s.emit("Cast", total, to=s.whole.element("float")))


def _iota(s: Scope, node: Node) -> str:
    return s.iota(node.attrs["axis"])


# --- products and reductions ----------------------------------------------------------------------------------------


def _sum(s: Scope, node: Node, x: str) -> str:
    shape = node.inputs[0].type.shape
    places = [dim - len(shape) if dim >= 0 else dim for dim in node.attrs["dims"]]
    return str(s.emit("ReduceSum", x, s.ints(*places), keepdims=int(node.attrs.get("keep", False))))


def _sum_axes(s: Scope, node: Node, x: str) -> str:
    axes = node.inputs[0].type.axes
    places = [i for i, axis in enumerate(axes) if axis in node.attrs["axes"]]
    return str(s.emit("ReduceSum", x, s.ints(*places), keepdims=0)) if places else x


def counted(rule: Rule) -> Rule:
    """The largest of truth values, which the format does not look for, is that of 0 and 1."""

    def whole(s: Scope, node: Node, x: str) -> str:
        if node.inputs[0].type.dtype != "bool":
            return str(rule(s, node, x))
        found = str(rule(s, node, str(s.emit("Cast", x, to=s.whole.element("int")))))
        return str(s.emit("Cast", found, to=s.whole.element(node.types[0].dtype)))

    return whole


def _max_axes(s: Scope, node: Node, x: str) -> str:
    """The largest, or 0 where there are no steps."""
    axes = [axis for axis in node.inputs[0].type.axes if axis in node.attrs["axes"]]
    if not axes:
        return x
    type = node.inputs[0].type
    found = s.emit("ReduceMax", x, s.ints(*(type.axes.index(axis) for axis in axes)), keepdims=0)
    for axis in axes:
        some = s.emit("Greater", s.size(axis), s.number(0, "int"))
        found = s.emit("Where", some, found, s.number(0, "int" if type.dtype == "bool" else type.dtype))
    return str(found)


def _max_over(s: Scope, node: Node, x: str) -> str:
    dim = dim_of(node.attrs, node.inputs[0].type)
    return str(s.emit("ReduceMax", x, s.ints(dim), keepdims=int(node.attrs.get("keep", False))))


def _argmax(s: Scope, node: Node, x: str) -> str:
    return str(s.emit("ArgMax", x, axis=dim_of(node.attrs, node.inputs[0].type), keepdims=0))


def along_dim(op: str) -> Rule:
    return lambda s, node, x: s.emit(op, x, axis=dim_of(node.attrs, node.inputs[0].type))


def _cumsum(s: Scope, node: Node, x: str) -> str:
    dim = s.tensor(np.array(dim_of(node.attrs, node.inputs[0].type), np.int64))
    return str(s.emit("CumSum", x, dim, reverse=int(node.attrs.get("reverse", False))))


# --- dimensions -----------------------------------------------------------------------------------------------------


def _concat(s: Scope, node: Node, *names: str) -> str:
    axes = node.types[0].axes
    whole = [
        s.expanded(name, v.type, Type(axes, v.type.shape, v.type.dtype))
        for name, v in zip(names, node.inputs, strict=True)
    ]
    return str(s.emit("Concat", *whole, axis=dim_of(node.attrs, node.types[0])))


def _slice(s: Scope, node: Node, x: str) -> str:
    dim = dim_of(node.attrs, node.inputs[0].type)
    return cut(s, x, dim, s.ints(node.attrs["start"]), s.ints(node.attrs["stop"]))


def cut(s: Scope, x: str, dim: int, start: str, stop: str) -> str:
    return str(s.emit("Slice", x, start, stop, s.ints(dim)))


def padded(s: Scope, x: str, type: Type, place: int, before: int, after: int) -> str:
    """Zeros in front of and behind what stands along one dimension, counted from the first."""
    pads = [0] * (2 * type.rank)
    pads[place], pads[type.rank + place] = before, after
    zero = False if type.dtype == "bool" else 0
    return str(s.emit("Pad", x, s.ints(*pads), s.number(zero, type.dtype)))


def _pad(s: Scope, node: Node, x: str) -> str:
    type = node.inputs[0].type
    place = type.rank + dim_of(node.attrs, type)
    return padded(s, x, type, place, node.attrs["before"], node.attrs["after"])


def _reshape(s: Scope, node: Node, x: str) -> str:
    return reshaped(s, x, node.types[0])


def reshaped(s: Scope, x: str, type: Type) -> str:
    return (
        str(s.emit("Reshape", x, s.ints(*[0] * len(type.axes), *type.shape)))
        if all(type.shape)
        else str(s.emit("Reshape", x, s.shape(type), allowzero=1))
    )


def _transpose(s: Scope, node: Node, x: str) -> str:
    lead = len(node.types[0].axes)
    return str(s.emit("Transpose", x, perm=[*range(lead), *(lead + i for i in node.attrs["perm"])]))


def _repeat(s: Scope, node: Node, x: str) -> str:
    y, times, shape = node.types[0], node.attrs["times"], node.inputs[0].type.shape
    at = len(y.axes) + len(shape) + dim_of(node.attrs, node.inputs[0].type) + 1
    spread = [1] * (y.rank + 1)
    spread[at] = times
    return reshaped(s, s.emit("Expand", s.unsqueeze(x, [at]), s.ints(*spread)), y)


def _flip(s: Scope, node: Node, x: str) -> str:
    return backwards(s, x, dim_of(node.attrs, node.types[0]))


def backwards(s: Scope, x: str, dim: int) -> str:
    """The other way round along a dimension."""
    return str(s.emit("Slice", x, s.ints(-1), s.ints(-FAR), s.ints(dim), s.ints(-1)))


def _patches(s: Scope, node: Node, x: str) -> str:
    """One strided view for each entry of the window, side by side."""
    type, y, a = node.inputs[0].type, node.types[0], node.attrs
    lead, rank = len(type.axes), len(a["window"])
    pads = [*[0] * lead, *a["before"], 0, *[0] * lead, *a["after"], 0]
    fill = s.number(a.get("fill", 0.0), type.dtype)
    whole = s.emit("Pad", x, s.ints(*pads), fill)
    counts, dims = y.shape[:rank], s.ints(*range(lead, lead + rank))
    views = []
    for entry in product(*map(range, a["window"])):
        first = [k * d for k, d in zip(entry, a["dilation"], strict=True)]
        stop = [f + (n - 1) * step + 1 for f, n, step in zip(first, counts, a["stride"], strict=True)]
        view = s.emit("Slice", whole, s.ints(*first), s.ints(*stop), dims, s.ints(*a["stride"]))
        views.append(s.unsqueeze(view, [lead + rank]))
    return reshaped(s, s.emit("Concat", *views, axis=lead + rank), y)


RULES: dict[str, Rule] = {
    **{name: plain(op) for name, op in {
        "neg": "Neg", "abs": "Abs", "sign": "Sign", "floor": "Floor", "round": "Round", "exp": "Exp", "log": "Log",
        "sqrt": "Sqrt", "reciprocal": "Reciprocal", "sin": "Sin", "cos": "Cos", "tanh": "Tanh", "sigmoid": "Sigmoid",
        "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow", "maximum": "Max", "minimum": "Min",
        "not": "Not", "and": "And", "or": "Or", "identity": "Identity",
    }.items()},
    **{name: compared(op) for name, op in {
        "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal",
    }.items()},
    "where": _where, "ne": _not_equal,
    "square": _square, "relu": _relu, "softplus": _softplus, "log_sigmoid": _log_sigmoid,
    "mod": _mod, "floordiv": _floordiv, "cast": _cast, "broadcast": _broadcast, "spread": _spread,
    "const": _const, "size": _size, "iota": _iota, "contract": contract, "sum": _sum, "sum_axes": _sum_axes,
    "max_over": counted(_max_over), "argmax": counted(_argmax), "max_axes": counted(_max_axes),
    "first_max": counted(_max_over), "softmax": along_dim("Softmax"), "log_softmax": along_dim("LogSoftmax"),
    "cumsum": _cumsum, "concat": _concat, "slice": _slice, "pad": _pad, "reshape": _reshape, "transpose": _transpose,
    "repeat": _repeat, "detach": plain("Identity"), "straight_through": _straight_through,
    "flip": _flip, "patches": _patches,
}  # fmt: skip
