"""A Keras model: its layers in the order in which they are called. Nothing of its file is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.formats import keras as files
from rnngraph.exchange.formats.contents import Found
from rnngraph.exchange.importing.body import Body, declared, identifier
from rnngraph.exchange.importing.description import Port, Read
from rnngraph.exchange.importing.keras import layers, recurrent
from rnngraph.exchange.importing.keras.layers import Call, Model
from rnngraph.exchange.importing.roles import Roles, read_with
from rnngraph.exchange.importing.text import Described
from rnngraph.exchange.importing.values import BATCH, CannotSay, Dims, Value

RULES = {**layers.RULES, **recurrent.RULES}
Node = Mapping[str, Any]
Path = tuple[str, ...]
Maybe = tuple[Value | None, ...]
MODELS = ("Sequential", "Functional", "Model")
OPERATIONS = ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Concatenate", "Softmax")
"""Functions of `keras.ops` that do what the layers do that are called as they are; others mean something else."""
MOST_RESULTS = 8
"""Results of one layer: the outputs and states of two directions."""


def read(path: str, name: str) -> Read:
    """The description of the model of a file. UserError with every layer that cannot be said."""
    config, version = files.configuration(path)
    if config is None:
        raise UserError(
            f"`{path}` holds weights alone, and no model",
            "E761",
            "`rnngraph weights convert` reads them for a model in a .rnn file",
        )
    found = files.read(path)
    return read_with(lambda roles: _Reader(found, version, name, roles).whole(config))


class _Reader:
    """One reading with what is known of dimensions."""

    def __init__(self, found: Found, version: str, name: str, roles: Roles) -> None:
        body = Body(identifier(name))
        body.taken.add(body.name)
        self.model, self.roles = Model(found, version, body), roles
        self.ports: list[Port] = []

    def whole(self, config: Node) -> tuple[Read, Dims]:
        body = self.model.body
        results = self.of_model(config, (), None)
        for port in self.ports:
            body.inputs[port.ours] = declared(port.theirs, port.dims, port.dtype)
        if self.model.problems:
            raise UserError([Diagnostic("E760", text) for text in dict.fromkeys(self.model.problems)])
        outputs = tuple(self._output(name, value) for name, value in results)
        described = Described(body, {}, self.model.texts)
        dims = tuple(d for port in (*self.ports, *outputs) for d in port.dims)
        notes, proofs = tuple(self.model.notes), tuple(self.model.proofs)
        return Read(described, tuple(self.ports), outputs, notes, proofs=proofs), dims

    def _output(self, name: str, value: Value) -> Port:
        return Port(name, self.model.body.output(name, value.text), value.dims, value.dtype)

    # --- models -----------------------------------------------------------------------------------------------------

    def of_model(self, node: Node, names: Path, given: Sequence[Value] | None) -> list[tuple[str, Value]]:
        """The outputs of a model with their names; its inputs are declared where none are given."""
        config = node["config"]
        if node["class_name"] == "Sequential":
            return self._in_line(config if isinstance(config, list) else config["layers"], names, given)
        if "input_layers" not in config:
            raise CannotSay("it is built by code of its own, which is never run")
        return self._calls(config, names, given)

    def _in_line(self, nodes: Sequence[Node], names: Path, given: Sequence[Value] | None) -> list[tuple[str, Value]]:
        values: Maybe | None = None if given is None else tuple(given)
        name = ""
        for node in nodes:
            name = _name(node)
            if node["class_name"] == "InputLayer":
                values = values or (self._input(name, node["config"]),)
                continue
            values = values or (self._input("x", node["config"]),)
            values = self._called(node, names, values, ())
        return [(name, value) for value in values or () if value is not None]

    def _calls(self, config: Node, names: Path, given: Sequence[Value] | None) -> list[tuple[str, Value]]:
        """A model of calls: each is made when what it needs is there."""
        known: dict[tuple[str, int, int], Value | None] = {}
        starts = list(_tensors(config["input_layers"]))
        waiting = []
        version = self.model.version
        ends, wanted = _ends(config, version), _wanted(config, version)
        for node in config["layers"]:
            name = _name(node)
            if (name, 0, 0) in starts:
                at = starts.index((name, 0, 0))
                known[name, 0, 0] = given[at] if given is not None else self._input(name, node["config"])
            else:
                waiting += [(node, i, c) for i, c in _calls_of(node, version) if (name, i) in wanted]
        while waiting:
            ready = [entry for entry in waiting if all(t in known for t in _needed(entry[2]))]
            if not ready:
                raise CannotSay("its layers are called in a circle, or with what no layer gives")
            for node, i, call in ready:
                self._beside(_name(node), call)
                inputs, states = (
                    tuple(o if isinstance(o, Value) else known[o] for o in part) for part in _operands(call)
                )
                results = self._called(node, names, inputs, states)
                known |= {(_name(node), i, j): result for j, result in enumerate(results)}
            waiting = [entry for entry in waiting if entry not in ready]
        return [(t[0], value) for t in ends if (value := known[t]) is not None]

    def _beside(self, name: str, call: Any) -> None:
        """What a layer is called with besides, and the language says in another way. Behind `Masking` and `mask_zero`,
        of which it is told, Keras 3 hands masks on by itself."""
        given = call.get("kwargs", {}) if isinstance(call, dict) else {}
        if any(_tensors(given.get("mask"))) and not self.model.masked:
            self.model.problems.append(f"layer `{name}` is called with a mask: steps are left out by lengths here")
        if given.get("training"):
            self.model.notes[f"`{name}` is called with training = true: here it drops nothing but in training"] = None

    def _input(self, name: str, config: Node) -> Value:
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        if shape is None:
            raise UserError(f"the file does not say the shape of the input `{name}`", "E760")
        ours = self.model.body.fresh(name)
        dims = (BATCH, *self.roles.dims(ours, [None if n is None else int(n) for n in shape])[1:])
        whole = str(config.get("dtype", "")).startswith(("int", "uint")) or f"type {ours}" in self.roles.known
        kind = "int" if whole else "float"
        self.model.body.inputs[ours] = ""
        self.ports.append(Port(name, ours, dims, kind))
        return Value(ours, dims, kind)

    def _called(self, node: Node, names: Path, inputs: Maybe, states: Maybe) -> Maybe:
        """What a layer gives; nothing is known of what depends on one that cannot be said."""
        name, kind = _name(node), str(node["class_name"])
        unknown = (None,) * MOST_RESULTS
        try:
            if kind in MODELS:
                given = [value for value in inputs if value is not None]
                if len(given) < len(inputs):
                    return unknown
                return (*(value for _, value in self.of_model(node, (*names, name), given)), *unknown)
            inner = _inner(node)
            if any(value is None for value in (*inputs, *states)):
                return unknown
            first, begun = tuple(v for v in inputs if v), tuple(v for v in states if v)
            if inner["class_name"] in recurrent.RULES:
                first, begun = first[:1], (*first[1:], *begun)
            call = Call(self.model, (*names, name), inner["class_name"], inner["config"], first, begun)
            made = RULES[call.kind](call)
        except CannotSay as reason:
            self.model.problems.append(f"layer `{name}` ({kind}) cannot be said in the language: {reason}")
            return unknown
        return made if isinstance(made, tuple) else (made,)


def _inner(node: Node) -> Node:
    """The layer itself, or the one that works at every step. CannotSay where there is none like it."""
    around = node["class_name"] == "TimeDistributed"
    inner: Node = node["config"]["layer"] if around else node
    if inner["class_name"] == "Lambda":
        raise CannotSay("it holds code, which is never run")
    another = ".ops." in str(inner.get("module")) and inner["class_name"] not in OPERATIONS
    if another or inner["class_name"] not in RULES or (around and inner["class_name"] not in ("Dense", "Activation")):
        raise CannotSay("there is nothing like it")
    return inner


def _name(node: Node) -> str:
    config = node["config"]
    return str((config.get("name") if isinstance(config, dict) else None) or node.get("name") or node["class_name"])


# --- what a call is given -------------------------------------------------------------------------------------------


Tensor = tuple[str, int, int]
Operand = Tensor | Value


def _tensors(told: Any) -> Iterator[Tensor]:
    """The tensors that are told of, at whatever depth: `["lstm", 0, 1]`, or in Keras 3's own form."""
    if isinstance(told, dict):
        if told.get("class_name") == "__keras_tensor__":
            name, node, index = told["config"]["keras_history"]
            yield str(name), int(node), int(index)
            return
        for part in told.values():
            yield from _tensors(part)
    elif isinstance(told, (list, tuple)):
        if len(told) >= 3 and isinstance(told[0], str) and all(isinstance(n, int) for n in told[1:3]):
            yield told[0], told[1], told[2]
            yield from _tensors(told[3:])
            return
        for part in told:
            yield from _tensors(part)


