"""The layers of an ONNX file: its operators LSTM, GRU and RNN with what they say; products by matrices, tables, norms.

Weights may be initializers, or made of them by nodes that only cast, cut, join or turn. What else stands among the
initializers comes under its own name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, field

from rnngraph.diagnostics.errors import CannotDo
from rnngraph.diagnostics.optional import needed
from rnngraph.exchange.formats.contents import Found, Key, Said, Says
from rnngraph.exchange.recognise import HARD
from rnngraph.files.safetensors import Arrays
from rnngraph.files.untrusted_files import foreign

RECURRENT = ("LSTM", "GRU", "RNN")
WHOLE = ("Constant", "Identity", "Cast", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "DequantizeLinear")
STILL = (*WHOLE, "Slice", "Concat", "Split", "Gather")
"""Operators that make nothing new of a constant: those that leave it whole, and those that cut and join."""


def read(path: str) -> Found:
    """The arrays of the layers of a file as `NODE.W`, `NAME.kernel` and so on, and what their nodes say."""
    with needed("onnx"):
        import onnx
    with foreign(path, "ONNX", "E697"):
        model = onnx.load(path)
        found = _Reader(_opset(model), _given(model))
        found.walk(model.graph, {})
    if not found.arrays:
        raise CannotDo(f"`{path}` has no constant weights", "E697")
    return Found(found.arrays, found.says, {}, found.types, "onnx", tuple(found.notes))


def _opset(model: Any) -> int:
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


def _given(model: Any) -> frozenset[str]:
    """The inputs: before version 4 of the format that was every initializer too."""
    return frozenset(i.name for i in model.graph.input) if model.ir_version >= 4 else frozenset()


Scope = dict[str, Any]
"""What a graph sees: by name, a tensor, or the node that makes the value."""


class _Reader(Struct):
    """What has been found so far. `used` are the initializers that went into a layer, `given` the names of inputs."""

    opset: int
    given: frozenset[str]
    arrays: Arrays = field(default_factory=dict)
    says: dict[Key, Says] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    names: Counter[str] = field(default_factory=Counter)

    def walk(self, graph: Any, above: Scope) -> None:
        """A graph and those inside of it, then what no layer took of its tensors."""
        scope = {**above, **{t.name: t for t in graph.initializer}}
        scope |= {name: node for node in graph.node for name in node.output if name}
        for node in graph.node:
            self._layer(node, graph.node, scope)
            for inner in (a.g for a in node.attribute if a.HasField("g")):
                self.walk(inner, scope)
        for tensor in graph.initializer:
            if tensor.name not in self.used:
                self._rest(tensor)

    def _layer(self, node: Any, among: Sequence[Any], scope: Scope) -> None:
        if node.op_type in RECURRENT:
            self._recurrent(node, scope)
        elif node.op_type in ("MatMul", "Gemm"):
            self._dense(node, among, scope)
        elif node.op_type == "Gather" and _attribute(node, "axis", 0) == 0:
            self._put(
                node, "Embedding", {"table": self.constant(node.input[0], scope, WHOLE)}, node.input[:1], 2, scope
            )
        elif node.op_type == "LayerNormalization" and _attribute(node, "axis", -1) == -1:
            self._norm(node, scope)

    # --- layers -----------------------------------------------------------------------------------------------------

    def _recurrent(self, node: Any, scope: Scope) -> None:
        name = self._fresh(node.name or node.op_type.lower())
        for place, local in ((1, "W"), (2, "R"), (3, "B"), (7, "P"), (5, "initial_h"), (6, "initial_c")):
            given = node.input[place] if len(node.input) > place else ""
            array = self.constant(given, scope) if given else None
            if array is not None and (local in "WRBP" or array.any()):
                self._keep(f"{name}.{local}", array, given, scope)
            elif given and array is None and local in "WRBP":
                self.notes.append(f"`{name}`: its `{local}` is computed from what is given, so it is no weight")
        for reverse, says in enumerate(recurrent_says(node)):
            self.says[Key(name, 0, bool(reverse))] = says

    def _dense(self, node: Any, among: Sequence[Any], scope: Scope) -> None:
        """`x @ kernel + bias`, as one node or two."""
        kernel = self.constant(node.input[1], scope, WHOLE)
        if kernel is None or kernel.ndim != 2 or _attribute(node, "transA", 0):
            return
        given = [node.input[1]]
        if node.op_type == "Gemm":
            kernel = (kernel.T if _attribute(node, "transB", 0) else kernel) * _attribute(node, "alpha", 1.0)
            bias = node.input[2] if len(node.input) > 2 else ""
            times = _attribute(node, "beta", 1.0)
        else:
            bias, times = _added(among, node.output[0]), 1.0
        added = self.constant(bias, scope, WHOLE) if bias else None
        if added is not None and added.shape[-1:] == kernel.shape[1:] and added.size == added.shape[-1]:
            given.append(bias)
            self._put(node, "Dense", {"kernel": kernel, "bias": added.reshape(-1) * times}, given, 2, scope)
        else:
            self._put(node, "Dense", {"kernel": kernel}, given, 2, scope)

    def _norm(self, node: Any, scope: Scope) -> None:
        made = {n: self.constant(node.input[i], scope) for i, n in ((1, "gain"), (2, "offset")) if len(node.input) > i}
        epsilon = float(f"{_attribute(node, 'epsilon', 1e-5):.7g}")  # as it was before a float32 held it
        name = self._put(node, "LayerNorm", made, node.input[1:3], 1, scope)
        if name:
            self.says[Key(name)] = {**self.says[Key(name)], "epsilon": Said(epsilon, f"epsilon = {epsilon:g}")}

    def _put(self, node: Any, kind: str, arrays: dict[str, Any], given: Sequence[str], rank: int, scope: Scope) -> str:
        """Keeps the arrays of a layer under a name of its own, where they are constant and have the right rank."""
        if not arrays or any(a is None for a in arrays.values()):
            return ""
        first = next(iter(arrays.values()))
        if first.ndim != rank or first.dtype.kind not in "fV":
            return ""
        name = self._fresh(_module(node, given, kind))
        self.says[Key(name)] = {"kind": Said(kind, f"a `{node.op_type}`")}
        for (local, array), source in zip(arrays.items(), given, strict=False):
            self._keep(f"{name}.{local}", array, source, scope)
        return name

    def _keep(self, name: str, array: Any, source: str, scope: Scope) -> None:
        self.used |= {source, *self._sources(source, scope)}
        self.arrays[name] = _plain(array)
        if "bfloat16" in str(array.dtype):
            self.types[name] = "bfloat16"

    def _sources(self, name: str, scope: Scope) -> Iterator[str]:
        """The initializers that a constant is made of."""
        made = scope.get(name)
        if made is not None and hasattr(made, "op_type"):
            for given in made.input:
                yield from self._sources(given, scope)
        elif made is not None:
            yield name

    def _rest(self, tensor: Any) -> None:
        """A tensor that no layer took: a number, a shape, zeros instead of an input are of the graph, not weights."""
        from onnx import numpy_helper

        array = numpy_helper.to_array(tensor)
        if tensor.name in self.given and not array.any():
            return
        if (array.size > 1 and array.dtype.kind in "fV") or (array.ndim > 1 and array.dtype.kind in "iu"):
            self._keep(tensor.name, array, tensor.name, {})

    def _fresh(self, name: str) -> str:
        self.names[name] += 1
        return name if self.names[name] == 1 else self._fresh(f"{name}_{self.names[name] - 1}")

    # --- constants --------------------------------------------------------------------------------------------------

    def constant(self, name: str, scope: Scope, made_by: Sequence[str] = STILL) -> Any:
        """The array that a value always is; None where it depends on what is given, or is made in another way."""
        from onnx import numpy_helper

        made = scope.get(name)
        if made is None:
            return None
        if not hasattr(made, "op_type"):
            return numpy_helper.to_array(made)
        if made.op_type not in made_by:
            return None
        inputs = {given: self.constant(given, scope, made_by) for given in made.input if given}
        if any(array is None for array in inputs.values()):
            return None
        return self._made(made, inputs)[list(made.output).index(name)]

    def _made(self, node: Any, inputs: Arrays) -> Any:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(node, opsets={"": self.opset}).run(None, inputs)


def _added(nodes: Sequence[Any], name: str) -> str:
    """What is added to a value, if that is all that is done with it."""
    users = [node for node in nodes if name in node.input]
    if len(users) != 1 or users[0].op_type != "Add":
        return ""
    return next((str(other) for other in users[0].input if other != name), "")


def _plain(array: Any) -> Any:
    """An array of NumPy's own types: bfloat16 as float32."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _module(node: Any, given: Sequence[str], kind: str) -> str:
    """A name for a layer: that of the module of its arrays, where they tell it, else of its node."""
    for name in given:
        module, _, local = name.rpartition(".")
        if module and local in ("weight", "bias", "kernel", "table", "gain", "offset"):
            return str(module)
    return str(node.name or {"LayerNorm": "layer_norm"}.get(kind, kind.lower()))


