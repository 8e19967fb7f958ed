"""How each op of the table is said in NumPy: `rule(words, node, *operands) -> Text`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from msgspec import Struct, field

from rnngraph.exchange.export.einsum import is_matmul, subscripts
from rnngraph.ir.graph import Node, Value
from rnngraph.ir.types import BATCH, DType, Type, union
from rnngraph.ops.table import dim_of

COMPARE, ADD, MUL, UNARY, ATOM = range(5)


class Text(NamedTuple):
    """An expression of Python and how strongly it holds together.

    `bare` is a number of Python's own: it takes the type of the arrays beside it, and has neither a type nor methods.
    """

    text: str
    level: int = ATOM
    bare: bool = False

    def at(self, level: int) -> str:
        """With brackets where it holds together less than that."""
        return self.text if self.level >= level else f"({self.text})"


class Words(Struct):
    """What the rules share: the names of sizes, the functions that were used."""

    float: str
    sizes: dict[str, str]
    used: set[str] = field(default_factory=set)

    def dtype(self, dtype: str) -> str:
        return {"int": "np.int64", "bool": "bool"}.get(dtype, self.float)

    def snippet(self, name: str) -> str:
        self.used.add(name)
        return name

    def shape(self, type: Type) -> str:
        return tuple_text([*(self.sizes[axis] for axis in type.axes), *map(str, type.shape)])


Rule = Callable[..., Text]


def tuple_text(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def call(name: str, *arguments: str) -> Text:
    return Text(f"{name}({', '.join(arguments)})")


def method(x: Text, name: str, *arguments: str) -> Text:
    return Text(f"{x.at(ATOM)}.{name}({', '.join(arguments)})")


def index(x: Text, entries: Sequence[str]) -> Text:
    """`x[entries]` without the colons at its end."""
    kept = list(entries)
    while kept and kept[-1] == ":":
        kept.pop()
    return Text(f"{x.at(ATOM)}[{', '.join(kept)}]") if kept else x


def at_place(place: int, entry: str) -> list[str]:
    return [":"] * place + [entry]


def lined(x: Text, type: Type, axes: tuple[str, ...], rank: int, leading: bool = False) -> Text:
    """An operand with new dimensions where it lacks axes or dimensions of the result."""
    missing = [i for i, axis in enumerate(axes) if axis not in type.axes]
    missing += range(len(axes), len(axes) + rank - len(type.shape))
    if type.rank == 0 or (missing == list(range(len(missing))) and not (leading and missing)):
        return x
    return index(x, ["None" if i in missing else ":" for i in range(len(axes) + rank)])


def typed(w: Words, x: Text, dtype: DType) -> Text:
    """A bare number as one of NumPy's types; anything else as it is."""
    return call("np.bool_" if dtype == "bool" else w.dtype(dtype), x.text) if x.bare else x


def operands(w: Words, node: Node, texts: Sequence[Text]) -> list[Text]:
    """The operands of an elementwise op, lined up. Where all floats are bare, one gets the type of the file's."""
    axes, rank = union([v.type for v in node.inputs]), len(node.types[0].shape)
    floats = [i for i, v in enumerate(node.inputs) if v.type.dtype == "float"]
    first = floats[0] if floats and all(texts[i].bare for i in floats) else None
    known = [typed(w, t, "float") if i == first else t for i, t in enumerate(texts)]
    return [lined(t, v.type, axes, rank) for t, v in zip(known, node.inputs, strict=True)]


# --- elementwise ----------------------------------------------------------------------------------------------------


def function(name: str, *more: str) -> Rule:
    return lambda w, node, *texts: call(name, *(t.text for t in operands(w, node, texts)), *more)


def infix(sign: str, level: int) -> Rule:
    """Of whole numbers that are bare the result is bare too. Comparisons side by side mean something else in Python."""
    left = level + (level == COMPARE)

    def rule(w: Words, node: Node, *texts: Text) -> Text:
        a, b = operands(w, node, texts)
        return Text(f"{a.at(left)} {sign} {b.at(level + 1)}", level, a.bare and b.bare)

    return rule


def formula(text: str, level: int = ATOM) -> Rule:
    """An expression with the operand at `{}`."""

    def rule(w: Words, node: Node, *texts: Text) -> Text:
        (x,) = operands(w, node, texts)
        return Text(text.format(x.at(ATOM)), level, x.bare)

    return rule


