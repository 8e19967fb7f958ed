"""From graph to program: every value gets a view of a slot, every node that computes becomes a step.

Nothing is concatenated: what a `concat`, a `stack`, a `history` or a loop gathers is written in place by the step
that makes it, where that can be (`place`), and copied where it cannot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property

from msgspec.structs import replace

from rnngraph.ir.graph import (
    INPUT,
    LOOP,
    Graph,
    Node,
    Origin,
    Value,
    body_nodes,
    finals,
    loop_of,
    make,
    ordered,
    stacked,
)
from rnngraph.ir.types import Type, in_order
from rnngraph.ops import TABLE, call, const
from rnngraph.passes.cse import key_of
from rnngraph.planning.categories import categories
from rnngraph.planning.program import ALL, Code, Parity, Program, Ref, Repeat, Ring, Slot, Step, Turn

CONCAT, STACK, HISTORY, SLICE, ROW, IDENTITY, SPREAD = (
    TABLE[name] for name in ("concat", "stack", "history", "slice", "row", "identity", "spread")
)
MADE_BY_STEP = ("pointwise", "general")


def lower(graph: Graph, last: Collection[Node] = (), early: Collection[str] = ()) -> Program:
    """The program of a graph, loops as repeats; the same for any sizes.

    The nodes of `last`, which no other depends on, come last; `turn` is where their code begins. The outputs called
    `early` are there by then.
    """
    lowering, nodes = _Lowering(), _soonest(graph)
    outputs = lowering.top(graph, sorted(nodes, key=last.__contains__), len(last), early)
    given = [n for n in nodes if n.op is INPUT]
    inputs = {n.attrs["name"]: lowering.refs[Value(n)].slot for n in given}
    weights = {n.attrs["name"] for n in given if n.attrs["kind"] == "weight"}
    program = Program(
        tuple(lowering.slots),
        tuple(lowering.code),
        tuple(lowering.constants),
        {name: slot for name, slot in inputs.items() if name not in weights},
        {name: slot for name, slot in inputs.items() if name in weights},
        outputs,
        turn=lowering.turn,
    )
    return replace(program, categories=categories(program))


def _soonest(graph: Graph) -> list[Node]:
    """The nodes, those of results that wait for fewer loops one behind the other before those of others.

    So the gradients of a layer are made behind its own loop, before that of the layer below runs: what they are summed
    from is needed no longer, and they can be sent.
    """
    far = dict[Node, int]()
    for node in graph.nodes():
        far[node] = (node.op is LOOP) + max([far[v.node] for v in node.inputs], default=0)
    return ordered(sorted((v.node for v in graph.outputs.values()), key=far.__getitem__))


class _Lowering:
    """Slots and views handed out so far; `block` lowers one level."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.refs: dict[Value, Ref] = {}
        self.code: list[Code] = []
        self.constants: list[tuple[Node, int]] = []
        self.constant_slots: dict[object, Ref] = {}
        self.loops = 0
        self.turn: int | None = None

    # --- slots ---

    def slot(self, type: Type, grow: str | None = None, ring: bool = False, level: int = -1) -> Ref:
        self.slots.append(Slot(type, grow, ring, level))
        return Ref(len(self.slots) - 1, (ALL,) * (type.rank + ring))

    def constant(self, node: Node) -> Ref:
        key = key_of(node, ())
        if key not in self.constant_slots:
            ref = self.constant_slots[key] = self.slot(node.types[0])
            self.constants.append((node, ref.slot))
        return self.constant_slots[key]

    # --- levels ---

    def top(self, graph: Graph, nodes: Sequence[Node], last: int, early: Collection[str]) -> dict[str, Ref]:
        for node in nodes:
            if node.op is INPUT:
                self.refs[Value(node)] = self.slot(node.types[0])
        fixed = len(self.slots)
        block = _Block(self, nodes, graph.outputs.values(), self.refs, -1, self.code)
        block.lower(len(nodes) - last)
        outputs, sooner, later = {}, list[Code](), list[Code]()
        constant = {slot for _, slot in self.constants}
        for name, value in graph.outputs.items():
            ref = self.refs[value]
            if ref.slot < fixed or ref.slot in constant:
                ref = self.slot(value.type)
                (sooner if name in early else later).append(copy(value, self.refs[value], ref))
            outputs[name] = ref
        if last or early:
            self.turn = block.middle + len(sooner)
        self.code[block.middle : block.middle] = sooner
        self.code += later
        return outputs


