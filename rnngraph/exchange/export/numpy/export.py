"""A model as one readable Python file with nothing but NumPy in it.

The file has one function, `run(x, lengths=None, ...)`, whose arrays are those of `rnngraph run`: batch-major, by
name, `initial_h` for the state that is called `final.h` when it is given. A loop is a `for` over steps, or its
steps one after the other for a static export. Small weights stand in the file, larger ones in an `.npz` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from rnngraph.compilation.schedule import Steps
from rnngraph.exchange.export.early_exit import early_exits
from rnngraph.exchange.export.grid_lengths import axes_of_lengths
from rnngraph.exchange.export.numpy.expressions import Text, Words, call
from rnngraph.exchange.export.numpy.snippets import SNIPPETS
from rnngraph.exchange.export.numpy.statements import RESERVED, Names, Writer, identifier
from rnngraph.exchange.export.request import Chosen, Port, Wanted, axes_of, chosen
from rnngraph.files.safetensors import Arrays
from rnngraph.ir.graph import Graph, ordered
from rnngraph.ir.types import BATCH, every, root
from rnngraph.model import Model
from rnngraph.passes.unroll import unroll

EMBEDDED = 256
"""Numbers in all weights together up to which they stand in the file itself."""


class Written(Struct, frozen=True):
    """The text of the file, and the arrays of the `.npz` beside it (None where the text has them)."""

    text: str
    arrays: Arrays | None


def to_numpy(model: Model, weights: Mapping[str, Any], wanted: Wanted) -> Written:
    """The file and its weights. Raises CannotDo, at the user's expression, for what it cannot say."""
    given = chosen(model, wanted, weights)
    graph = given.source
    if wanted.unroll == "static":
        graph = unroll(graph, Steps(given.wanted.schedule))
    return _File(given, graph).written()


def beside(path: str) -> Path:
    """Where large weights are written: a name of its own, since data or results may bear the model's."""
    return Path(path).with_suffix(".weights.npz")


