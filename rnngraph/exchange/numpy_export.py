"""A model as one readable Python file with nothing but NumPy in it.

The file has one function, `run(x, lengths=None, ...)`, whose arrays are those of `rnngraph run`: batch-major, by
name, `initial_h` for the state that is called `final.h` when it is given. A loop is a `for` over steps, or its
steps one after the other for a static export. Small weights stand in the file, larger ones in an `.npz` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnngraph.compiled import Steps
from rnngraph.diagnostics import CannotDo
from rnngraph.exchange.chosen import LENGTHS, Chosen, Port, Wanted, bases, chosen
from rnngraph.exchange.numpy_snippets import SNIPPETS
from rnngraph.exchange.numpy_words import Text, Words, spread_to
from rnngraph.exchange.numpy_write import RESERVED, Names, Writer, identifier
from rnngraph.exchange.plain import early_exits
from rnngraph.front.block import DataInput
from rnngraph.front.elaborate import elaborate
from rnngraph.ir.graph import LOOP, Graph, Value, loop_of, ordered
from rnngraph.ir.types import BATCH
from rnngraph.learn.files import Arrays
from rnngraph.model import Model
from rnngraph.passes.unroll import unroll

EMBEDDED = 256
"""Numbers in all weights together up to which they stand in the file itself."""


@dataclass(frozen=True)
class Written:
    """The text of the file, and the arrays of the `.npz` beside it (None where the text has them)."""

    text: str
    arrays: Arrays | None


def to_numpy(model: Model, weights: Mapping[str, Any], wanted: Wanted) -> Written:
    """The file and its weights. Raises CannotDo, at the user's expression, for what it cannot say."""
    given = chosen(model, wanted, weights)
    graph = given.source
    if wanted.unroll == "static":
        graph = unroll(graph, Steps(wanted.schedule))
    return _File(given, graph).written()


