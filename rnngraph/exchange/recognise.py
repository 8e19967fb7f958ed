"""Which instances of a model are exactly a cell of the library, and with which options.

A cell is recognised by its equations, not by its name: the steps of the instance, as they stand in the loop's
body, are written down without names and compared with those of the library's cell of the same sizes. So a
user's own cell that says the same is recognised too, and one that is only called `LSTM` is not. A user's own may
have other gates as well: those that other tools call hard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, product
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.diagnostics.source import Source
from rnngraph.ir.graph import INPUT, LOOP, Graph, Loop, Node, Value, loop_of
from rnngraph.language.elaboration.elaborate import elaborate
from rnngraph.language.elaboration.elaborated import Block, Elaborated
from rnngraph.language.elaboration.imports import library
from rnngraph.language.syntax.parser import parse

ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
SIGMOID = "sigmoid"
HARD = ("clip(0.2 * z + 0.5, 0, 1)", "clip(z / 6 + 0.5, 0, 1)")
"""The gates `hard_sigmoid`, as they are written here: of Keras before 3 and of ONNX, and of Keras since."""
_USUAL = {"activation": "tanh", "forget_bias": 1.0}
"""The options that are not false or 0 where nothing is written."""
_STAND_INS = {0.125: ("forget_bias", 1), 0.25: ("cell_clip", 1), -0.25: ("cell_clip", -1),
              0.375: ("projection_clip", 1), -0.375: ("projection_clip", -1)}  # fmt: skip


class Cell(Struct, frozen=True):
    """A recurrent cell of the library as it stands in a model. `weights` are full names by local ones."""

    kind: str
    path: tuple[str, ...]
    inputs: int
    units: int
    weights: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """The size of the state `h`."""
        return int(self.options.get("projection", 0)) or self.units

    @property
    def forget_bias(self) -> float:
        return float(self.options.get("forget_bias", 0.0))

    @property
    def activation(self) -> str:
        return str(self.options.get("activation", "tanh"))

    @property
    def gate(self) -> str:
        """The function of the gates: `SIGMOID`, or one of `HARD`."""
        return str(self.options.get("gate", SIGMOID))

    @property
    def text(self) -> str:
        """The cell as it is written in the language, but for gates that have no name there."""
        spelled = {True: "true", False: "false"}
        told = {k: v for k, v in self.options.items() if v != _USUAL.get(k, False) and k != "gate"}
        if self.gate == HARD[1]:
            told["recurrent_activation"] = "hard_sigmoid"
        options = [f"{k} = {spelled[v] if isinstance(v, bool) else v}" for k, v in told.items()]
        return f"{self.kind}({', '.join([str(self.units), *options])})"

    def model_text(self, backwards: bool = False, written: bool = False) -> str:
        """A model that runs the cell alone, as `net`; with its gates `written` out in a cell of its own, if that is
        asked or they have no name."""
        own = with_gate(self.kind, self.gate) if written or self.gate == HARD[0] else ""
        return (
            f"{own}\nmodel Alone {{\n  input x: seq[{self.inputs}]\n  net = {self.text}\n"
            f"  y, final = unroll net over x{' reversed' if backwards else ''}\n  output y, final\n}}\n"
        )


def with_gate(kind: str, gate: str) -> str:
    """The library's cell with a formula in z in place of the function of its gates."""
    head, *rest = library()[kind].name_span.source.text.split("recurrent_activation(")
    for part in rest:
        end = next(i for i, depth in enumerate(_depths(part)) if depth < 0)
        head += f"{gate.replace('z', f'({part[:end]})')}{part[end + 1 :]}"
    return head


def _depths(text: str) -> Iterator[int]:
    """How many brackets are open behind each letter."""
    depth = 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        yield depth


def cells(made: Elaborated) -> list[Cell]:
    """The library's recurrent cells in a model, in the order written."""
    return [cell for cell, _ in loops_of(made).values()]