def _cast(w: Words, node: Node, x: Text) -> Text:
    (v,), dtype = node.inputs, node.attrs["dtype"]
    if v.op.name == "const":
        return number(w, v, dtype)
    return typed(w, x, dtype) if x.bare else method(x, "astype", w.dtype(dtype))


def number(w: Words, value: Value, dtype: str) -> Text:
    kinds: dict[str, Callable[..., float]] = {"float": float, "int": int, "bool": bool}
    text = _spelled(repr(kinds[dtype](value.node.attrs["value"])))
    return Text(text, UNARY if text[0] == "-" else ATOM, True)


def _spelled(number: str) -> str:
    return {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}.get(number, number)


def _filled(w: Words, node: Node, x: Text) -> Text:
    """A value spread over a shape; a number fills a new array."""
    source, y = node.inputs[0], node.types[0]
    while source.op.name in ("broadcast", "spread"):
        source = source.node.inputs[0]
    if source.op.name == "const":
        if not source.node.attrs["value"]:
            return call("np.zeros", w.shape(y), w.dtype(y.dtype))
        return call("np.full", w.shape(y), number(w, source, y.dtype).text, w.dtype(y.dtype))
    return _whole(w, x, node.inputs[0].type, y)


def _whole(w: Words, x: Text, type: Type, target: Type) -> Text:
    """A value spread over all axes and dimensions of the target."""
    if (type.axes, type.shape) == (target.axes, target.shape):
        return x
    lined_up = lined(typed(w, x, type.dtype), type, target.axes, len(target.shape))
    return call("np.broadcast_to", lined_up.text, w.shape(target))


def _straight_through(w: Words, node: Node, x: Text, through: Text) -> Text:
    """The value of the first operand."""
    return _whole(w, x, node.inputs[0].type, node.types[0])


# --- products, reductions, dimensions -------------------------------------------------------------------------------


def _contract(w: Words, node: Node, a: Text, b: Text) -> Text:
    if is_matmul(node):
        return Text(f"{a.at(MUL)} @ {b.at(MUL + 1)}", MUL)
    return call("np.einsum", f'"{subscripts(node)}"', a.text, b.text)


def _sum(w: Words, node: Node, x: Text) -> Text:
    rank = len(node.inputs[0].type.shape)
    dims = [str(d - rank if d >= 0 else d) for d in node.attrs["dims"]]
    keep = ["keepdims=True"] if node.attrs.get("keep") else []
    return method(x, "sum", f"axis={dims[0] if len(dims) == 1 else tuple_text(dims)}", *keep)


def _sum_axes(w: Words, node: Node, x: Text) -> Text:
    axes = node.inputs[0].type.axes
    places = [str(i) for i, axis in enumerate(axes) if axis in node.attrs["axes"]]
    return method(x, "sum", f"axis={places[0] if len(places) == 1 else tuple_text(places)}") if places else x


def _max_axes(w: Words, node: Node, x: Text) -> Text:
    axes = node.inputs[0].type.axes
    places = [str(i) for i, axis in enumerate(axes) if axis in node.attrs["axes"]]
    return call(w.snippet("largest"), x.text, f"axis={tuple_text(places)}") if places else x


def over_dim(name: str) -> Rule:
    def rule(w: Words, node: Node, x: Text) -> Text:
        keep = ["keepdims=True"] if node.attrs.get("keep") else []
        return method(x, name, f"axis={dim_of(node.attrs, node.inputs[0].type)}", *keep)

    return rule


def snippet_over_dim(name: str) -> Rule:
    return lambda w, node, x: call(w.snippet(name), x.text, f"axis={dim_of(node.attrs, node.inputs[0].type)}")


def _cumsum(w: Words, node: Node, x: Text) -> Text:
    dim = dim_of(node.attrs, node.inputs[0].type)
    if node.attrs.get("reverse"):
        return Text(f"np.flip(np.cumsum(np.flip({x.text}, {dim}), axis={dim}), {dim})")
    return call("np.cumsum", x.text, f"axis={dim}")


def spread_to(w: Words, x: Text, type: Type, axes: tuple[str, ...]) -> Text:
    """An operand with all axes written out."""
    return _whole(w, x, type, Type(axes, type.shape, type.dtype))


