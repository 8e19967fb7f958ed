"""Products, lookups and norms: as layers of the library where they are those, with a name that the file gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import replace

from rnngraph.exchange.importing.body import number
from rnngraph.exchange.importing.einsum import einsum
from rnngraph.exchange.importing.onnx.scope import Known, Op, module_of
from rnngraph.exchange.importing.products import product
from rnngraph.exchange.importing.shapes import elementwise, picked, stacked, turned, with_dims
from rnngraph.exchange.importing.values import Axis, CannotSay, Padded, Sizes, Value, sized, sizes


def _constant(op: Op, name: str) -> Any:
    """The array of a name, if it is a constant."""
    try:
        value = op.scope.get(name)
    except CannotSay:
        return None
    return value.array if isinstance(value, Value) else None


def _matmul(op: Op) -> Value:
    a, b = op.value(0), op.value(1)
    if b.array is not None and b.array.ndim == 2 and a.array is None:
        added = _added(op)
        if added:
            bias, result = added
            dense = _dense(op, a, b.array, _constant(op, bias).reshape(-1), (bias, op.node.input[1]))
            op.scope.known[result] = dense
            return dense
    return product(op.body, op.hint, a, b)


def _added(op: Op) -> tuple[str, str] | None:
    """The bias that is added to a product, if that is all that is done with it, and the name of the sum."""
    name = op.node.output[0]
    users = [node for node in op.scope.graph.node if name in node.input]
    if len(users) != 1 or op.scope.uses[name] != 1 or users[0].op_type != "Add":
        return None
    bias = next(other for other in users[0].input if other != name)
    array = _constant(op, bias)
    if array is None or not array.ndim or not array.size == array.shape[-1] == op.value(1).array.shape[1]:
        return None
    return bias, users[0].output[0]


def _dense(op: Op, x: Value, kernel: Any, bias: Any, names: tuple[str, ...]) -> Value:
    if sized(x.dims[-1]) != len(kernel):
        raise CannotSay("its input has another size than its weights")
    if len(x.shape) > 1:
        x = replace(x, text=op.body.text_of(x), array=None)
        hint = module_of(op.node, names, "dense")
        w, b = op.body.param(f"{hint}_kernel", kernel), op.body.param(f"{hint}_bias", bias)
        return op.body.let(op.hint, f"({x.text}) @ {w} + {b}", (*x.dims[:-1], kernel.shape[1]))
    hint = module_of(op.node, names, "dense")
    name = op.body.instance(hint, f"Dense({kernel.shape[1]})", {"kernel": kernel, "bias": bias})
    return op.body.let(f"{name}_y", f"{name}({op.body.text_of(x)})", (*x.dims[:-1], kernel.shape[1]))


def _gemm(op: Op) -> Value:
    a, b = op.value(0), op.value(1)
    alpha, beta = op.attribute("alpha", 1.0), op.attribute("beta", 1.0)
    if op.attribute("transA", 0):
        a = turned(op.body, op.hint, a, [1, 0])
    if op.attribute("transB", 0):
        b = turned(op.body, op.hint, b, [1, 0])
    c = op.value(2) if op.has(2) else None
    if b.array is not None and c is not None and c.array is not None and c.array.size == b.array.shape[1]:
        kernel, bias = b.array, c.array.reshape(-1)
        kernel, bias = (w if k == 1 else w * np.float32(k) for w, k in ((kernel, alpha), (bias, beta)))
        return _dense(op, a, kernel, bias, (op.node.input[2], op.node.input[1]))
    made = product(op.body, op.hint, a, b)
    if alpha != 1:
        made = elementwise(op.body, op.hint, f"{number(np.float32(alpha))} * {{}}", [made])
    if c is None:
        return made
    form = "{} + {}" if beta == 1 else f"{{}} + {number(np.float32(beta))} * {{}}"
    return elementwise(op.body, op.hint, form, [made, c])


# --- lookups --------------------------------------------------------------------------------------------------------


def _gather(op: Op) -> Known:
    data, ids = op.inputs[0], op.value(1)
    if isinstance(data, Sizes):
        return _size(data, ids)
    value, place = op.value(0), op.attribute("axis", 0)
    if ids.array is not None:
        return _chosen(op, value, place, ids.array)
    if (step := op.scope.step_of(value, place, ids)) is not None:
        return step
    if place % len(value.dims) != 0 or isinstance(value.dims[0], Axis):
        raise CannotSay("it looks up in another dimension than the first")
    if value.array is not None and np.array_equal(value.array, np.arange(value.array.size)):
        return _checked(op, ids)
    dims = (*ids.dims, *value.dims[1:])
    if value.array is not None and value.array.ndim == 2 and value.dtype == "float" and not ids.shape:
        hint = module_of(op.node, (op.node.input[0],), "embedding")
        rows, units = value.array.shape
        name = op.body.instance(hint, f"Embedding({rows}, {units})", {"table": value.array})
        return op.body.let(f"{name}_y", f"{name}({ids.text})", dims)
    return op.body.let(op.hint, f"({op.body.text_of(value)})[{ids.text}]", dims, value.dtype)


def _size(data: Sizes, ids: Value) -> Sizes:
    if ids.array is None:
        raise CannotSay("it chooses a size by data")
    chosen = np.ravel(ids.array)
    return Sizes(tuple(data.dims[int(i)] for i in chosen), ids.array.ndim == 0)


def _checked(op: Op, ids: Value) -> Value:
    """A lookup in 0, 1, 2 ... only checks an index; with what our own exporter puts before it."""
    made = next((n for n in op.scope.graph.node if op.node.input[1] in n.output), None)
    if made is not None and made.op_type == "Where":
        less = next((n for n in op.scope.graph.node if made.input[0] in n.output), None)
        if less is not None and less.op_type == "Less" and less.input[0] == made.input[2]:
            found = op.scope.get(made.input[2])
            return found if isinstance(found, Value) else ids
    return ids


def _chosen(op: Op, value: Value, place: int, ids: Any) -> Value:
    """Entries by constant indices."""
    if ids.ndim > 1:
        raise CannotSay("its indices are a matrix")
    dim = value.dims[place % len(value.dims)]
    if isinstance(dim, Padded):
        return _last(op, value, place, dim, ids)
    if ids.ndim == 0:
        return picked(op.body, op.hint, value, place, int(ids))
    parts = [picked(op.body, op.hint, value, place, int(i)) for i in ids]
    place %= len(value.dims)
    if len(parts) == 1:
        return with_dims(parts[0], (*value.dims[:place], 1, *value.dims[place + 1 :]))
    rows = [part if part.shape else with_dims(part, (*part.dims, 1)) for part in parts]
    if len(sizes(value.dims[:place])):
        raise CannotSay("it puts entries in another order")
    made = stacked([r.text for r in rows], rows[0].dims, place)
    return replace(with_dims(made, (*value.dims[:place], len(ids), *value.dims[place + 1 :])), dtype=value.dtype)


def _last(op: Op, value: Value, place: int, dim: Padded, ids: Any) -> Value:
    """The last step, or the padding where there are no steps."""
    if ids.ndim or int(ids) != -1 or dim.after or dim.fill:
        raise CannotSay("it takes one step of a sequence with padding")
    place %= len(value.dims)
    dims = (*value.dims[:place], *value.dims[place + 1 :])
    return op.body.let(op.hint, f"last({value.text})", dims, value.dtype)


def _gather_elements(op: Op) -> Value:
    value, ids = op.value(0), op.value(1)
    rank = len(value.dims)
    if op.attribute("axis", 0) % rank != rank - 1 or len(value.shape) != 1 or len(ids.shape) != 1:
        raise CannotSay("it looks up in another dimension than the last")
    if ids.shape == (1,):
        one = with_dims(ids, ids.dims[:-1])
        made = op.body.let(op.hint, f"({op.body.text_of(value)})[{op.body.text_of(one)}]", value.dims[:-1], value.dtype)
        return with_dims(made, (*made.dims, 1))
    dims = (*value.dims[:-1], ids.dims[-1])
    return op.body.let(op.hint, f"({op.body.text_of(value)})[{op.body.text_of(ids)}]", dims, value.dtype)


def _one_hot(op: Op) -> Value:
    ids, depth, values = op.value(0), int(np.ravel(op.constant(1))[0]), np.ravel(op.constant(2))
    if op.attribute("axis", -1) not in (-1, len(ids.dims)):
        raise CannotSay("it spreads over another dimension than the last")
    made = op.body.let(op.hint, f"one_hot({op.body.text_of(ids)}, {depth})", (*ids.dims, depth))
    off, on = float(values[0]), float(values[1])
    return made if (off, on) == (0, 1) else elementwise(op.body, op.hint, f"{off} + {on - off} * {{}}", [made])


def _top_k(op: Op) -> tuple[Value, Value]:
    value, k = op.value(0), int(np.ravel(op.constant(1))[0])
    if op.attribute("axis", -1) % len(value.dims) != len(value.dims) - 1 or not op.attribute("largest", 1):
        raise CannotSay("it looks for something else than the largest of the last dimension")
    names = op.body.fresh(f"{op.hint}_values"), op.body.fresh(f"{op.hint}_places")
    op.body.say(names, f"top_k({op.body.text_of(value)}, {k})")
    dims = (*value.dims[:-1], k)
    return Value(names[0], dims), Value(names[1], dims, "int")


# --- norms ----------------------------------------------------------------------------------------------------------


def _layer_norm(op: Op) -> Value:
    value, gain = op.value(0), op.constant(1)
    last = op.attribute("axis", -1) % len(value.dims) == len(value.dims) - 1
    if not last or any(op.scope.uses[n] for n in op.node.output[1:]):
        raise CannotSay("it is over several dimensions, or hands out its mean")
    offset = op.constant(2) if op.has(2) else np.zeros_like(gain)
    hint = module_of(op.node, tuple(op.node.input[1:]), "norm")
    epsilon = number(np.float32(op.attribute("epsilon", 1e-5)))
    settings = "" if float(epsilon) == 1e-5 else f"epsilon = {epsilon}"
    if len(value.shape) != 1:
        raise CannotSay("it is over the last of several dimensions")
    name = op.body.instance(hint, f"LayerNorm({settings})", {"gain": gain, "offset": offset})
    return op.body.let(f"{name}_y", f"{name}({op.body.text_of(value)})", value.dims)


def _batch_norm(op: Op) -> Value:
    """Where a network is used: a factor and an offset for each channel."""
    value = op.value(0)
    if len(value.dims) != 2 or not isinstance(value.dims[0], Axis):
        raise CannotSay("its channels are not the last dimension")
    scale, offset, mean, variance = (op.constant(i).astype(np.float64) for i in (1, 2, 3, 4))
    factor = scale / np.sqrt(variance + op.attribute("epsilon", 1e-5))
    hint = module_of(op.node, (op.node.input[1],), "norm")
    w = op.body.param(f"{hint}_gain", factor.astype(np.float32))
    b = op.body.param(f"{hint}_offset", (offset - mean * factor).astype(np.float32))
    return op.body.let(op.hint, f"({op.body.text_of(value)}) * {w} + {b}", value.dims)


def _einsum(op: Op) -> Value:
    """Without an arrow the result has the letters that stand once, in their order."""
    before, arrow, out = op.attribute("equation", "").replace(" ", "").partition("->")
    if "." in before:
        raise CannotSay("its text has dimensions without a letter")
    alone = sorted(letter for letter in set(before) - {","} if before.count(letter) == 1)
    return einsum(op.body, op.hint, before.split(","), out if arrow else "".join(alone), op.values())


RULES: dict[str, Any] = {
    "MatMul": _matmul, "Einsum": _einsum, "Gemm": _gemm, "Gather": _gather, "GatherElements": _gather_elements,
    "OneHot": _one_hot, "TopK": _top_k, "LayerNormalization": _layer_norm, "BatchNormalization": _batch_norm,
}  # fmt: skip