def loops_of(made: Elaborated) -> dict[tuple[str, ...], tuple[Cell, Node]]:
    """The library's recurrent cells by path, each with the first loop that runs it."""
    loops = [node for node in made.graph.all_nodes() if node.op is LOOP]
    found = ((block.path, _first(block, loops)) for block in instances(made.block))
    return {path: cell for path, cell in found if cell}


def instances(block: Block) -> Iterator[Block]:
    """The block and all inside it, from the outside in, in the order written."""
    yield block
    for child in block.children:
        yield from instances(child)


def _first(block: Block, loops: Sequence[Node]) -> tuple[Cell, Node] | None:
    return next(((cell, node) for node in loops if (cell := recognised(block, loop_of(node)))), None)


def recognised(block: Block, loop: Loop) -> Cell | None:
    """The cell that the block is, as the loop runs it; None where it is none of the library's."""
    if not block.states or not block.weights:
        return None
    written = _Written(loop, block.path, len(block.states))
    if written.text is None:
        return None
    prefix = ".".join(block.path) + "."
    local = {w.name.removeprefix(prefix): w for w in block.weights}
    shapes = tuple((name, weight.shape) for name, weight in local.items())
    gates = ("usual", "hard") if block.standard else ("usual", "hard", "written")
    for kind, inputs, units, text, stand_ins, options in chain.from_iterable(_candidates(shapes, g) for g in gates):
        if text == written.text and (numbers := _numbers(stand_ins, written.numbers)) is not None:
            names = {name: weight.name for name, weight in local.items()}
            return Cell(kind, block.path, inputs, units, names, {**dict(options), **numbers})
    return None


def _numbers(stand_ins: Sequence[float], found: Sequence[float]) -> dict[str, float] | None:
    """The options that are numbers, read where the library's cell has a stand-in; None where others differ."""
    numbers: dict[str, float] = {}
    for stand_in, value in zip(stand_ins, found, strict=True):
        if stand_in not in _STAND_INS:
            if stand_in != value:
                return None
            continue
        name, sign = _STAND_INS[stand_in]
        if numbers.setdefault(name, sign * value) != sign * value:
            return None
    return numbers


class _Written:
    """The equations of an instance without its names: `text` is None where they are not of this loop.

    Leaves are its states by place, its weights by local name, what it is given, and numbers, which are set down
    apart, in order.
    """

    def __init__(self, loop: Loop, path: tuple[str, ...], states: int) -> None:
        self.path, self.numbers = path, list[float]()
        self.given: list[Value] = []
        self.lines: list[str] = []
        self.known: dict[Value, str] = {}
        roots = [(c.param, root) for c in loop.carries if self.own((root := unmasked(c.next, c.param)).node)]
        self.text: str | None = None
        if len(roots) < states:
            return
        self.known |= {param: f"state{i}" for i, (param, _) in enumerate(roots[:states])}
        prefix = ".".join(path) + "."
        for c in loop.captures:
            name = c.outer.node.attrs.get("name", "") if c.outer.op is INPUT else ""
            if name.startswith(prefix):
                self.known[c.param] = name.removeprefix(prefix)
        self.states = [param for param, _ in roots[:states]]
        self.nexts = [root for _, root in roots[:states]]
        ends = [self.word(root) for root in self.nexts]
        self.text = "\n".join([*self.lines, *ends])

    def own(self, node: Node) -> bool:
        return node.origin.path == self.path and node.op.kind != "leaf"

    def word(self, value: Value) -> str:
        """The name of a value in the text; what it needs is written first."""
        if value in self.known:
            return self.known[value]
        node = value.node
        if node.op.name == "const":
            self.numbers.append(float(node.attrs["value"]))
            return "number"
        if not self.own(node):
            self.given.append(value)
            word = f"given{len(self.given)}"
        else:
            attrs = " ".join(f"{k}={v}" for k, v in sorted(node.attrs.items()))
            words = " ".join([self.word(v) for v in node.inputs])
            word = f"v{len(self.lines)}"
            self.lines.append(f"{node.op.name} {attrs} {words} {value.type.shape}")
        self.known[value] = word
        return word


