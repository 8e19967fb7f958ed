"""The operators RNN, GRU and LSTM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from rnngraph.exchange.formats.onnx import NO_CLIP
from rnngraph.exchange.importing.onnx.scope import Op, module_of
from rnngraph.exchange.importing.recurrent import LOGISTIC, Function, Functions, Recurrent, converted, run
from rnngraph.exchange.importing.shapes import picked, stacked, turned
from rnngraph.exchange.importing.values import Axis, CannotSay, Dims, Value, as_batch, as_sequence

_USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
_PLAIN = {"tanh": "tanh", "sigmoid": "sigmoid", "relu": "relu", "softplus": "softplus", "softsign": "softsign"}
_FORMULAS: dict[str, tuple[str, str, dict[str, float]]] = {
    "affine": ("Affine", "alpha * z + beta", {"alpha": 1.0, "beta": 0.0}),
    "leakyrelu": ("LeakyRelu", "leaky_relu(z, alpha)", {"alpha": 0.01}),
    "thresholdedrelu": ("ThresholdedRelu", "where(z > alpha, z, 0)", {"alpha": 1.0}),
    "scaledtanh": ("ScaledTanh", "alpha * tanh(beta * z)", {"alpha": 1.0, "beta": 1.0}),
    "hardsigmoid": ("HardSigmoid", "clip(alpha * z + beta, 0, 1)", {"alpha": 0.2, "beta": 0.5}),
    "elu": ("Elu", "elu(z, alpha)", {"alpha": 1.0}),
}


def recurrent(op: Op) -> tuple[Value | None, ...]:
    """Y, the last h and the last c; an LSTM's c only."""
    batch_first = bool(op.attribute("layout", 0))
    x = turned(op.body, op.hint, op.value(0), [0, 1, 2] if batch_first else [1, 0, 2])
    as_batch(x.dims[0]), as_sequence(x.dims[1])
    direction = op.attribute("direction", "forward")
    ways = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}.get(direction)
    if ways is None:
        raise CannotSay(f"it has no direction `{direction}`")
    functions = list(_functions(op, len(ways)))
    layers = [_layer(op, i, back, functions[i]) for i, back in enumerate(ways)]
    first = [dict(_first(op, i, batch_first)) for i in range(len(ways))]
    lengths(op, x)
    finals = any(op.scope.uses[name] for name in op.node.output[1:])
    hint = module_of(op.node, tuple(op.node.input[1:4]), op.node.op_type.lower())
    made = run(op.body, op.whole.texts, hint, layers, x, first, finals)
    batch, steps = x.dims[0], x.dims[1]
    units = layers[0].cell.units
    one: Dims = (batch, steps, units) if batch_first else (steps, batch, units)
    place = 2 if batch_first else 1
    y = _rows(made.joined, one, place) if made.joined else stacked([v.text for v in made.outputs], one, place)
    states = "hc" if op.node.op_type == "LSTM" else "h"
    ends: list[Value | None] = [None] * len(states)
    if made.finals:
        ends = [stacked([f[s].text for f in made.finals], (batch, units), int(batch_first)) for s in states]
    return (y, *ends)[: len(op.node.output)]


def _rows(joined: Value, one: Dims, place: int) -> Value:
    """Two directions side by side, as the two rows of a matrix."""
    units = one[-1]
    dims = (*one[:place], 2, *one[place:])
    text = f"reshape({joined.text}, [2, {units}])"
    return Value(text, dims, whole=(joined.text, joined.shape))


def _layer(op: Op, i: int, back: bool, functions: Sequence[Function]) -> Recurrent:
    kind = op.node.op_type
    names = (("W", 1), ("R", 2), ("B", 3), ("P", 7))
    theirs = {local: op.constant(place)[i : i + 1] for local, place in names if op.has(place)}
    if theirs["W"].ndim != 3 or theirs["R"].ndim != 3:
        raise CannotSay("its weights have other sizes")
    units, inputs = theirs["R"].shape[2], theirs["W"].shape[2]
    if (told := op.attribute("hidden_size", None)) != units:
        raise CannotSay(f"its hidden_size is {'missing' if told is None else told}, and its weights have {units} units")
    options: dict[str, Any] = {}
    if kind == "GRU":
        options["reset_after"] = bool(op.attribute("linear_before_reset", 0))
    if kind == "LSTM":
        options["coupled"] = bool(op.attribute("input_forget", 0))
        options["peepholes"] = "P" in theirs and bool(theirs["P"].any())
    limit = float(op.attribute("clip", 0.0))
    clip = 0.0 if limit >= NO_CLIP else float(f"{limit:.7g}")
    gate, rest = (LOGISTIC, functions) if kind == "RNN" else (functions[0], functions[1:])
    chosen = Functions(rest[0], gate, rest[1] if kind == "LSTM" else None, clip)
    return replace(converted("onnx", kind, inputs, units, options, theirs, chosen), reverse=back)


def _functions(op: Op, count: int) -> Iterator[list[Function]]:
    """The functions of each direction; their numbers are given one after the other, to those that have some."""
    usual = _USUAL[op.node.op_type]
    told = list(op.attribute("activations", [])) or usual * count
    if len(told) != len(usual) * count:
        raise CannotSay(f"it has {len(told)} activations")
    rest = {n: list(op.attribute(f"activation_{n}", [])) for n in ("alpha", "beta")}
    found = [_function(name, rest) for name in told]
    yield from (found[i * len(usual) : (i + 1) * len(usual)] for i in range(count))


def _function(name: str, rest: dict[str, list[float]]) -> Function:
    word = name.lower()
    if word in _PLAIN:
        return Function(_PLAIN[word])
    if word not in _FORMULAS:
        raise CannotSay(f"there is no activation `{name}`")
    title, formula, usual = _FORMULAS[word]
    for letter, value in usual.items():
        value = rest[letter].pop(0) if rest[letter] else value
        formula = formula.replace(letter, str(np.float32(value)))
    return Function(title, formula)


def _first(op: Op, i: int, batch_first: bool) -> Iterator[tuple[str, Value]]:
    """The initial states of a direction that are not 0."""
    for state, place in (("c", 6), ("h", 5)):
        if not op.has(place) or (state == "c" and op.node.op_type != "LSTM"):
            continue
        value = op.value(place)
        if value.array is not None and not value.array.any():
            continue
        if isinstance(value.dims[0 if batch_first else 1], Axis):
            as_batch(value.dims[0 if batch_first else 1])
        yield state, picked(op.body, f"first_{state}", value, 1 if batch_first else 0, i)


def lengths(op: Op, x: Value) -> None:
    """Lengths of rows are not told to a layer here, but given with the data."""
    if not op.has(4):
        return
    given, steps = op.value(4), x.dims[1]
    if given.array is not None:
        if isinstance(steps, Axis) and steps.size is not None and np.all(given.array == steps.size):
            return
        raise CannotSay("its rows have constant lengths")
    if len(given.dims) == 1:
        as_batch(given.dims[0])
    if given.text not in op.body.inputs or not isinstance(steps, Axis):
        raise CannotSay("the lengths of its rows are computed")
    op.whole.lengths[given.text] = steps.name
