"""Which data are aligned with which: the labels of a CTC loss with the steps of its scores."""

from __future__ import annotations

from dataclasses import dataclass

from rnngraph.ir.graph import INPUT, LOOP, Graph, Node, Value, body_nodes, loop_of
from rnngraph.ops import TABLE
from rnngraph.source import Span

_HANDS_ON = {TABLE[name] for name in ("spread", "where", "identity", "compact")}


@dataclass(frozen=True, slots=True)
class Alignment:
    """The labels in the data input `labels` must fit into the steps of `axis`.

    `blank` and everything from `classes` on end the labels of a row. `collapsed`: equal neighbours are one label from
    the first; `merged`: they need a blank between them.
    """

    labels: str
    over: str
    axis: str
    blank: int
    classes: int
    collapsed: bool
    merged: bool
    span: Span | None


def alignments(graph: Graph) -> tuple[Alignment, ...]:
    """One for each CTC loss whose labels come from the data as they are, and whose rows all count."""
    return tuple(found for node in _nodes(graph.nodes()) if (found := _alignment(node)) is not None)


def _nodes(nodes: list[Node]) -> list[Node]:
    inside = [n for node in nodes if node.op is LOOP for n in _nodes(body_nodes(loop_of(node)))]
    return [node for node in nodes if node.op is TABLE["ctc_loss"]] + inside


def _alignment(node: Node) -> Alignment | None:
    attrs, (scores, labels, *_) = node.attrs, node.inputs
    source, collapsed = _source(labels)
    if attrs["ignore"] or not source:
        return None
    classes = scores.type.shape[0]
    span = node.origin.span
    return Alignment(
        source, attrs["over"], attrs["axis"], attrs["blank"], classes, collapsed, attrs["merge"] and not collapsed, span
    )


def _source(labels: Value) -> tuple[str, bool]:
    """The name of the data input that the labels are, and whether repetitions were taken out on the way."""
    collapsed = False
    while labels.op in _HANDS_ON:
        collapsed |= labels.op is TABLE["compact"]
        labels = labels.node.inputs[labels.op is TABLE["where"]]
    known = labels.op is INPUT and labels.node.attrs["kind"] == "data"
    return (labels.node.attrs["name"] if known else ""), collapsed