def _operands(call: Any) -> tuple[list[Operand], list[Operand]]:
    """What a layer is called with, and that for its states: tensors, and in Keras 3 numbers and arrays."""
    if isinstance(call, dict):
        return list(_told(call.get("args", []))), list(_told(call.get("kwargs", {}).get("initial_state")))
    plain = [part[:3] for part in call] if call and isinstance(call[0], list) else call
    more = [part[3:] for part in call] if call and isinstance(call[0], list) else []
    return list(_tensors(plain)), list(_tensors(more))


def _needed(call: Any) -> list[Tensor]:
    """The tensors that have to be there before a layer is called."""
    return [o for part in _operands(call) for o in part if not isinstance(o, Value)]


def _told(part: Any) -> Iterator[Operand]:
    if isinstance(part, (bool, int, float)):
        yield _constant(np.array(part))
    elif isinstance(part, dict) and part.get("class_name") in ("__tensor__", "__numpy__"):
        yield _constant(np.array(part["config"]["value"], part["config"]["dtype"]))
    elif isinstance(part, (list, tuple)):
        for each in part:
            yield from _told(each)
    else:
        yield from _tensors(part)


def _constant(array: Any) -> Value:
    return Value("", array.shape, {"b": "bool", "f": "float"}.get(array.dtype.kind, "int"), array)


def _calls_of(node: Node, version: str) -> Iterator[tuple[int, Any]]:
    """The calls of a layer with their numbers. A model's own inputs count as one before them in Keras 2."""
    layers = node["config"].get("layers", [])[:1] if version < "3" and node["class_name"] in MODELS else []
    return enumerate(node["inbound_nodes"], sum(layer["class_name"] == "InputLayer" for layer in layers))


def _ends(config: Node, version: str) -> list[Tensor]:
    """The tensors that a model gives. Here alone Keras 3 counts a model's own inputs as a call too, but for a
    `Sequential`."""
    models = {_name(n) for n in config["layers"] if version >= "3" and n["class_name"] in ("Functional", "Model")}
    return [(name, i - (name in models), j) for name, i, j in _tensors(config["output_layers"])]


def _wanted(config: Node, version: str) -> set[tuple[str, int]]:
    """The calls that the outputs need; masks are not among them, since rows have lengths here."""
    calls = {(_name(node), i): call for node in config["layers"] for i, call in _calls_of(node, version)}
    found: set[tuple[str, int]] = set()
    waiting = [(name, i) for name, i, _ in _ends(config, version)]
    while waiting:
        at = waiting.pop()
        if at in calls and at not in found:
            found.add(at)
            waiting += [(name, i) for name, i, _ in _needed(calls[at])]
    return found