def unmasked(value: Value, old: Value | None) -> Value:
    """What is behind the choice between a real step's value and the old one (or zero, for outputs)."""
    if value.op.name != "where":
        return value
    _, new, other = value.node.inputs
    kept = other == old if old is not None else other.op.name == "const" and other.node.attrs["value"] == 0
    return new if kept else value


def written(block: Block, loop: Loop) -> _Written:
    """The equations of an instance with the values that they begin and end with."""
    return _Written(loop, block.path, len(block.states))


# --- the library's own ----------------------------------------------------------------------------------------------

Shapes = tuple[tuple[str, tuple[int, ...]], ...]
Candidate = tuple[str, int, int, str, tuple[float, ...], tuple[tuple[str, Any], ...]]


@lru_cache(maxsize=64)
def _candidates(shapes: Shapes, gates: str) -> tuple[Candidate, ...]:
    """Every cell of the library whose weights have these names and shapes, written down: with its usual gates, with
    hard ones, or with these as formulas."""
    found = []
    functions = {"usual": (SIGMOID,), "hard": HARD[1:], "written": HARD}[gates]
    for cell in _possible(dict(shapes), functions):
        graph, block = _alone(cell, gates == "written")
        (loop,) = (loop_of(n) for n in graph.nodes() if n.op is LOOP)
        (inner,) = block.children
        equations = _Written(loop, inner.path, len(inner.states))
        assert equations.text is not None
        declared = tuple((w.name.removeprefix("net."), w.shape) for w in inner.weights)
        if sorted(declared) == sorted(shapes):
            plain = tuple((k, v) for k, v in cell.options.items() if v not in _STAND_INS or isinstance(v, bool))
            found.append((cell.kind, cell.inputs, cell.units, equations.text, tuple(equations.numbers), plain))
    return tuple(found)


def _alone(cell: Cell, written: bool) -> tuple[Graph, Block]:
    made = elaborate(parse(Source("<cell>", cell.model_text(written=written))), {})
    return made.graph, made.block


def _possible(shapes: Mapping[str, tuple[int, ...]], gates: Sequence[str]) -> Iterator[Cell]:
    """Cells with all combinations of options that the names of the weights leave open."""
    names = set(shapes)
    if names == {"kernel", "bias"} and SIGMOID in gates:
        rows, units = shapes["kernel"][0], shapes["bias"][0]
        yield from (Cell("RNN", (), rows - units, units, {}, {"activation": a}) for a in ACTIVATIONS if rows > units)
    for gate in gates:
        other = {} if gate == SIGMOID else {"gate": gate}
        yield from (replace(c, options={**c.options, **other}) for c in _gated(shapes))


def _gated(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Cell]:
    names = set(shapes)
    if {"gates_kernel", "candidate_kernel"} <= names:
        rows, units = shapes["candidate_kernel"]
        after = {"reset_after": "candidate_state_bias" in names}
        yield from (Cell("GRU", (), rows - units, units, {}, {"activation": a, **after}) for a in ACTIVATIONS)
    for count in (4, 3):
        if {"kernel", "bias"} <= names and shapes["bias"][0] % count == 0:
            yield from _possible_lstms(shapes, count)


def _possible_lstms(shapes: Mapping[str, tuple[int, ...]], gates: int) -> Iterator[Cell]:
    units = shapes["bias"][0] // gates
    projection = shapes["project"][1] if "project" in shapes else 0
    inputs = shapes["kernel"][0] - (projection or units)
    clips = ((0, False), (0.25, False), (0.25, True))
    for activation, (clip, straight), clip_projected in product(ACTIVATIONS, clips, (0, 0.375) if projection else (0,)):
        options = {
            "forget_bias": 0.125,
            "activation": activation,
            "peepholes": "w_i" in shapes,
            "cell_clip": clip,
            "projection": projection,
            "projection_clip": clip_projected,
            "coupled": gates == 3,
            "straight_clip": straight,
        }
        if inputs > 0:
            yield Cell("LSTM", (), inputs, units, {}, options)
