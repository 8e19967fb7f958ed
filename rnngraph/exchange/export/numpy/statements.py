"""The statements of an exported NumPy file: which values get names, in which order, and how a loop is written.

A value is written inside the expression that uses it where that is the only one and belongs to the same
statement of the user's; else it is given the user's own name for it. Statements follow the user's order as far
as they depend on nothing later, each line of the source above what became of it.
"""

from __future__ import annotations

import heapq
import keyword
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

from rnngraph.exchange.export.grid_lengths import LENGTHS
from rnngraph.exchange.export.numpy.choice import WORDS
from rnngraph.exchange.export.numpy.expressions import Text, Words, at_place, index, spread_to, typed
from rnngraph.exchange.export.request import cannot_say
from rnngraph.ir.graph import INPUT, LOOP, PARAM, Loop, Node, Value, body_nodes, loop_of
from rnngraph.ops.table import dim_of

WIDEST = 88
"""Characters of an expression beyond which a part of it gets a name of its own."""
RESERVED = {*keyword.kwlist, "np", "run", "Path", "WEIGHTS", "range", "reversed", "bool"}


class Names:
    """Fresh identifiers near the user's own names."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self.counts: dict[str, int] = {}
        """How far each name has been counted: a static export asks for one as often as it has steps."""

    def fresh(self, hint: str) -> str:
        base = name = identifier(hint)
        count = self.counts.get(base, 1)
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.counts[base] = count
        self.taken.add(name)
        return name


def identifier(hint: str) -> str:
    """`h'` is h_next, `net.kernel` net_kernel, `0.c` c_0, `i, j` i_j."""
    words = [w for w in re.split(r"[^0-9A-Za-z_]+", hint.replace("'", "_next")) if w]
    while words and words[0].isdigit() and not all(w.isdigit() for w in words):
        words = [*words[1:], words[0]]
    name = "_".join(words) or "value"
    return f"value_{name}" if name[0].isdigit() else name


class Writer:
    """Writes graphs as statements; `texts` holds the expression or the name of every value that is known."""

    def __init__(self, words: Words, names: Names, exits: Container[Value] = ()) -> None:
        self.words, self.names, self.exits = words, names, exits
        self.lines: list[str] = []
        self.texts: dict[Value, Text] = {}
        self.by_name: dict[str, str] = {}
        """The variables of the graph's inputs, by the inputs' names."""
        self.depth = 1
        self.said: tuple[str, int] | None = None
        self.around: list[tuple[str, int] | None] = []
        """The lines of the loops around, which are not told again inside."""

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def text(self, value: Value) -> Text:
        if value.op is INPUT:
            return Text(self.by_name[value.node.attrs["name"]])
        return self.texts[value]

    def array(self, value: Value) -> Text:
        """The text of a value in its type, also where it is a number."""
        return typed(self.words, self.text(value), value.type.dtype)

    def spread(self, value: Value, axes: tuple[str, ...]) -> Text:
        return spread_to(self.words, self.array(value), value.type, axes)

    # --- statements ---

    def level(self, nodes: Sequence[Node], leaving: Iterable[Value], hints: Mapping[Value, str]) -> None:
        """Writes the nodes of one level. `leaving` are values that need a name afterwards."""
        uses = Counter(v for node in nodes for v in node.inputs)
        kept = set(leaving)
        reader = {v: node for node in nodes for v in node.inputs}
        splits = _splits(nodes)
        for node in in_source_order(nodes):
            value = Value(node)
            if node.op in (INPUT, PARAM) or value in self.texts:
                continue
            if node.op is LOOP:
                self.loop(node, hints)
            elif node.op.name == "history":
                self.history(node)
            elif value in splits:
                self.split(splits[value])
            else:
                made = self.expression(node)
                inside = not uses[value] or (uses[value] == 1 and _together(value, reader[value]))
                if node.op.name == "const" or (inside and value not in kept and len(made.text) <= WIDEST):
                    self.texts[value] = made
                else:
                    self.assign(value, made, hints.get(value) or _hint(node))

    def expression(self, node: Node) -> Text:
        """What a node computes. Raises CannotDo where NumPy's words do not reach."""
        if node.op.name not in WORDS:
            raise cannot_say("NumPy", node)
        text = self.text if node.op.kind == "pointwise" else self.array  # entry by entry, numbers stand beside arrays
        return WORDS[node.op.name](self.words, node, *map(text, node.inputs))

    def assign(self, value: Value, made: Text, hint: str) -> None:
        self.source_line(value.node)
        name = self.names.fresh(hint)
        self.line(f"{name} = {made.text}")
        self.texts[value] = Text(name, bare=made.bare)

    def split(self, parts: Sequence[Node]) -> None:
        """`i, j, f, o = np.split(...)`, as the user wrote it."""
        first = parts[0]
        self.source_line(first)
        names = [self.names.fresh(word) for word in first.origin.name.split(",")]
        whole = self.text(first.inputs[0]).text
        dim = dim_of(first.attrs, first.inputs[0].type)
        self.line(f"{', '.join(names)} = np.split({whole}, {len(names)}, axis={dim})")
        for node, name in zip(parts, names, strict=True):
            self.texts[Value(node)] = Text(name)

    def source_line(self, node: Node) -> None:
        """The user's line as a comment, once for all that became of it."""
        span = node.origin.span
        place = (span.source.name, span.line) if span else None
        if span is None or place == self.said or place in self.around:
            return
        self.said = place
        self.line(f"# {span.source.line(span.line).strip()}")

    def history(self, node: Node) -> None:
        """A state over time in one array: the old values and the new ones."""
        old, new = node.values
        made = WORDS["stack"](self.words, node, *map(self.array, node.inputs))
        name = self.names.fresh(f"{_hint(node)}_history")
        self.line(f"{name} = {made.text}")
        at = node.types[0].axes.index(node.attrs["axis"])
        front, back = (index(Text(name), at_place(at, entry)) for entry in (":-1", "1:"))
        if node.attrs.get("reverse"):
            front, back = back, front
        self.texts |= {old: front, new: back}

    # --- loops ---

    def loop(self, node: Node, hints: Mapping[Value, str]) -> None:
        """A `for` over steps; states are variables, rows of the results are written as they come."""
        what = loop_of(node)
        steps, first = self.words.sizes[what.axis], len(what.carries)
        inside = [v for n in body_nodes(what) for v in n.values]
        outside = {v: self.texts.pop(v) for v in inside if v in self.texts}  # two loops may share a body
        self.said = None
        self.source_line(node)
        for i, c in enumerate(what.carries):
            name = self.names.fresh(c.param.node.attrs["name"])
            self.line(f"{name} = {self.spread(c.init, c.param.type.axes).text}")
            self.texts[c.param] = self.texts[Value(node, i)] = Text(name)
        self.texts |= {c.param: self.text(c.outer) for c in what.captures}
        stacks = self.rows(node, what, hints)
        step = self.names.fresh("t")
        self.line(f"for {step} in {f'reversed(range({steps}))' if what.reverse else f'range({steps})'}:")
        self.depth += 1
        self.around.append(self.said)
        if what.counter:
            self.texts[what.counter] = Text(step, bare=True)
        for s in what.slices:
            self.row(s.param, s.sequence, what.axis, step)
        nexts = {c.next: f"{self.text(c.param).text}_next" for c in what.carries if _unnamed(c.next, what)}
        self.level(body_nodes(what), [c.next for c in what.carries], nexts)
        for i, (name, value) in enumerate(zip(stacks, what.stacks, strict=True), first):
            at = Value(node, i).type.axes.index(what.axis)
            self.line(f"{index(Text(name), at_place(at, step)).text} = {self.text(value).text}")
            self.texts[Value(node, i)] = Text(name)
        self.move(what)
        self.depth -= 1
        self.around.pop()
        self.names.taken.discard(step)
        self.said = None
        for v in inside:
            self.texts.pop(v, None)
        self.texts |= outside

    def row(self, param: Value, sequence: Value, axis: str, step: str) -> None:
        """What a step sees of a sequence."""
        whole = self.text(sequence)
        name = self.names.fresh(f"{identifier(param.node.attrs['name'])}_{step}")
        self.line(f"{name} = {index(whole, at_place(sequence.type.axes.index(axis), step)).text}")
        self.texts[param] = Text(name)

    def rows(self, node: Node, what: Loop, hints: Mapping[Value, str]) -> list[str]:
        """The arrays that take the rows handed out, one for each stack."""
        found = []
        for value in node.values[len(what.carries) :]:
            hint = hints.get(value) or node.origin.name.split(",")[0] or what.label or "rows"
            name = self.names.fresh(hint)
            self.line(f"{name} = np.zeros({self.words.shape(value.type)}, {self.words.dtype(value.type.dtype)})")
            found.append(name)
        return found

    def move(self, what: Loop) -> None:
        """The states of the next step, all at once."""
        pairs = [(self.text(c.param).text, self.text(c.next).text) for c in what.carries if c.next != c.param]
        if pairs:
            self.line(f"{', '.join(old for old, _ in pairs)} = {', '.join(new for _, new in pairs)}")
        for c in what.carries:
            if c.param in self.exits:
                self.line(f"if {self.text(c.param).text}.all():")
                self.line("    break")