def _literals(value: Value) -> list[Value] | None:
    """The numbers of a list that the user wrote as numbers, `[0.5, 1]`; of other values None."""
    (source, *_), op = value.node.inputs or (value,), value.op.name
    if op == "reshape" and value.type.shape == (1,) and source.op.name == "const":
        return [source]
    if op != "concat" or any(_literals(v) is None or v.op.name == "concat" for v in value.node.inputs):
        return None
    return [v.node.inputs[0] for v in value.node.inputs]


def _listed(w: Words, numbers: Sequence[Value], dtype: DType) -> Text:
    words = ", ".join(number(w, v, dtype).text for v in numbers)
    return call("np.array", f"[{words}]", w.dtype(dtype))


def _concat(w: Words, node: Node, *texts: Text) -> Text:
    y = node.types[0]
    if numbers := _literals(Value(node)):
        return _listed(w, numbers, y.dtype)
    parts = [spread_to(w, t, v.type, y.axes).text for t, v in zip(texts, node.inputs, strict=True)]
    return call("np.concatenate", f"[{', '.join(parts)}]", f"axis={dim_of(node.attrs, y)}")


def _slice(w: Words, node: Node, x: Text) -> Text:
    type = node.inputs[0].type
    dim, entry = dim_of(node.attrs, type), f"{node.attrs['start']}:{node.attrs['stop']}"
    if type.rank + dim == 0:
        return index(x, [entry])
    return Text(f"{x.at(ATOM)}[..., {entry}{', :' * (-dim - 1)}]")


def _pad(w: Words, node: Node, x: Text) -> Text:
    type = node.inputs[0].type
    pads = ["(0, 0)"] * type.rank
    pads[dim_of(node.attrs, type)] = f"({node.attrs['before']}, {node.attrs['after']})"
    return call("np.pad", x.text, tuple_text(pads))


def _reshape(w: Words, node: Node, x: Text) -> Text:
    if numbers := _literals(Value(node)):
        return _listed(w, numbers, node.types[0].dtype)
    return method(x, "reshape", w.shape(node.types[0]))


def _transpose(w: Words, node: Node, x: Text) -> Text:
    lead = len(node.types[0].axes)
    return call("np.transpose", x.text, str((*range(lead), *(lead + i for i in node.attrs["perm"]))))


def _repeat(w: Words, node: Node, x: Text) -> Text:
    return call("np.repeat", x.text, str(node.attrs["times"]), f"axis={dim_of(node.attrs, node.inputs[0].type)}")


def _patches(w: Words, node: Node, x: Text) -> Text:
    sizes = [repr(node.attrs[name]) for name in ("window", "stride", "dilation", "before", "after")]
    return call(w.snippet("patches"), x.text, *sizes, _spelled(repr(float(node.attrs.get("fill", 0.0)))))


# --- time -----------------------------------------------------------------------------------------------------------


def place_of(node: Node, axis: str = "") -> int:
    return node.inputs[0].type.axes.index(axis or node.attrs["axis"])


def within(name: str) -> Rule:
    def rule(w: Words, node: Node, x: Text, lengths: Text) -> Text:
        return call(w.snippet(name), x.text, lengths.text, f"batch={place_of(node, BATCH)}", f"time={place_of(node)}")

    return rule


def _shift(w: Words, node: Node, x: Text) -> Text:
    return call(w.snippet("shift"), x.text, str(node.attrs["by"]), f"axis={place_of(node)}")


def _placed(w: Words, node: Node, dy: Text, steps: Text, type: Type) -> Text:
    y, axis = node.types[0], node.attrs["axis"]
    times = lined(call("np.arange", w.sizes[axis]), Type((axis,), ()), y.axes, len(y.shape))
    last = lined(Text(f"({steps.at(ADD)} - 1)"), type, y.axes, len(y.shape))
    value = lined(dy, node.inputs[0].type, y.axes, len(y.shape))
    return call("np.where", f"{times.text} == {last.text}", value.text, "0.0")


def _row(w: Words, node: Node, x: Text) -> Text:
    if node.inputs[0].op.name == "iota":
        return Text(str(node.attrs["at"]), bare=True)
    return index(x, at_place(place_of(node), str(node.attrs["at"])))