class _File:
    """One file in the making."""

    def __init__(self, given: Chosen, graph: Graph) -> None:
        self.given, self.graph = given, graph
        self.inputs, self.outputs = given.inputs(graph), given.outputs(graph)
        self.names = Names({*RESERVED, *SNIPPETS})
        axes = {axis for node in graph.all_nodes() for type in node.types for axis in type.axes}
        axes |= {loop_of(node).axis for node in graph.all_nodes() if node.op is LOOP}
        self.variables = {port.name: self.names.fresh(self.argument(port)) for port in self.inputs}
        self.trained = self.names.fresh("weights")
        axes |= {base for axis in axes for base in bases(axis)}
        self.words = Words(f"np.{given.wanted.dtype}", {axis: self.size_name(axis, axes) for axis in sorted(axes)})
        self.writer = Writer(self.words, self.names, early_exits(given.elaborated))
        for port in self.inputs:
            self.writer.by_name[port.value.node.attrs["name"]] = self.variables[port.name]

    def size_name(self, axis: str, axes: set[str]) -> str:
        if axis == BATCH:
            return self.names.fresh("batch")
        steps = self.given.steps_of(axis)
        if steps is not None:
            return str(steps)
        plain = {a for a in axes if "/" not in a} - {BATCH}
        return self.names.fresh("steps" if plain == {axis} else f"{axis}_steps")

    def argument(self, port: Port) -> str:
        lengths = [p for p in self.inputs if p.value.node.attrs["kind"] == "lengths"]
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
        """Inputs with time in front, and the sizes of the axes."""
        known = {axis for axis, name in self.words.sizes.items() if name.isdigit()}
        for port in self.inputs:
            if port.value.node.attrs["kind"] in ("lengths", "state") or self.default(port) is not None:
                continue
            self.brought_in(port)
            new = [a for a in port.value.type.axes if a not in known]
            if new:
                name, axes = self.variables[port.name], port.value.type.axes
                known |= set(new)
                for axis in new:
                    self.writer.line(f"{self.words.sizes[axis]} = {name}.shape[{axes.index(axis)}]")
        for port in self.inputs:
            if port.value.node.attrs["kind"] == "state" and BATCH not in known:
                known.add(BATCH)
                self.writer.line(f"{self.words.sizes[BATCH]} = len({self.variables[port.name]})")
        for axis in sorted((a for a in self.words.sizes if "/" in a and a not in known), key=len):
            base, _, by = axis.rpartition("/")
            self.writer.line(f"{self.words.sizes[axis]} = -(-{self.words.sizes[base]} // {by})")
        missing = {a for p in self.inputs for a in p.value.type.axes} - known
        if missing:
            raise CannotDo(f"nothing that must be given tells the size of `{min(missing)}`", "E683")

    def brought_in(self, port: Port) -> None:
        name, type = self.variables[port.name], port.value.type
        text = f"np.asarray({name}, {self.words.dtype(type.dtype)})"
        perm = sorted(range(type.rank), key=port.order.__getitem__)
        if perm != sorted(perm):
            text = (
                f"np.swapaxes({text}, 0, 1)"
                if perm[:2] == [1, 0] and perm[2:] == sorted(perm[2:])
                else (f"np.transpose({text}, {tuple(perm)})")
            )
        self.writer.line(f"{name} = {text}{'  # time first' if perm != sorted(perm) else ''}")

    def default(self, port: Port) -> float | None:
        item = next((i for i in self.given.made.inputs if i.name == port.name), None)
        return item.default if isinstance(item, DataInput) else None

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
        """What may be left out: lengths, initial states, inputs that have a value for that."""
        for port in self.inputs:
            kind, name, type = port.value.node.attrs["kind"], self.variables[port.name], port.value.type
            if kind == "lengths":
                axis = port.value.node.attrs["name"].removeprefix(LENGTHS)
                self.optional(port, f"np.full({self.words.sizes[BATCH]}, {self.words.sizes[axis]})")
            elif kind == "state":
                self.optional(port, self.first_state(port))
            elif (value := self.default(port)) is not None:
                self.writer.line(f"if {name} is None:")
                shape = self.words.shape(type)
                self.writer.line(f"    {name} = np.full({shape}, {value!r}, {self.words.dtype(type.dtype)})")
                self.writer.line("else:")
                self.writer.depth += 1
                self.brought_in(port)
                self.writer.depth -= 1

    def optional(self, port: Port, default: str) -> None:
        name, dtype = self.variables[port.name], self.words.dtype(port.value.type.dtype)
        self.writer.line(f"{name} = {default} if {name} is None else np.asarray({name}, {dtype})")

    def first_state(self, port: Port) -> str:
        """What the cell itself begins with."""
        value = self.unfed[port.value.node.attrs["name"]]
        self.writer.level(ordered([value.node]), [], {})
        return spread_to(self.words, self.writer.text(value), value.type, port.value.type.axes).text

    @property
    def unfed(self) -> dict[str, Value]:
        model = self.given.model
        made = elaborate(model.file, model.settings, model=model.name, padded=self.given.wanted.lengths)
        return {s.name: s.value for s in made.states}

    def results(self) -> None:
        self.writer.line("return {")
        for port in self.outputs:
            text, order = self.writer.text(port.value).text, list(port.order)
            if order[:2] == [1, 0] and order[2:] == sorted(order[2:]):
                text = f"np.swapaxes({text}, 0, 1)"
            elif order != sorted(order):
                text = f"np.transpose({text}, {tuple(order)})"
            self.writer.line(f'    "{port.name}": {text},')
        self.writer.line("}")

    # --- the whole file ---

    def signature(self) -> str:
        """Required inputs, then those with a default by keyword or place."""
        always = [p for p in self.inputs if p.value.node.attrs["kind"] in ("data", "seed")]
        required = [p for p in always if self.default(p) is None]
        others = [p for p in self.inputs if p not in required]
        words = [self.variables[p.name] for p in required] + [f"{self.variables[p.name]}=None" for p in others]
        return ", ".join([*words, f"{self.trained}=WEIGHTS"])

    def text(self, small: bool) -> str:
        model = self.given.model.block.name
        head = [f'"""The model {model}: `run` computes its outputs with NumPy alone. Arrays are batch-major."""', ""]
        head += [] if small else ["from pathlib import Path", ""]
        head += ["import numpy as np", ""]
        beside = 'WEIGHTS = dict(np.load(Path(__file__).with_suffix(".npz")))'
        head += _embedded(self.given.weights) if small else [beside]
        snippets = [SNIPPETS[name].rstrip("\n") for name in SNIPPETS if name in self.words.used]
        body = ["", "", f"def run({self.signature()}):", *self.described(), *self.writer.lines, ""]
        return "\n".join([*head, *("\n" + s for s in snippets), *body])

    def described(self) -> list[str]:
        """The docstring of the function: what it takes and what it gives, with shapes."""
        lines = [f"    {self.variables[p.name]}: {_dims(p)}" for p in self.inputs]
        lines += ["", "    Returns a dictionary:", *(f"    {p.name}: {_dims(p)}" for p in self.outputs)]
        return [f'    """Runs {self.given.model.block.name}.', "", *lines, '    """']


def _dims(port: Port) -> str:
    type = port.value.type
    words: Sequence[object] = (*type.axes, *type.shape)
    return f"({', '.join(str(words[i]) for i in port.order)})"


def _embedded(weights: Arrays) -> list[str]:
    """The weights as text; numbers are written so that they are read back to the last bit."""
    lines = ["WEIGHTS = {"]
    for name, array in weights.items():
        dtype = f"np.{np.asarray(array).dtype}"
        lines.append(f'    "{name}": np.array({np.asarray(array).tolist()!r}, {dtype}),')
    return [*lines, "}"]


__all__ = ["Text", "Written", "to_numpy"]