def copy(value: Value, source: Ref, target: Ref, origin: Origin | None = None, axes: tuple[str, ...] = ()) -> Step:
    """Writes a value to its place, spread over those of the place's axes that it lacks."""
    origin, lacks = origin or value.node.origin, set(axes) - set(value.type.axes)
    node = make(SPREAD, (value,), {"axes": axes}, origin) if lacks else make(IDENTITY, (value,), origin=origin)
    return Step(node, (source,), (target,))


class _Block:
    """The nodes of one level, in order. `refs` are the views of what the level knows, and nothing else can be read;
    `placed` says where values must be written."""

    def __init__(
        self,
        owner: _Lowering,
        nodes: Sequence[Node],
        results: Iterable[Value],
        refs: dict[Value, Ref],
        level: int,
        code: list[Code],
    ) -> None:
        self.owner, self.nodes, self.level, self.code = owner, nodes, level, code
        self.refs, self.placed = refs, dict[Value, Ref]()
        self.members = set(nodes)
        self.reads = Counter(v for node in nodes for v in node.inputs)
        self.reads.update(results)
        self.pending: Counter[int] = Counter()
        self.private: set[int] = set()
        self.copies: dict[Node, list[tuple[Value, Ref]]] = {}
        self.rings: dict[Node, _LoopSlots] = {}
        self.middle = 0

    def lower(self, first: int | None = None) -> None:
        """Writes the code; `middle` is where that of the first so many nodes ends, or of all."""
        for node in reversed(self.nodes):
            if node.op.kind == "gather":
                self.gather(node)
            elif node.op is LOOP:
                self.rings[node] = _LoopSlots(self, node)
        for node in self.nodes[:first]:
            self.node(node)
        self.middle = len(self.code)
        for node in self.nodes[len(self.nodes) if first is None else first :]:
            self.node(node)

    def node(self, node: Node) -> None:
        if node.op is LOOP:
            self.loop(node)
        elif node.op.kind == "constant":
            self.own(Value(node), self.owner.constant(node))
        elif node.op.kind == "view":
            self.own(Value(node), self.view(node))
            self.pending[self.refs[node.inputs[0]].slot] -= 1
        elif node.op.kind == "gather":
            axes = node.types[0].axes if node.op is CONCAT else ()
            self.code += [copy(v, self.refs[v], target, axes=axes) for v, target in self.copies.get(node, ())]
            for value in node.values:
                self.own(value, self.refs[value])
        elif node.op.kind != "leaf":
            self.step(node)

    def own(self, value: Value, ref: Ref) -> None:
        self.refs[value] = ref
        self.pending[ref.slot] += self.reads[value]

    def view(self, node: Node) -> Ref:
        source, attrs = node.inputs[0], node.attrs
        if node.op is ROW:
            return self.refs[source].at(source.type.axes.index(attrs["axis"]), attrs["at"])
        dim = source.type.rank + attrs["dim"] if attrs["dim"] < 0 else len(source.type.axes) + attrs["dim"]
        return self.refs[source].at(dim, slice(attrs["start"], attrs["stop"]))

    # --- placing ---

    def gather(self, node: Node) -> None:
        """Slots for what is gathered, and for each part the place it is to be written to."""
        value, axis = Value(node), node.attrs.get("axis")
        if node.op is HISTORY:
            whole = self.owner.slot(node.types[0], grow=axis, level=self.level)
            at = node.types[0].axes.index(axis)
            self.refs[value] = _narrow(whole, at, slice(None, -1))
            self.refs[Value(node, 1)] = _narrow(whole, at, slice(1, None))
            if node.attrs["reverse"]:
                self.refs[value], self.refs[Value(node, 1)] = self.refs[Value(node, 1)], self.refs[value]
            targets = [whole.at(at, i) for i in range(len(node.inputs))]
        else:
            whole = self.placed.get(value) or self.owner.slot(node.types[0], level=self.level)
            self.refs[value] = whole
            targets = self.rows_of(node, whole) if node.op is STACK else self.parts_of(node, whole)
        for part, target in zip(node.inputs, targets, strict=True):
            if not self.place(part, target, node.types[0].axes if node.op is CONCAT else None):
                self.copies.setdefault(node, []).append((part, target))

    def rows_of(self, node: Node, whole: Ref) -> list[Ref]:
        at = node.types[0].axes.index(node.attrs["axis"])
        return [whole.at(at, i) for i in range(len(node.inputs))]

    def parts_of(self, node: Node, whole: Ref) -> list[Ref]:
        type, dim = node.types[0], node.attrs["dim"]
        at = type.rank + dim if dim < 0 else len(type.axes) + dim
        targets, start = [], 0
        for part in node.inputs:
            stop = start + part.type.shape[dim]
            targets.append(whole.at(at, slice(start, stop)))
            start = stop
        return targets

    def place(self, value: Value, target: Ref, axes: tuple[str, ...] | None = None) -> bool:
        """Has the step that makes a value write it to the target, where that step is here and free to."""
        op = value.node.op
        if value.node not in self.members or value in self.placed or (axes is not None and value.type.axes != axes):
            return False
        if op.kind not in MADE_BY_STEP and op is not CONCAT:
            return False
        if not (target.contiguous or (op.strided and op is not CONCAT)):
            return False
        if target.torn(len(value.type.shape)) and not (op.kind == "pointwise" and self.taken_by_entry(value)):
            return False
        self.placed[value] = target
        return True

    @cached_property
    def readers(self) -> Mapping[Value, Sequence[Node]]:
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                found.setdefault(value, []).append(node)
        return found

    def taken_by_entry(self, value: Value) -> bool:
        """Whether all that read a value take it entry by entry: products and sums, whose order depends on how rows
        lie, find them lying as they do in any other mode."""
        pending = [value]
        while pending:
            for node in self.readers.get(pending.pop(), ()):
                if node.op.kind == "view":
                    pending.append(Value(node))
                elif node.op.kind not in ("pointwise", "gather"):
                    return False
        return True

    # --- steps ---

    def step(self, node: Node) -> None:
        ins = tuple([self.refs[v] for v in node.inputs])
        value = Value(node)
        out = self.placed.get(value) or self.over_an_input(node, ins)
        if out is None:
            out = self.owner.slot(node.types[0], level=self.level)
            self.private.add(out.slot)
        scratch: tuple[Ref, ...] = ()
        if node.op.scratch is not None:
            types = node.op.scratch(node.attrs, tuple(v.type for v in node.inputs), node.types)
            scratch = tuple(self.owner.slot(t, level=self.level) for t in types)
        self.code.append(Step(node, ins, (out,), scratch))
        for ref in ins:
            self.pending[ref.slot] -= 1
        self.own(value, out)

    def over_an_input(self, node: Node, ins: tuple[Ref, ...]) -> Ref | None:
        """The slot of an input of the same type that nothing else reads any more."""
        if not node.op.inplace:
            return None
        for v, ref in zip(node.inputs, ins, strict=True):
            if ref.slot in self.private and v.type == node.types[0] and ref.whole:
                here = [r for r in ins if r.slot == ref.slot]
                if self.pending[ref.slot] == len(here) and all(r.whole for r in here):
                    return ref
        return None

    def loop(self, node: Node) -> None:
        slots, loop = self.rings[node], loop_of(node)
        self.code += [copy(v, self.refs[v], target, node.origin) for v, target in self.copies.get(node, ())]
        body: list[Code] = []
        inner = _Block(self.owner, body_nodes(loop), loop.results, slots.params(self.refs), slots.id, body)
        late = [(v, t) for v, t in slots.targets() if not inner.place(v, t)]
        inner.lower()
        body += [copy(v, inner.refs[v], target) for v, target in late]
        until, since = slots.until(), inner.refs[loop.since] if loop.since else None
        rest = slots.rest() if until or since else ()
        walk = (slots.id, loop.axis, loop.reverse, loop.turn, tuple(body), loop.label, until, since, rest)
        self.code.append(Repeat(*walk, node.origin.span))
        for v in node.inputs:
            self.pending[self.refs[v].slot] -= 1
        for value, ref in slots.results():
            self.own(value, ref)