def _stack(w: Words, node: Node, *texts: Text) -> Text:
    row, y = node.attrs["row"], node.types[0]
    if not texts:
        return call("np.zeros", w.shape(y), w.dtype(y.dtype))
    rows = [spread_to(w, t, v.type, row.axes).text for t, v in zip(texts, node.inputs, strict=True)]
    return call("np.stack", f"[{', '.join(rows)}]", f"axis={y.axes.index(node.attrs['axis'])}")


def _uniform(w: Words, node: Node, seed: Text, step: Text) -> Text:
    y, step_type = node.types[0], node.inputs[1].type
    key = int.from_bytes(sha256(node.attrs["key"].encode()).digest()[:8], "little")
    rows = [w.sizes[BATCH]] if BATCH in y.axes else []
    inner = tuple_text([*rows, *map(str, y.shape)])
    lead = tuple_text([w.sizes[axis] for axis in y.axes if axis != BATCH])
    count = lined(step, step_type, y.axes, len(y.shape))
    return call(w.snippet("uniform"), seed.text, count.text, hex(key), lead, inner, w.float)


def snippet(name: str) -> Rule:
    return lambda w, node, *texts: call(w.snippet(name), operands(w, node, texts)[0].text)


WORDS: dict[str, Rule] = {
    **{name: function(f"np.{word}") for name, word in {
        "abs": "abs", "sign": "sign", "floor": "floor", "round": "rint", "exp": "exp", "log": "log", "sqrt": "sqrt",
        "square": "square", "atan2": "arctan2",
        "reciprocal": "reciprocal", "sin": "sin", "cos": "cos", "tanh": "tanh", "not": "logical_not", "pow": "power",
        "mod": "mod", "maximum": "maximum", "minimum": "minimum", "and": "logical_and", "or": "logical_or",
        "where": "where",
    }.items()},
    **{name: infix(sign, level) for name, sign, level in (
        ("add", "+", ADD), ("sub", "-", ADD), ("mul", "*", MUL), ("div", "/", MUL),
        ("floordiv", "//", MUL), ("lt", "<", COMPARE),
        ("le", "<=", COMPARE), ("gt", ">", COMPARE), ("ge", ">=", COMPARE), ("eq", "==", COMPARE),
        ("ne", "!=", COMPARE),
    )},
    "neg": formula("-{}", UNARY), "sigmoid": snippet("sigmoid"), "erf": snippet("erf"),
    "relu": function("np.maximum", "0"),
    "softplus": function("np.logaddexp", "0.0"), "log_sigmoid": formula("-np.logaddexp(-{}, 0.0)", UNARY),
    "cast": _cast, "identity": lambda w, node, x: x, "broadcast": _filled, "spread": _filled,
    "const": lambda w, node: number(w, Value(node), node.attrs["dtype"]),
    "size": lambda w, node: call(w.float, " * ".join(w.sizes[a] for a in node.attrs["axes"]) or "1"),
    "iota": lambda w, node: call("np.arange", w.sizes[node.attrs["axis"]]),
    "contract": _contract, "sum": _sum, "sum_axes": _sum_axes, "max_over": over_dim("max"),
    "argmax": over_dim("argmax"),
    "softmax": snippet_over_dim("softmax"), "log_softmax": snippet_over_dim("log_softmax"), "cumsum": _cumsum,
    "concat": _concat, "slice": _slice, "pad": _pad, "reshape": _reshape, "transpose": _transpose, "repeat": _repeat,
    "shift": _shift, "reverse": lambda w, node, x: call("np.flip", x.text, str(place_of(node))),
    "reverse_within": within("reverse_within"), "last_within": within("last_within"),
    "last": lambda w, node, x: call(w.snippet("last"), x.text, f"axis={place_of(node)}"),
    "place_last": lambda w, node, dy: _placed(w, node, dy, Text(w.sizes[node.attrs["axis"]]), Type((), ())),
    "place_last_within": lambda w, node, dy, lengths: _placed(w, node, dy, lengths, node.inputs[1].type),
    "detach": lambda w, node, x: x, "straight_through": _straight_through,
    "max_axes": _max_axes, "first_max": over_dim("max"), "patches": _patches,
    "flip": lambda w, node, x: call("np.flip", x.text, f"axis={dim_of(node.attrs, node.types[0])}"),
    "row": _row, "stack": _stack, "uniform": _uniform,
}  # fmt: skip
