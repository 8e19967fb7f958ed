"""Which data are aligned with which: the labels of a CTC loss with the steps of its scores."""

from __future__ import annotations

from msgspec import Struct

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import INPUT, LOOP, Graph, Node, Value, body_nodes, loop_of
from rnngraph.ops import TABLE

_HANDS_ON = {TABLE["spread"], TABLE["identity"]}


class Alignment(Struct, frozen=True):
    """The labels in the data input `labels` are classes, up to a `blank`, and fit into the steps of `axis`.

    `collapsed`: equal neighbours are one label from the first; `merged`: they need a blank between them; `lenient`:
    rows that do not fit are allowed.
    """

    labels: str
    over: str
    axis: str
    blank: int
    classes: int
    collapsed: bool
    merged: bool
    lenient: bool
    span: Span | None


def alignments(graph: Graph) -> tuple[Alignment, ...]:
    """One for each CTC loss whose labels come from the data as they are."""
    return tuple(found for node in _nodes(graph.nodes()) if (found := _alignment(node)) is not None)


def _nodes(nodes: list[Node]) -> list[Node]:
    inside = [n for node in nodes if node.op is LOOP for n in _nodes(body_nodes(loop_of(node)))]
    return [node for node in nodes if node.op is TABLE["ctc_loss"]] + inside


def _alignment(node: Node) -> Alignment | None:
    attrs, (scores, labels, *_) = node.attrs, node.inputs
    source, collapsed = _source(labels, attrs["collapsed"]), attrs["collapsed"]
    if not source:
        return None
    return Alignment(
        source,
        attrs["over"],
        attrs["axis"],
        attrs["blank"],
        scores.type.shape[0],
        collapsed,
        attrs["merge"] and not collapsed,
        attrs["ignore"] or attrs["zero"],
        node.origin.span,
    )


def _source(labels: Value, collapsed: bool) -> str:
    """The name of the data input that the labels are, before repetitions were taken out of them; "" for others."""
    while labels.op in _HANDS_ON or (collapsed and labels.op is TABLE["compact"]):
        collapsed &= labels.op is not TABLE["compact"]
        labels = labels.node.inputs[0]
    known = labels.op is INPUT and labels.node.attrs["kind"] == "data"
    return labels.node.attrs["name"] if known else ""