class _LoopSlots:
    """Where a running loop keeps its states and what it hands out.

    A state that is handed out, before or after a step, has a history of one row more than there are steps; another
    has two rows, read and written in turn.
    """

    def __init__(self, block: _Block, node: Node) -> None:
        self.node, self.loop = node, loop_of(node)
        self.block, owner = block, block.owner
        self.id, owner.loops = owner.loops, owner.loops + 1
        wanted, given = set(self.loop.stacks), set[Value]()
        self.history: dict[int, Ref] = {}
        self.ring: dict[int, Ref] = {}
        for i, c in enumerate(self.loop.carries):
            if c.param in wanted or (c.next in wanted and c.next not in given):
                given |= {c.param, c.next}
                self.history[i] = owner.slot(self.long(c.next.type), grow=self.loop.axis, level=block.level)
            else:
                self.ring[i] = owner.slot(c.next.type, ring=True, level=block.level)
            # A ring writes over its first value: only a value that nothing else reads may stand there.
            free = i in self.history or block.reads[c.init] == 1
            if not (free and block.place(c.init, self.first(i))):
                block.copies.setdefault(node, []).append((c.init, self.first(i)))
        self.stack: dict[Value, Ref] = {}
        for v in self.loop.stacks:
            if v not in given and v not in self.stack:
                self.stack[v] = owner.slot(self.long(v.type), level=block.level)

    def long(self, type: Type) -> Type:
        return Type(in_order((*type.axes, self.loop.axis)), type.shape, type.dtype)

    def at(self, ref: Ref, entry: int | Turn) -> Ref:
        axes = self.block.owner.slots[ref.slot].type.axes
        return ref.at(axes.index(self.loop.axis), entry)

    def first(self, i: int) -> Ref:
        if i in self.history:
            return self.at(self.history[i], -1 if self.loop.reverse else 0)
        return self.ring[i].at(0, 0)

    def old(self, i: int) -> Ref:
        if i in self.history:
            return self.at(self.history[i], Turn(self.id, int(self.loop.reverse)))
        return self.ring[i].at(0, Ring(self.id, 0))

    def new(self, i: int) -> Ref:
        if i in self.history:
            return self.at(self.history[i], Turn(self.id, int(not self.loop.reverse)))
        return self.ring[i].at(0, Ring(self.id, 1))

    def params(self, outer: dict[Value, Ref]) -> dict[Value, Ref]:
        """The views that the body sees of what it is given; `outer` are those of the level around."""
        loop = self.loop
        refs = {c.param: self.old(i) for i, c in enumerate(loop.carries)}
        for s in loop.slices:
            at = s.sequence.type.axes.index(loop.axis)
            refs[s.param] = outer[s.sequence].at(at, Turn(self.id, 0))
        refs |= {c.param: outer[c.outer] for c in loop.captures}
        if loop.counter:
            iota = make(TABLE["iota"], (), {"axis": loop.axis})
            refs[loop.counter] = self.block.owner.constant(iota).at(0, Turn(self.id, 0))
        return refs

    def targets(self) -> list[tuple[Value, Ref]]:
        carried = [(c.next, self.new(i)) for i, c in enumerate(self.loop.carries)]
        return carried + [(v, self.at(ref, Turn(self.id, 0))) for v, ref in self.stack.items()]

    def until(self) -> Ref | None:
        """Where the early end shows."""
        return next((self.new(i) for i, c in enumerate(self.loop.carries) if c.param == self.loop.until), None)

    def rest(self) -> tuple[Step, ...]:
        """The steps that stand for one that is left out."""
        handed_on = [copy(c.param, self.old(i), self.new(i)) for i, c in enumerate(self.loop.carries)]
        return (*handed_on, *(self.zeroed(v, self.at(ref, Turn(self.id, 0))) for v, ref in self.stack.items()))

    def zeroed(self, value: Value, target: Ref) -> Step:
        zero, origin = const(0, value.type.dtype), self.node.origin
        row = call("broadcast", zero, origin=origin, shape=value.type.shape)
        node = call("spread", row, origin=origin, axes=value.type.axes).node
        return Step(node, (self.block.owner.constant(zero.node),), (target,))

    def results(self) -> list[tuple[Value, Ref]]:
        loop, found = self.loop, []
        for i, value in enumerate(finals(self.node)):
            if i in self.history:
                found.append((value, self.at(self.history[i], 0 if loop.reverse else -1)))
            else:
                found.append((value, self.ring[i].at(0, Parity(loop.axis))))
        rows = dict(self.stack)
        for i, whole in self.history.items():
            at = self.block.owner.slots[whole.slot].type.axes.index(loop.axis)
            early, late = _narrow(whole, at, slice(None, -1)), _narrow(whole, at, slice(1, None))
            rows[loop.carries[i].param] = late if loop.reverse else early
            rows.setdefault(loop.carries[i].next, early if loop.reverse else late)
        return found + [(r, rows[v]) for v, r in zip(loop.stacks, stacked(self.node), strict=True)]


def _narrow(whole: Ref, dim: int, rows: slice) -> Ref:
    return Ref(whole.slot, (*whole.index[:dim], rows, *whole.index[dim + 1 :]))
