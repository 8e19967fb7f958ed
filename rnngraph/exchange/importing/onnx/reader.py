"""An ONNX file, node by node. What an open dimension is, is learned on the way; then the file is read once more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from msgspec.structs import replace
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.importing.body import Body, declared, identifier, number
from rnngraph.exchange.importing.description import Port, Read
from rnngraph.exchange.importing.onnx import elementary, layers, recurrent, scan, shaping
from rnngraph.exchange.importing.onnx.scope import TYPES, Known, Op, Scope, Whole, array_of, as_constant, told
from rnngraph.exchange.importing.roles import Roles, read_with
from rnngraph.exchange.importing.simplify import names_in, texts_of
from rnngraph.exchange.importing.text import Described, tidy
from rnngraph.exchange.importing.values import CannotSay, Dims, Value

NEWEST, OLDEST = 26, 7
"""Versions of the operators that are known here."""
RULES: Mapping[str, Any] = {
    **elementary.RULES, **shaping.RULES, **layers.RULES, **scan.RULES,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), recurrent.recurrent),
}  # fmt: skip
LARGEST_FOLDED = 10**8
HALF = frozenset((TensorProto.FLOAT16, TensorProto.BFLOAT16))


def read(model: Any, name: str) -> Read:
    """The description of a loaded model. UserError with every node that cannot be said."""
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    if not OLDEST <= opset <= NEWEST:
        raise UserError(
            f"the file has version {opset} of ONNX's operators, and those from {OLDEST} to {NEWEST} are known here",
            "E762",
            "`onnx.version_converter` brings a model to another version",
        )
    return read_with(lambda roles: _read(model, opset, name, roles))


def _read(model: Any, opset: int, name: str, roles: Roles) -> tuple[Read, Dims]:
    whole = Whole(opset)
    whole.walk = _walk
    body = Body(identifier(name))
    body.taken.add(body.name)
    scope = Scope(whole, body, model.graph)
    inputs = tuple(_inputs(model, scope, roles))
    results = _walk(scope)
    for port in inputs:
        body.inputs[port.ours] = declared(port.theirs, port.dims, port.dtype) + body.inputs[port.ours]
    if whole.problems:
        raise UserError(
            [Diagnostic("E760", text, help="" if i else "nothing was written") for i, text in enumerate(whole.problems)]
        )
    outputs = tuple(_output(body, info.name, value) for info, value in zip(model.graph.output, results, strict=True))
    _leave_out(body, whole.lengths)
    described = Described(body, whole.cells, whole.texts)
    open_dims = tuple(d for port in (*inputs, *outputs) for d in port.dims)
    half = _half(model.graph)
    return Read(described, inputs, outputs, tuple(whole.notes), dict(whole.lengths), half), open_dims


def _half(graph: Any) -> bool:
    """Whether weights, inputs or outputs are numbers of 16 bits."""
    ports = {info.type.tensor_type.elem_type for info in (*graph.input, *graph.output, *graph.value_info)}
    return bool((ports | {tensor.data_type for tensor in graph.initializer}) & HALF)


def _inputs(model: Any, scope: Scope, roles: Roles) -> Any:
    """The inputs that are no weights. One with a value of its own may be left out."""
    for info in model.graph.input:
        default = scope.tensors.get(info.name) if model.ir_version >= 4 else None
        if info.name in scope.tensors and default is None:
            continue
        kind = TYPES.get(info.type.tensor_type.elem_type)
        if kind is None:
            raise UserError(f"the input `{info.name}` is no array of numbers", "E760")
        sizes = info.type.tensor_type.shape.dim
        dims = roles.dims(info.name, [d.dim_param or (d.dim_value if d.HasField("dim_value") else None) for d in sizes])
        begun = ""
        if default is not None:
            array = array_of(default)
            if not array.size or not array.ndim or not np.all(array == array.flat[0]):
                continue
            begun = f" = {number(array.flat[0], array.dtype.kind == 'f')}"
        ours = scope.body.fresh("x" if _unnamed(info.name) else info.name)
        scope.known[info.name] = Value(ours, dims, kind)
        scope.body.inputs[ours] = begun
        yield Port(info.name, ours, dims, kind, default is not None)


def _unnamed(name: str) -> bool:
    """Whether the exporter made the name up."""
    return name.isdigit() or name.startswith("onnx::")


def _output(body: Body, name: str, value: Known) -> Port:
    if not isinstance(value, Value):
        raise UserError(f"the output `{name}` is made of sizes alone", "E760")
    ours = body.output("y" if _unnamed(name) else name, body.text_of(value))
    return Port(name, ours, value.dims, value.dtype)


def _leave_out(body: Body, lengths: Iterable[str]) -> None:
    """Takes back inputs that are lengths and nothing else: those are given with a sequence here."""
    used = {name for text in texts_of(tidy(body)) for name in names_in(text)}
    for name in body.inputs.keys() & set(lengths) - used:
        del body.inputs[name]


# --- nodes ----------------------------------------------------------------------------------------------------------


def _walk(scope: Scope) -> list[Known]:
    """Describes the nodes of a graph one after the other; what its outputs are."""
    for node in scope.graph.node:
        missing = [name for name in node.output if name and name not in scope.known]
        if not missing:
            continue
        try:
            results = _results(scope, node)
        except CannotSay as reason:
            scope.whole.problems.append(f"{told(node)} cannot be said in the language: {reason}")
            results = (None,) * len(node.output)
        scope.known |= {n: r for n, r in zip(node.output, results, strict=False) if n and n not in scope.known}
        scope.known |= {n: None for n in node.output if n not in scope.known}
    return [scope.get(output.name) for output in scope.graph.output]


def _results(scope: Scope, node: Any) -> tuple[Known, ...]:
    inputs = tuple(scope.get(name) if name else None for name in node.input)
    rule = RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if rule is None and node.op_type not in _FOLDED:
        raise CannotSay("there is nothing like it")
    if any(name and value is None for name, value in zip(node.input, inputs, strict=True)):
        return (None,) * len(node.output)
    if node.op_type == "Constant" or _foldable(node, inputs):
        return tuple(_folded(scope, node, inputs))
    if rule is None:
        raise CannotSay("there is nothing like it, but for constants")
    made = rule(Op(node, scope, inputs))
    return made if isinstance(made, tuple) else (made,)


def _foldable(node: Any, inputs: tuple[Known, ...]) -> bool:
    """Whether a node always gives the same: then it is computed here."""
    given = [value for value in inputs if value is not None]
    constant = all(isinstance(v, Value) and v.array is not None and v.array.shape == v.dims for v in given)
    graphs = any(a.HasField("g") or a.graphs for a in node.attribute)
    random = node.op_type.startswith("Random") or node.op_type in ("Bernoulli", "Multinomial", "ConstantOfShape")
    return bool(given) and constant and not graphs and not random and node.op_type in RULES.keys() | _FOLDED


_FOLDED = {"Constant", "DequantizeLinear", "CastLike", "Trilu", "NonZero", "EyeLike", "Ceil", "Round"}


def _folded(scope: Scope, node: Any, inputs: tuple[Known, ...]) -> Any:
    arrays = {n: v.array for n, v in zip(node.input, inputs, strict=True) if isinstance(v, Value)}
    told = [np.prod(np.abs(a.astype(np.float64))) for a in arrays.values() if a.dtype.kind == "i"]
    if node.op_type in ("Expand", "Tile", "Range", "Pad", "OneHot") and max(told, default=0) > LARGEST_FOLDED:
        raise CannotSay("what it makes is too large")
    try:
        made = ReferenceEvaluator(node, opsets={"": scope.whole.opset}).run(None, arrays)
    except Exception as error:
        raise CannotSay("its constants do not fit together") from error
    hint = next((v.text for v in inputs if isinstance(v, Value) and v.array.ndim), node.output[0])
    for name, array in zip(node.output, made, strict=True):
        array = np.asarray(array)
        array = array.astype(np.float32) if array.dtype == np.float16 or array.dtype.kind == "V" else array
        yield replace(as_constant(array, name), text=hint)
