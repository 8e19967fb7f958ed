"""A gradient graph cut at an axis of time: three graphs for all steps, and three for a segment of the steps.

The graphs talk to each other by names. A value that one stage makes and another reads, or the user, is *held*: an array
of its own for the whole run. A segment reads and writes its rows of what is long; what has no time is the same for all.

Names that only a segment's graph has: `state:0`, `state:1` ... are what the loops in the forward pass carry, given at
the segment's first step and handed out at its last; `cotangent:0` ... the same in the backward pass, reversed.
`made:NAME` is a held value that the forward pass has made, as the backward pass of the same graph reads it.
`end:NAME` is a held value at the sequence's last step, zeros elsewhere. `within:NAME` are lengths counted from the
segment's first step, 0 where a row ends in another segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.checkpointing.stages import (
    AFTER,
    BACK,
    BEFORE,
    BETWEEN,
    CONST,
    IOTA,
    LAST_WITHIN,
    PLACE_LAST,
    PLACE_LAST_WITHIN,
    THERE,
    WALKS,
    Stages,
    Way,
    stages,
)
from rnngraph.ir.graph import (
    INPUT,
    LOOP,
    Graph,
    Node,
    Rewriter,
    Slice,
    Value,
    finals,
    graph_input,
    loop_node,
    loop_of,
    make,
    rebound,
    rebuilt,
)
from rnngraph.ir.types import Type
from rnngraph.passes.prune import prune

STATE, COTANGENT, MADE, END, WITHIN, STEPS = "state:", "cotangent:", "made:", "end:", "within:", "steps@"
CARRIED = {THERE: STATE, BACK: COTANGENT}


class Held(Struct, frozen=True):
    """A value that outlives the stage that makes it; `carried` is the state whose last value it is."""

    name: str
    type: Type
    stage: int
    node: Node
    carried: int | None = None


class Carried(Struct, frozen=True):
    """What a walk hands from segment to segment: its type, and the name of its first value."""

    type: Type
    first: str


class Cut(Struct, frozen=True, eq=False):
    """`wholes` by stage; `first` is what the first walk does for a segment, with the backward pass of the same segment;
    `again` computes a segment once more and goes back over it; `advance` only brings the states on."""

    way: Way
    wholes: Mapping[int, Graph]
    first: Graph
    again: Graph
    advance: Graph
    states: tuple[Carried, ...]
    cotangents: tuple[Carried, ...]
    held: Mapping[str, Held]
    results: Mapping[str, str]
    """The name of the held value for each output of the graph."""

    @property
    def axis(self) -> str:
        return self.way.axis


def cut(graph: Graph, way: Way) -> Cut:
    """The parts of a graph whose sums are in units, for walks this way."""
    return _Cutting(graph, stages(graph, way)).cut()


class _Cutting(Struct):
    graph: Graph
    stages: Stages
    names: dict[Value, str] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)

    def cut(self) -> Cut:
        results = {name: self.hold(value) for name, value in self.graph.outputs.items()}
        for node, stage in self.stages.of.items():
            for value in node.inputs:
                if self.crosses(value, stage) or (node.op is PLACE_LAST and stage in WALKS):
                    self.hold(value)
        loops = {walk: self.stages.walked(walk) for walk in WALKS}
        carried = {walk: tuple(self.carried(loops[walk])) for walk in WALKS}
        wholes = {s: self.part(self.made_in(s), (s,)) for s in (BEFORE, BETWEEN, AFTER)}
        there, back = self.made_in(THERE), self.made_in(BACK)
        on = self.next_values(THERE, loops[THERE])
        behind = self.next_values(BACK, loops[BACK])
        return Cut(
            self.stages.way,
            wholes,
            self.part({**there, **on, **back, **behind}, WALKS),
            self.part({**on, **back, **behind}, WALKS),
            self.part(on, (THERE,)),
            carried[THERE],
            carried[BACK],
            self.held,
            results,
        )

    # --- what is held ---

    def hold(self, value: Value) -> str:
        if value not in self.names:
            stage = self.stages.of[value.node]
            self.names[value] = name = f":{len(self.names)}"
            self.held[name] = Held(name, value.type, stage, value.node, self.place(value, stage))
        return self.names[value]

    def place(self, value: Value, stage: int) -> int | None:
        """The number of the state whose last value this is, of the walk that makes it."""
        if stage not in WALKS:
            return None
        last = [v for node in self.stages.walked(stage) for v in finals(node)]
        return last.index(value) if value in last else None

    def crosses(self, value: Value, stage: int) -> bool:
        """Whether a stage reads the value from another one. A walk makes long values of the walk before it again."""
        made = self.stages.of[value.node]
        if made == stage or self.everywhere(value.node):
            return False
        return not (made == THERE and stage == BACK and self.stages.long(value))

    def everywhere(self, node: Node) -> bool:
        """What every part has for itself: what is given from outside, constants, and views of these."""
        if node.op in (INPUT, CONST, IOTA):
            return True
        flat = not any(self.stages.long(v) for v in node.inputs)
        return node.op.kind == "view" and flat and all(self.everywhere(v.node) for v in node.inputs)

    def made_in(self, stage: int) -> dict[str, Value]:
        """What is held of what a stage makes, but for the last values of states, which are handed on anyway."""
        return {n: v for v, n in self.names.items() if self.held[n].stage == stage and self.held[n].carried is None}

    # --- states ---

    def carried(self, loops: Iterable[Node]) -> Iterable[Carried]:
        for node in loops:
            for c in loop_of(node).carries:
                yield Carried(c.param.type, self.hold(c.init))

    def next_values(self, walk: int, loops: Iterable[Node]) -> dict[str, Value]:
        values = [v for node in loops for v in finals(node)]
        return {f"{CARRIED[walk]}{i}": value for i, value in enumerate(values)}

    # --- parts ---

    def part(self, roots: Mapping[str, Value], here: tuple[int, ...]) -> Graph:
        part = _Part(self, here)
        values = Rewriter(part.change).run(roots.values())
        return prune(Graph(part.inputs, dict(zip(roots, values, strict=True))))


class _Part:
    """One graph of the cut, being made."""

    def __init__(self, cutting: _Cutting, here: tuple[int, ...]) -> None:
        self.cutting, self.here = cutting, here
        self.axis = cutting.stages.way.axis
        self.walks = set(here) <= set(WALKS)
        self.inputs: dict[str, Value] = dict(cutting.graph.inputs)

    def input(self, name: str, kind: str, type: Type) -> Value:
        if name not in self.inputs:
            self.inputs[name] = graph_input(name, kind, type)
        return self.inputs[name]

    def change(self, node: Node, inputs: tuple[Value, ...]) -> Node | tuple[Value, ...]:
        stage = self.cutting.stages.of[node]
        if self.walks and node.op is IOTA and node.attrs["axis"] == self.axis:
            return (self.counter(),)
        if stage not in self.here:
            return rebuilt(node, inputs) if self.cutting.everywhere(node) else node.values  # the latter is not read
        inputs = tuple(
            self.held(old) if self.cutting.crosses(old, stage) else new
            for old, new in zip(node.inputs, inputs, strict=True)
        )
        return self.of_segment(node, inputs, stage) if self.walks else rebuilt(node, inputs)

    def held(self, value: Value) -> Value:
        here = self.cutting.stages.of[value.node] in self.here
        return self.input(f"{MADE if here else ''}{self.cutting.names[value]}", "held", value.type)

    def counter(self) -> Value:
        return self.input(STEPS + self.axis, "data", Type((self.axis,), (), "int"))

    def of_segment(self, node: Node, inputs: tuple[Value, ...], stage: int) -> Node:
        """A node of a walk as it is for a segment."""
        if node.op is LOOP:
            return self.loop(node, inputs, stage)
        if node.op is PLACE_LAST:
            name = self.cutting.names[node.inputs[0]]
            inputs = (self.input(END + name, "data", inputs[0].type),)
        if node.op in (LAST_WITHIN, PLACE_LAST_WITHIN):
            lengths = inputs[1].node.attrs["name"]
            inputs = (inputs[0], self.input(WITHIN + lengths, "data", inputs[1].type))
        if "units" in node.attrs and self.axis not in node.types[0].axes:
            return make(node.op, inputs, {**node.attrs, "onto": True}, node.origin)
        return rebuilt(node, inputs)

    def loop(self, node: Node, inputs: tuple[Value, ...], stage: int) -> Node:
        """The loop over a segment: its states come from outside, and so does the place on the axis."""
        loop = rebound(loop_of(node), inputs)
        before = self.cutting.stages.walked(stage)
        first = sum(len(loop_of(n).carries) for n in before[: before.index(node)])
        carries = tuple(
            c._replace(init=self.input(f"{CARRIED[stage]}{first + i}", "data", c.param.type))
            for i, c in enumerate(loop.carries)
        )
        loop = replace(loop, carries=carries)
        if loop.counter:
            loop = replace(loop, slices=(*loop.slices, Slice(self.counter(), loop.counter)), counter=None)
        return loop_node(loop, node.origin)