def _attribute(node: Any, name: str, usual: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), usual)


# --- what a node says -----------------------------------------------------------------------------------------------

_USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
NO_CLIP = 3.4e38
"""onnxruntime's own value for no clip at all: the largest float32."""


def recurrent_says(node: Any) -> list[Says]:
    """What the attributes of a recurrent operator say of each of its directions, as the specification reads them."""
    direction = _text(_attribute(node, "direction", b"forward"))
    ways = {"forward": [False], "reverse": [True]}.get(direction, [False, True])
    usual, told = _USUAL[node.op_type], [_text(f) for f in _attribute(node, "activations", [])]
    each = [told[i * len(usual) : (i + 1) * len(usual)] or usual for i in range(len(ways))]
    common = {"kind": Said(node.op_type, f"a node `{node.op_type}`"), "clip": _clip(node)}
    if node.op_type == "GRU":
        after = _attribute(node, "linear_before_reset", 0)
        common["reset_after"] = Said(bool(after), f"linear_before_reset = {after}")
    if node.op_type == "LSTM":
        joined = _attribute(node, "input_forget", 0)
        common["coupled"] = Said(bool(joined), f"input_forget = {joined}")
    return [
        {**common, "reverse": Said(back, f"direction = {direction}"), **_activations(node, functions)}
        for back, functions in zip(ways, each, strict=True)
    ]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _clip(node: Any) -> Said:
    limit = float(_attribute(node, "clip", 0.0))
    return Said(0.0 if limit >= NO_CLIP else limit, f"clip = {limit:.7g} of what goes into the activations")


def _activations(node: Any, functions: Sequence[str]) -> Says:
    """The function of the gates, and that of the rest: one name where a cell has one setting for it."""
    names = [name.lower() for name in functions]
    alpha, beta = (_attribute(node, f"activation_{n}", []) for n in ("alpha", "beta"))
    words = f"activations = {', '.join(functions)}" + (f", activation_alpha = {[*alpha]}" if len(alpha) else "")
    gate, rest = (None, names) if node.op_type == "RNN" else (names[0], names[1:])
    main = rest[0] if len(set(rest)) == 1 else " and ".join(rest)
    said = {"activation": Said(main, words)}
    if gate is not None:
        said["gate"] = Said(_hard(alpha, beta) if gate == "hardsigmoid" else gate, words)
    return said


def _hard(alpha: Sequence[float], beta: Sequence[float]) -> str:
    """`HardSigmoid` with its numbers, of which only the first counts for the gates."""
    slope, level = (given[0] if len(given) else usual for given, usual in ((alpha, 0.2), (beta, 0.5)))
    if abs(6 * slope - 1) < 1e-6 and level == 0.5:
        return HARD[1]
    return f"clip({slope:.7g} * z + {level:.7g}, 0, 1)"
