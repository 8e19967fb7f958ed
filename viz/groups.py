"""Which nodes of one level share a box: the pieces of one expression, or all of one instance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import INPUT, LOOP, PARAM, Node, Origin, Value
from rnngraph.viz.box_texts import inner, op_text, source_text, within

Path = tuple[str, ...]
Close = Callable[[Path], Path | None]
"""The instance whose closed box stands for nodes of this path, if any."""

PRODUCTS = frozenset({"contract"})
REARRANGING = frozenset(
    {"broadcast", "spread", "reshape", "transpose", "repeat", "reverse", "shift", "identity", "cast", "patches", "flip"}
)
TRANSPARENT = frozenset({"broadcast", "spread", "identity", "cast"})
"""Of no interest to a reader: their input stands for them."""
HOLDING = frozenset({"where", "not", "or"})
"""What a loop with `stop` is made of, beside its cell."""


class Group(Struct, frozen=True, eq=False):
    """Nodes of one box, inputs first; `root` is the last. `block` is the path of a closed instance."""

    nodes: tuple[Node, ...]
    block: Path | None = None

    @property
    def root(self) -> Node:
        return self.nodes[-1]

    @property
    def origin(self) -> Origin:
        return self.root.origin

    @property
    def kind(self) -> str:
        if self.root.op is LOOP and self.block is None:
            return "loop"
        if self.block is not None:
            return "block"
        if any(is_product(n) for n in self.nodes):
            return "matmul"
        return "shape" if all(is_rearranging(n) for n in self.nodes) else "pointwise"

    @property
    def span(self) -> Span | None:
        """The widest of the nodes' spans."""
        spans = [n.origin.span for n in self.nodes if n.origin.span]
        return max(spans, key=lambda s: s.end - s.start) if spans else None

    @property
    def names(self) -> str:
        """What the user assigns: `i, j, f, o` for the parts of a split."""
        last = [n for n in self.nodes if is_rearranging(n) and n.inputs[:1] == self.root.inputs[:1]]
        nodes = last if self.root in last else [self.root]
        nodes = sorted(nodes, key=lambda n: int(n.attrs.get("start", 0)))
        return ", ".join(dict.fromkeys(n.origin.name for n in nodes if n.origin.name))

    def outside(self) -> tuple[Value, ...]:
        """What goes in, each once."""
        inside = set(self.nodes)
        return tuple(dict.fromkeys(v for n in self.nodes for v in n.inputs if v.node not in inside))

    def text(self, others: Iterable[Span]) -> str:
        """The expression in the user's words, with `...` for what other boxes compute."""
        if self.span is None:
            return ", ".join(dict.fromkeys(op_text(n) for n in self.nodes))
        mine = {n.origin.span for n in self.nodes} - {self.span}
        return source_text(self.span, [s for s in others if s not in mine])


def is_product(node: Node) -> bool:
    return node.op.name in PRODUCTS


def is_rearranging(node: Node) -> bool:
    return node.op.kind in ("view", "gather") or node.op.name in REARRANGING


def constants(nodes: Sequence[Node]) -> set[Node]:
    """The nodes that need nothing from outside: written numbers, sizes, and what is made of these alone."""
    found: set[Node] = set()
    for node in nodes:
        if node.op not in (INPUT, PARAM, LOOP) and all(v.node in found for v in node.inputs):
            found.add(node)
    return found


def singles(nodes: Sequence[Node]) -> list[Group]:
    """A box for every op, constants too."""
    return [Group((node,)) for node in nodes if node.op not in (INPUT, PARAM)]


def groups_of(nodes: Sequence[Node], close: Close) -> list[Group]:
    """The boxes of one level in the order of their roots; inputs, params and constants have none.

    A node joins the box of the node that reads it where nothing else reads it, the expression
    it stands for is a piece of that node's and the instance is the same; so boxes never form a cycle. The
    pieces of one split are one box. A product keeps a box of its own, with the joining of its operands.
    """
    hidden = constants(nodes)
    drawn = [n for n in nodes if n.op not in (INPUT, PARAM) and n not in hidden]
    heads = _Heads(drawn, close)
    members: dict[object, list[Node]] = defaultdict(list)
    for node in drawn:
        members[heads.head[node]].append(node)
    place = {node: i for i, node in enumerate(drawn)}
    found = [Group(tuple(m), close(m[0].origin.path)) for m in members.values()]
    return sorted(found, key=lambda g: place[g.root])


class _Heads:
    """For each node what it shares a box with: a node further on, or an instance."""

    def __init__(self, nodes: Sequence[Node], close: Close) -> None:
        self.users: dict[Node, list[Node]] = defaultdict(list)
        for node in nodes:
            for value in node.inputs:
                self.users[value.node].append(node)
        self.head: dict[Node, object] = {}
        self.siblings: dict[object, Node] = {}
        for node in reversed(nodes):
            block = close(node.origin.path)
            self.head[node] = block if block is not None else self.find(node)

    def find(self, node: Node) -> object:
        if node.op.kind == "view" and node.origin.span:
            return self.head.get(self.siblings.setdefault(_sibling(node), node), node)
        heads = {self.head[user] for user in self.users[node]}
        if len(heads) != 1:
            return node
        (head,) = heads
        return head if isinstance(head, Node) and joins(node, head) else node


def _sibling(node: Node) -> object:
    return node.inputs, node.origin.span, node.origin.path


def joins(node: Node, reader: Node) -> bool:
    """Whether the node is a piece of the expression that the reader ends."""
    if node.op is LOOP or reader.op is LOOP or is_product(node):
        return False
    if is_product(reader) and not is_rearranging(node):
        return False
    mine, other = node.origin, reader.origin
    if mine.path != other.path:
        return False
    if mine.span is None or other.span is None:
        return mine.span is None
    return within(mine.span, other.span)


def inner_groups(groups: Sequence[Group]) -> set[Group]:
    """Those whose expression is a piece of another box's, of the same name and instance."""
    wholes: dict[object, list[Span]] = defaultdict(list)
    for group in groups:
        if group.span and group.block is None:
            wholes[group.origin.path, group.names].append(group.span)
    return {
        group
        for group in groups
        if group.span
        and any(inner(group.span, whole) for whole in wholes[group.origin.path, group.names][:100])
    }


def chunks(groups: Sequence[Group], size: int) -> list[Group]:
    """Runs of `size` boxes made into one; loops stay."""
    found: list[Group] = []
    run: list[Group] = []
    for group in groups:
        if group.kind == "loop" or len(run) == size:
            found += _joined(run)
            run = []
        if group.kind == "loop":
            found.append(group)
        else:
            run.append(group)
    return found + _joined(run)


def _joined(run: Sequence[Group]) -> list[Group]:
    if len(run) < 2:
        return list(run)
    return [Group(tuple(node for group in run for node in group.nodes), ())]
