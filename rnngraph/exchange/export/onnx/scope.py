"""Writing an ONNX graph: nodes with fresh names, constants kept once, sizes of axes, bodies of loops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from msgspec import Struct, field
from onnx import TensorProto, helper, numpy_helper

from rnngraph import __version__
from rnngraph.ir.graph import Node, Value
from rnngraph.ir.types import DType, Type

OPSET = 18
IR_VERSION = 8
"""The pair that onnxruntime has read since 1.14."""

Rule = Callable[..., "str | tuple[str, ...]"]


class Whole(Struct):
    """What the levels of one ONNX graph share: constants, the sizes of axes, the counter of names."""

    dtype: str
    rules: Mapping[str, Rule]
    tensors: list[Any] = field(default_factory=list)
    known: dict[Any, str] = field(default_factory=dict)
    sizes: dict[str, str] = field(default_factory=dict)
    """The name of the size of each axis: one integer, as an array of one entry."""
    count: int = 0

    def fresh(self, hint: str) -> str:
        """A name that no user can write: it has a slash."""
        self.count += 1
        return f"{hint}/{self.count}"

    def element(self, dtype: DType) -> int:
        kinds = {"int": TensorProto.INT64, "bool": TensorProto.BOOL}
        return int(kinds.get(dtype, TensorProto.DOUBLE if self.dtype == "float64" else TensorProto.FLOAT))

    def numpy_type(self, dtype: DType) -> str:
        return {"int": "int64", "bool": "bool"}.get(dtype, self.dtype)


class Scope:
    """One level: the whole graph, or the body of a loop, which sees the names of the levels around it."""

    def __init__(self, whole: Whole, hint: str = "") -> None:
        self.whole, self.hint = whole, hint
        self.nodes: list[Any] = []
        self.names: dict[Value, str] = {}

    # --- nodes ---

    def emit(self, op: str, *inputs: str, results: int = 1, **attributes: Any) -> Any:
        """The name of the result of a new node (a tuple of names where there are more)."""
        names = [self.whole.fresh(f"{self.hint}/{op}" if self.hint else op) for _ in range(results)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=names[0], **attributes))
        return names[0] if results == 1 else tuple(names)

    def convert(self, nodes: Iterable[Node]) -> None:
        """Adds what the nodes compute; those that are known already are left out."""
        for node in nodes:
            if Value(node) in self.names:
                continue
            self.hint = ".".join((*node.origin.path, node.origin.name)).replace(" ", "")
            made = self.whole.rules[node.op.name](self, node, *(self.names[v] for v in node.inputs))
            for value, name in zip(node.values, (made,) if isinstance(made, str) else made, strict=True):
                self.names[value] = name

    # --- constants ---

    def tensor(self, array: Any, name: str = "") -> str:
        """The name of a constant array, kept once for the whole graph."""
        array = np.asarray(array)
        key = name or (array.dtype.str, array.shape, array.tobytes())
        if key not in self.whole.known:
            self.whole.known[key] = name or self.whole.fresh("constant")
            self.whole.tensors.append(numpy_helper.from_array(array, self.whole.known[key]))
        return self.whole.known[key]

    def ints(self, *numbers: int) -> str:
        return self.tensor(np.array(numbers, np.int64))

    def number(self, value: float, dtype: DType = "float") -> str:
        with np.errstate(over="ignore"):  # in float32, 1e300 is infinite
            return self.tensor(np.array(value, self.whole.numpy_type(dtype)))

    # --- shapes ---

    def unsqueeze(self, name: str, places: Sequence[int]) -> str:
        return str(self.emit("Unsqueeze", name, self.ints(*places))) if places else name

    def aligned(self, name: str, type: Type, axes: tuple[str, ...], rank: int) -> str:
        """A value with dimensions of size 1 where it lacks one of the axes, or of `rank` dimensions."""
        missing = [i for i, axis in enumerate(axes) if axis not in type.axes]
        missing += range(len(axes), len(axes) + rank - len(type.shape))
        if missing == list(range(len(missing))):
            return name  # spreading over leading dimensions is the format's own rule
        return self.unsqueeze(name, missing)

    def shape(self, type: Type) -> str:
        """The whole shape of a value, as an array of integers."""
        parts = [self.whole.sizes[axis] for axis in type.axes]
        parts += [self.ints(*type.shape)] if type.shape else []
        if len(parts) == 1:
            return parts[0]
        return str(self.emit("Concat", *parts, axis=0)) if parts else self.tensor(np.zeros(0, np.int64))

    def expanded(self, name: str, type: Type, target: Type) -> str:
        """A value spread over all axes and dimensions of the target."""
        if type.axes == target.axes and type.shape == target.shape:
            return name
        return str(self.emit("Expand", self.aligned(name, type, target.axes, len(target.shape)), self.shape(target)))

    def size(self, axis: str) -> str:
        """The size of an axis as a single number."""
        return str(self.emit("Squeeze", self.whole.sizes[axis], self.ints(0)))

    def iota(self, axis: str) -> str:
        return str(self.emit("Range", self.number(0, "int"), self.size(axis), self.number(1, "int")))

    # --- borders ---

    def info(
        self,
        name: str,
        type: Type,
        order: Sequence[int] | None = None,
        fixed: Mapping[str, int] | None = None,
        own: str = "",
    ) -> Any:
        """The declaration of an input or output: named dimensions for the axes that are free (`own` ends the names)."""
        dims: list[Any] = [(fixed or {}).get(axis, axis + own) for axis in type.axes] + list(type.shape)
        return helper.make_tensor_value_info(
            name, self.whole.element(type.dtype), [dims[i] for i in order] if order is not None else dims
        )

    def body(self, name: str, inputs: list[Any], outputs: list[Any]) -> Any:
        return helper.make_graph(self.nodes, name, inputs, outputs)


def model_of(graph: Any, note: str, facts: Mapping[str, str]) -> Any:
    """A checked ONNX model of a graph, with who made it, and facts about it as metadata."""
    opsets = [helper.make_opsetid("", OPSET)]
    made = helper.make_model(
        graph, opset_imports=opsets, producer_name="rnngraph", producer_version=__version__, doc_string=note
    )
    helper.set_model_props(made, dict(facts))
    made.ir_version = IR_VERSION
    onnx.checker.check_model(made)
    return made
