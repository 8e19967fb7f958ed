"""Weights that the loss depends on, but never by a slope: through `argmax`, a comparison, `floor` or `stop` alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic, Label
from rnngraph.ir.graph import LOOP, PARAM, Graph, Node, Value, body_param, every, loop_of
from rnngraph.language.elaboration.elaborated import Weight
from rnngraph.ops import Formula

MEANT = ("detach", "straight_through")
"""Ops that hold gradients back because the user says so."""


def flat(graph: Graph, weights: Iterable[Weight]) -> Iterator[Diagnostic]:
    """A warning for each weight that training cannot move, though the loss depends on it."""
    walk = _Walk(_sources(graph))
    smooth = walk.from_(graph.outputs["loss"], slopes=True)
    trained = ((w, graph.inputs[w.name]) for w in weights if not w.frozen and w.name in graph.inputs)
    still = [(weight, value) for weight, value in trained if value not in smooth]
    reached = walk.from_(graph.outputs["loss"], slopes=False) if still else {}
    for weight, value in still:
        step = _nearest_flat(walk, reached, value) if value in reached else None
        if step is not None and step.op.name not in MEANT:
            yield _told(weight, step)


def _told(weight: Weight, step: Node) -> Diagnostic:
    span = step.origin.span
    text = f"`{' '.join(span.text.split())}`" if span else f"`{step.op.name}`"
    return Diagnostic(
        "W405",
        f"training cannot change `{weight.name}`: the loss depends on it only through {text}, "
        "whose gradient is zero everywhere",
        span,
        labels=(Label(weight.span, "declared here"),) if weight.span else (),
        help="take a smooth function in its place, say `straight_through`, or declare a `frozen param`",
        severity="warning",
    )


# --- walking back from the loss ----------------------------------------------------------------------------------


def _sources(graph: Graph) -> dict[Value, list[Value]]:
    """For each param of a loop's body, the values that it is given."""
    found: dict[Value, list[Value]] = {}
    for node in every(graph.nodes()):
        if node.op is LOOP:
            loop = loop_of(node)
            found.update((c.param, [c.init, c.next]) for c in loop.carries)
            found.update((s.param, [s.sequence]) for s in loop.slices)
            found.update((c.param, [c.outer]) for c in loop.captures)
    return found


class _Walk(Struct, frozen=True):
    sources: Mapping[Value, list[Value]]

    def from_(self, end: Value, slopes: bool) -> dict[Value, Value | None]:
        """Every value that `end` depends on, by slopes alone if asked, and the value through which it was found."""
        found: dict[Value, Value | None] = {end: None}
        todo = [end]
        for value in todo:
            for source, slope in self.operands(value):
                if source not in found and (slope or not slopes):
                    found[source] = value
                    todo.append(source)
        return found

    def operands(self, value: Value) -> list[tuple[Value, bool]]:
        """What a value is made of, and whether it has a slope in it."""
        node = value.node
        if node.op is LOOP:
            return [(loop_of(node).results[value.index], True)]
        if node.op is PARAM:
            return [(v, True) for v in self.sources.get(value, ())]
        return list(zip(node.inputs, _slopes(node), strict=True))


def _slopes(node: Node) -> list[bool]:
    """Whether the op's own rule gives each input a cotangent."""
    if node.op.vjp is None or node.types[0].dtype != "float" or not node.inputs:
        return [False] * len(node.inputs)
    dy = Formula(body_param("dy", node.types[0]))
    parts = node.op.vjp(node.attrs, Formula(Value(node)), dy, *map(Formula, node.inputs))
    return [part is not None and v.type.dtype == "float" for v, part in zip(node.inputs, parts, strict=True)]


def _nearest_flat(walk: _Walk, reached: Mapping[Value, Value | None], weight: Value) -> Node | None:
    """The flat step that is nearest to the weight, on the way from it to the loss."""
    value = weight
    while (above := reached[value]) is not None:
        if not dict(walk.operands(above))[value]:
            return above.node
        value = above
    return None