def _together(value: Value, reader: Node) -> bool:
    """Whether a value and what reads it belong to one statement of the user's; a first state to its loop."""
    if reader.op is LOOP:
        return value in [c.init for c in loop_of(reader).carries]
    a, b = value.node.origin, reader.origin
    return (a.name, a.path) == (b.name, b.path)


def _unnamed(value: Value, what: Loop) -> bool:
    """Whether a new value has no name of its own but the state's, or that of the loop (where it is masked)."""
    hint = _hint(value.node)
    return "," in value.node.origin.name or hint in {identifier(c.param.node.attrs["name"]) for c in what.carries}


def _hint(node: Node) -> str:
    """A name for what a node gives: the user's; `real` for the mask of real steps."""
    names = [str(v.node.attrs.get("name", "")) for v in node.inputs]
    if node.op.name == "lt" and names[1].startswith(LENGTHS):
        return "real"
    if node.op.name == "row":
        return f"{identifier(names[0] or node.inputs[0].node.origin.name)}_{node.attrs['at']}"
    hint = identifier(node.origin.name or (node.origin.path[-1] if node.origin.path else node.op.name))
    return f"{hint}_real" if node.op.name == "where" and hint in names else hint


def _splits(nodes: Sequence[Node]) -> dict[Value, list[Node]]:
    """By each of its parts, the parts of `i, j, f, o = split(...)`: even slices of all of one value, in order."""
    groups: dict[tuple[Value, str], list[Node]] = {}
    for node in nodes:
        if node.op.name == "slice" and "," in node.origin.name:
            groups.setdefault((node.inputs[0], node.origin.name), []).append(node)
    found: dict[Value, list[Node]] = {}
    for (source, name), slices in groups.items():
        parts = sorted(slices, key=lambda node: int(node.attrs["start"]))
        dim, count = dim_of(parts[0].attrs, source.type), len(name.split(","))
        width = source.type.shape[dim] // count
        ranges = [(node.attrs["start"], node.attrs["stop"]) for node in parts]
        even = ranges == [(i * width, (i + 1) * width) for i in range(count)]
        if even and width * count == source.type.shape[dim] and len({node.attrs["dim"] for node in parts}) == 1:
            found |= {Value(node): parts for node in parts}
    return found


def in_source_order(nodes: Sequence[Node]) -> list[Node]:
    """The nodes by instance and place in the source, each still after its inputs."""
    present = set(nodes)
    waiting = {node: len({v.node for v in node.inputs} & present) for node in nodes}
    readers: dict[Node, list[Node]] = {}
    for node in nodes:
        for source in {v.node for v in node.inputs} & present:
            readers.setdefault(source, []).append(node)
    ranks: dict[tuple[object, ...], int] = {}

    def key(i: int, node: Node) -> tuple[int, int, int]:
        span = node.origin.span
        rank = ranks.setdefault((node.origin.path, span.source.name if span else ""), len(ranks))
        return rank, span.line if span else 0, i

    keys = {node: key(i, node) for i, node in enumerate(nodes)}
    ready = [(keys[node], node) for node in nodes if not waiting[node]]
    heap = [(k, i) for i, (k, _) in enumerate(ready)]
    known = [node for _, node in ready]
    heapq.heapify(heap)
    found = []
    while heap:
        _, place = heapq.heappop(heap)
        node = known[place]
        found.append(node)
        for reader in readers.get(node, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                known.append(reader)
                heapq.heappush(heap, (keys[reader], len(known) - 1))
    return found
