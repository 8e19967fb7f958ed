"""A graph while it is read: what its names are, and the body that its nodes are described in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct
from onnx import helper, numpy_helper

from rnngraph.exchange.importing.body import Body
from rnngraph.exchange.importing.values import BATCH, CannotSay, Sizes, Value, as_sequence
from rnngraph.files.safetensors import widened

Known = Value | Sizes | None
"""`None` for what depends on a node that cannot be said."""
TYPES = {1: "float", 6: "int", 7: "int", 9: "bool", 10: "float", 11: "float", 16: "float", 2: "int", 3: "int", 5: "int"}


@dataclass
class Whole:
    """What the graphs of one file share: the version of the operators, cells and layers written out, what cannot be
    said, and which inputs are lengths of which axis."""

    opset: int
    cells: dict[str, Body] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    lengths: dict[str, str] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    walk: Callable[[Scope], list[Known]] | None = None

    def read(self, scope: Scope) -> list[Known]:
        """What the outputs of a graph are."""
        assert self.walk is not None
        return self.walk(scope)


@dataclass
class Scope:
    """One level. `known` are its names, `tensors` its constants that nothing has asked for."""

    whole: Whole
    body: Body
    graph: Any
    above: Scope | None = None
    known: dict[str, Known] = field(default_factory=dict)
    tensors: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors |= {t.name: t for t in self.graph.initializer}
        self.uses = Counter(name for node in self.graph.node for name in node.input)
        self.uses.update(output.name for output in self.graph.output)
        for node in self.graph.node:
            for attribute in node.attribute:
                self.uses.update(name for g in (attribute.g, *attribute.graphs) for name in captured(g))

    def get(self, name: str) -> Known:
        """What a name stands for; one of a level above is taken in."""
        if name in self.known:
            return self.known[name]
        if name in self.tensors:
            self.known[name] = as_constant(array_of(self.tensors[name]), name)
        elif self.above is not None:
            self.known[name] = self.taken_in(self.above.get(name), name)
        else:
            raise CannotSay(f"nothing gives `{name}`")
        return self.known[name]

    def taken_in(self, value: Known, name: str) -> Known:
        """A value of the level above as this one sees it."""
        return value

    def step_of(self, value: Value, place: int, ids: Value) -> Value | None:
        """What a lookup by the index of the running step gives, if it is one."""
        return None


def captured(graph: Any) -> set[str]:
    """The names that a graph takes from around it."""
    own = {t.name for t in graph.initializer} | {i.name for i in graph.input}
    own |= {name for node in graph.node for name in node.output}
    inner = {n for node in graph.node for a in node.attribute for g in (a.g, *a.graphs) for n in captured(g)}
    return ({name for node in graph.node for name in node.input if name} | inner | {o.name for o in graph.output}) - own


def array_of(tensor: Any) -> Any:
    array = numpy_helper.to_array(tensor)
    if array.dtype.kind == "V" or "bfloat16" in str(array.dtype):
        return widened(array.tobytes(), array.shape)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def as_constant(array: Any, name: str) -> Value:
    kinds = {"f": "float", "i": "int", "u": "int", "b": "bool"}
    if array.dtype.kind not in kinds:
        raise CannotSay(f"`{name}` holds no numbers")
    return Value(name, tuple(array.shape), kinds[array.dtype.kind], array)


class Op(Struct, frozen=True):
    """A node with what its inputs are."""

    node: Any
    scope: Scope
    inputs: tuple[Known, ...]

    @property
    def body(self) -> Body:
        return self.scope.body

    @property
    def whole(self) -> Whole:
        return self.scope.whole

    @property
    def hint(self) -> str:
        return hint_of(self.node)

    def has(self, i: int) -> bool:
        return len(self.inputs) > i and bool(self.node.input[i])

    def value(self, i: int) -> Value:
        """An input that is a value."""
        given = self.inputs[i] if self.has(i) else None
        if isinstance(given, Sizes):
            if given.single and isinstance(given.dims[0], int):
                return Value("", (), "int", np.array(given.dims[0]))
            if all(isinstance(d, int) for d in given.dims):
                return Value("", (len(given.dims),), "int", np.array(given.dims))
            return self._steps(given)
        if given is None:
            raise CannotSay("it has too few inputs")
        return given

    def _steps(self, given: Sizes) -> Value:
        """The number of steps of a sequence as a number to calculate with."""
        if len(given.dims) != 1 or given.dims[0] == BATCH:
            raise CannotSay("it calculates with the number of rows")
        axis = as_sequence(given.dims[0]).name
        text = f"int(sum(float(position(axis = {axis}) >= 0), axis = {axis}))"
        number = self.body.let(f"{axis}_steps", text, (), "int")
        return number if given.single else Value(f"reshape({number.text}, [1])", (1,), "int", whole=(number.text, ()))

    def values(self) -> list[Value]:
        return [self.value(i) for i in range(len(self.inputs)) if self.has(i)]

    def constant(self, i: int) -> Any:
        """An input that must be constant; None where it is not given."""
        if not self.has(i):
            return None
        value = self.value(i)
        if value.array is None:
            raise CannotSay(f"its input `{self.node.input[i]}` is not a constant")
        return value.array

    def ints(self, i: int, attribute: str) -> list[int] | None:
        """Integers that are an input since some version, an attribute before."""
        given = self.constant(i)
        if given is not None:
            return [int(n) for n in np.ravel(given)]
        told = self.attribute(attribute, None)
        return None if told is None else [int(n) for n in np.ravel(told)]

    def attribute(self, name: str, usual: Any) -> Any:
        return attribute_of(self.node, name, usual)


def attribute_of(node: Any, name: str, usual: Any) -> Any:
    found = next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), usual)
    if isinstance(found, list) and found and isinstance(found[0], bytes):
        return [text.decode(errors="replace") for text in found]
    return found.decode(errors="replace") if isinstance(found, bytes) else found


def hint_of(node: Any) -> str:
    """A name for what a node gives: as its result is called, where that says more than its operator."""
    name = re.sub(r"_output_\d+$", "", node.output[0])
    if own := re.match(r"^(.*?)/[A-Za-z]+/\d+$", name):  # as our own exporter writes it
        return own[1].rpartition(".")[2] or snake(node.op_type)
    last = name.rpartition("/")[2]
    return snake(node.op_type) if re.match(r"^(onnx::.*|\d*|[A-Z]\w*)$", last) else last


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


_LOCAL = frozenset(("weight", "bias", "kernel", "table", "gain", "offset", "W", "R", "B", "P"))


def module_of(node: Any, names: Sequence[str], kind: str) -> str:
    """A name for a layer: that of the module of its arrays, where they tell it, else of its node."""
    for name in names:
        module, _, local = name.rpartition(".")
        if module and (local in _LOCAL or re.match(r"(weight|bias)_(ih|hh)_l\d", local)):
            return str(module)
    parts = [p for p in re.split(r"[/.]", node.name or "") if p and p != node.op_type]
    parts = [p for p in parts if not re.match(rf"^{node.op_type}(_\d+)?$|^\d+$", p)]
    return parts[-1] if parts else kind


def told(node: Any) -> str:
    """How a node is named in a message."""
    name = node.name or (node.output[0] if node.output else "")
    return f"node `{name}` ({node.domain + '.' if node.domain not in ('', 'ai.onnx') else ''}{node.op_type})"


Rules = Mapping[str, Any]