class _File:
    """One file in the making."""

    def __init__(self, given: Chosen, graph: Graph) -> None:
        self.given, self.graph = given, graph
        self.inputs, self.outputs = given.inputs(graph), given.outputs(graph)
        self.names, axes = Names({*RESERVED, *SNIPPETS}), axes_of(graph)
        self.variables = {port.name: self.names.fresh(self.argument(port)) for port in self.inputs}
        self.trained = self.names.fresh("weights")
        self.words = Words(f"np.{given.wanted.dtype}", {axis: self.size_name(axis, axes) for axis in sorted(axes)})
        self.writer = Writer(self.words, self.names, early_exits(given.elaborated))
        self.known = {axis for axis, name in self.words.sizes.items() if name.isdigit()}
        for port in self.inputs:
            self.writer.by_name[port.value.node.attrs["name"]] = self.variables[port.name]

    def size_name(self, axis: str, axes: set[str]) -> str:
        if axis == BATCH:
            return self.names.fresh("batch")
        steps = self.given.steps_of(axis)
        if steps is not None:
            return str(steps)
        plain = {a for a in axes if root(a) == a} - {BATCH}
        return self.names.fresh("steps" if plain == {axis} else f"{axis}_steps")

    def argument(self, port: Port) -> str:
        lengths = [p for p in self.inputs if p.kind == "lengths"]
        if port in lengths and len(lengths) == 1:
            return "lengths"
        return identifier(port.name)

    # --- the parts of the function, in order ---

    def written(self) -> Written:
        self.weights()
        self.borders()
        self.whole_records()
        self.defaults()
        leaving = [p.value for p in self.outputs]
        hints = {p.value: p.name for p in self.outputs if not p.name.startswith("final.")}
        self.writer.level(self.graph.nodes(), leaving, hints)
        self.results()
        arrays = self.given.weights
        small = sum(a.size for a in arrays.values()) <= EMBEDDED
        return Written(self.text(small), None if small else dict(arrays))

    def weights(self) -> None:
        for name in self.given.weights:
            if name in self.graph.inputs:
                variable = self.names.fresh(name)
                self.writer.by_name[name] = variable
                self.writer.line(f'{variable} = {self.trained}["{name}"]')

    def borders(self) -> None:
        """What must be given, and from it the sizes of the axes."""
        for port in self.inputs:
            if not port.optional:
                self.taken_in(port)
        for axis in sorted((a for a in self.words.sizes if root(a) != a and a not in self.known), key=len):
            base, by = every(axis)
            self.writer.line(f"{self.words.sizes[axis]} = -(-{self.words.sizes[base]} // {by})")

    def taken_in(self, port: Port) -> None:
        """An input that must be given; the sizes that it is the first to have; its axes put in order."""
        name, axes = self.variables[port.name], port.value.type.axes
        self.writer.line(f"{name} = {self.checked(port)}")
        for place, axis in enumerate(axes[i] for i in port.order[: len(axes)]):
            if axis not in self.known:
                self.known.add(axis)
                self.writer.line(f"{self.words.sizes[axis]} = {name}.shape[{place}]")
        if (turned := self.turned(port, name)) != name:
            self.writer.line(f"{name} = {turned}  # time first")

    def checked(self, port: Port) -> str:
        """The argument as an array that fits; an axis that it is the first to have may be of any size."""
        name, type = self.variables[port.name], port.value.type
        sizes = [self.words.sizes[axis] if axis in self.known else f'"{axis}"' for axis in type.axes]
        words = [*sizes, *map(str, type.shape)]
        shape = [words[i] for i in port.order]
        return call(self.words.snippet("checked"), f'"{name}"', name, self.words.dtype(type.dtype), *shape).text

    def turned(self, port: Port, text: str, into: bool = True) -> str:
        """An array with its axes as inside (or, on its way out, as outside)."""
        order = list(port.order)
        if order == sorted(order):
            return text
        if order[:2] == [1, 0] and order[2:] == sorted(order[2:]):
            return f"np.swapaxes({text}, 0, 1)"
        return f"np.transpose({text}, {tuple(sorted(order, key=order.__getitem__) if into else order)})"

    def whole_records(self) -> None:
        """Of a record all states are given, or none, as for `run`."""
        records: dict[str, list[str]] = {}
        for port in self.inputs:
            if port.value.node.attrs["kind"] == "state":
                record = port.value.node.attrs["name"].partition(".")[0]
                records.setdefault(record, []).append(self.variables[port.name])
        for names in (", ".join(found) for found in records.values() if len(found) > 1):
            self.writer.line(f"if len({{state is None for state in ({names})}}) > 1:")
            self.writer.line(f'    raise ValueError("give all of {names}, or none")')

    def defaults(self) -> None:
        """What may be left out: inputs that have a value for that, initial states, lengths, the seed."""
        for port in self.inputs:
            if port.optional:
                name = self.variables[port.name]
                default, given = self.default(port), self.turned(port, self.checked(port))
                if port.kind == "lengths":
                    given = self.checked_lengths(port)
                self.writer.line(f"{name} = {default} if {name} is None else {given}")

    def default(self, port: Port) -> str:
        type = port.value.type
        if port.kind == "seed":
            return call(self.words.dtype("int"), "0").text
        if port.kind == "lengths":
            return call("np.full", self.words.shape(port.value.type), self.most(port)).text
        if port.kind == "state":
            value = self.given.first_state(port)
            self.writer.level(ordered([value.node]), [], {})
            return self.writer.spread(value, type.axes).text
        number = repr(self.given.default(port))
        return call("np.full", self.words.shape(type), number, self.words.dtype(type.dtype)).text

    def most(self, port: Port) -> str:
        """The largest lengths that a port can tell: the steps of its axis, or of each of its axes."""
        steps = [self.words.sizes[axis] for axis in axes_of_lengths(port.value.node.attrs["name"])]
        return steps[0] if len(steps) == 1 else f"[{', '.join(steps)}]"

    def checked_lengths(self, port: Port) -> str:
        name, shape = self.variables[port.name], self.words.shape(port.value.type)
        self.words.snippet("checked")
        return call(self.words.snippet("checked_lengths"), f'"{name}"', name, shape, self.most(port)).text

    def results(self) -> None:
        """Each is an array of its own: one may be an argument or a weight as it is, or a part of another result."""
        self.writer.line("return {")
        for port in self.outputs:
            text = self.turned(port, self.writer.array(port.value).text, into=False)
            self.writer.line(f'    "{port.name}": np.array({text}),')
        self.writer.line("}")

    # --- the whole file ---

    def signature(self) -> str:
        """Required inputs, then those with a default by keyword or place."""
        words = [self.variables[p.name] for p in self.inputs if not p.optional]
        words += [f"{self.variables[p.name]}=None" for p in self.inputs if p.optional]
        return ", ".join([*words, f"{self.trained}=WEIGHTS"])

    def text(self, small: bool) -> str:
        model = self.given.model.block.name
        said = f"The model {model}: `run` computes its outputs with NumPy alone. Arrays are batch-major."
        note = self.given.wanted.note
        head = [f'"""{said}', "", note, '"""', ""] if note else [f'"""{said}"""', ""]
        head += [] if small else ["from pathlib import Path", ""]
        head += ["import numpy as np", ""]
        beside = 'WEIGHTS = dict(np.load(Path(__file__).with_suffix(".weights.npz")))'
        head += _embedded(self.given.weights) if small else [beside]
        snippets = [SNIPPETS[name].rstrip("\n") for name in SNIPPETS if name in self.words.used]
        body = ["", "", f"def run({self.signature()}):", *self.described(), *self.writer.lines, ""]
        return "\n".join([*head, *("\n" + s for s in snippets), *body])

    def described(self) -> list[str]:
        """The docstring of the function: what it takes and what it gives, with shapes."""
        lines = [f"    {self.variables[p.name]}: {self.dims(p)}" for p in self.inputs]
        lines += ["", "    Returns a dictionary:", *(f"    {p.name}: {self.dims(p)}" for p in self.outputs)]
        return [f'    """Runs {self.given.model.block.name}.', "", *lines, '    """']

    def dims(self, port: Port) -> str:
        axes = [axis if (n := self.given.steps_of(axis)) is None else n for axis in port.value.type.axes]
        words: Sequence[object] = (*axes, *port.value.type.shape)
        return f"({', '.join(str(words[i]) for i in port.order)})"


def _embedded(weights: Arrays) -> list[str]:
    """The weights as text; numbers are written so that they are read back to the last bit."""
    lines = ["WEIGHTS = {"]
    for name, array in weights.items():
        array = np.asarray(array)
        made = f"np.array({array.tolist()!r}" if array.size else f"np.empty({array.shape}"
        lines.append(f'    "{name}": {made}, np.{array.dtype}),')
    return [*lines, "}"]


__all__ = ["Text", "Written", "to_numpy"]
