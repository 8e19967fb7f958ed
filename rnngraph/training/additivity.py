"""Whether the loss of all steps, or of all rows, follows from the losses of parts of them.

Training takes what it finds of parts (segments, batches that are accumulated, shards) as a mean by their steps or rows.
That is the loss of all of them if it is a mean over them, times and plus what is the same for all parts; of a sum over
steps it is that of a segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import INPUT, LOOP, Graph, Node, Value, every, loop_of, ordered
from rnngraph.ir.types import BATCH, root
from rnngraph.training.config import FitConfig


class Kind(Enum):
    """What a value is to the parts, along one axis."""

    SAME = auto()
    """The same for any part."""
    EACH = auto()
    """One for each step (or row), of that part alone."""
    COUNT = auto()
    """A number of steps, times what is the same for any part."""
    SUM = auto()
    MEAN = auto()
    """A sum, divided by a count."""
    SEVERAL = auto()
    """Means by several counts, added up: a mean where all rows have as many steps."""
    WEIGHTED = auto()
    """A sum, divided by another one, as of weights."""
    OTHER = auto()


class Found(Struct, frozen=True):
    """A kind, over which axes a count or a mean is, and the expression that made it what it is."""

    kind: Kind
    axes: frozenset[str] = frozenset()
    span: Span | None = None
    by: Value | None = None
    """The sum that a weighted one is divided by."""


SAME, EACH = Found(Kind.SAME), Found(Kind.EACH)
_SUMMED = (Kind.COUNT, Kind.SUM, Kind.MEAN, Kind.SEVERAL, Kind.WEIGHTED)
"""In the order in which one of them decides what their sum is."""
_LINEAR = frozenset(
    ("add", "sub", "neg", "sum", "sum_axes", "identity", "detach", "reshape", "broadcast", "spread", "transpose",
     "slice", "concat", "stack", "pad")
)  # fmt: skip


def of_parts(graph: Graph, axis: str) -> Found:
    """What the loss of a graph is to parts of an axis."""
    loss = graph.outputs["loss"]
    found: dict[Value, Found] = {}
    for node in ordered([loss.node]):
        inputs = [found[v] for v in node.inputs]
        found.update((value, _placed(_of(node, value, axis, inputs), node)) for value in node.values)
    return found[loss]


def _placed(found: Found, node: Node) -> Found:
    return found if found.span or found in (SAME, EACH) else replace(found, span=node.origin.span)


def _of(node: Node, value: Value, axis: str, inputs: Sequence[Found]) -> Found:
    kinds = {found.kind for found in inputs}
    summed = [found for found in inputs if found.kind in _SUMMED]
    if node.op.name == "where" and _guards_zero(node):
        return inputs[2]
    if other := next((found for found in inputs if found.kind is Kind.OTHER), None):
        return other
    if node.op.name in ("sum_axes", "size") and _named(node.attrs["axes"], axis):
        counts = Kind.SUM if Kind.EACH in kinds else Kind.COUNT
        return Found(Kind.OTHER if summed else counts, frozenset(map(root, node.attrs["axes"])))
    if _named(value.type.axes, axis):
        same = node.op is not LOOP and any(_named(v.type.axes, axis) for v in node.inputs) and kinds == {Kind.SAME}
        spread = node.op.name == "spread" and kinds == {Kind.SAME}
        return Found(Kind.OTHER) if summed else SAME if same or spread else EACH
    if Kind.EACH in kinds or _runs(node, axis):
        return Found(Kind.OTHER)  # a last step, the largest of all, the state behind a loop
    return _of_sums(node, inputs) if summed else SAME


def _named(axes: Sequence[str], axis: str) -> bool:
    return any(root(name) == axis for name in axes)


def _runs(node: Node, axis: str) -> bool:
    return node.op is LOOP and root(loop_of(node).axis) == axis


def _of_sums(node: Node, inputs: Sequence[Found]) -> Found:
    """Of what is made of sums, counts, means and what is the same for all parts."""
    summed = [found for found in inputs if found.kind is not Kind.SAME]
    match node.op.name:
        case name if name in _LINEAR or (name == "cast" and _exact(node)):
            return _added(summed)
        case "mul" | "contract" if len(summed) == 1:
            return summed[0]
        case "maximum" if len(summed) == 1 and (summed[0].kind is Kind.COUNT or _at_least_one(node)):
            return summed[0]
        case "div":
            return _divided(node, *inputs)
    return Found(Kind.OTHER)


def _added(found: Sequence[Found]) -> Found:
    last = max(found, key=lambda one: _SUMMED.index(one.kind))
    means = {one.axes for one in found if one.kind is Kind.MEAN}
    if last.kind is Kind.WEIGHTED and any((one.kind, one.by) != (last.kind, last.by) for one in found):
        return replace(last, by=None)
    return Found(Kind.SEVERAL) if last.kind is Kind.MEAN and len(means) > 1 else last


def _divided(node: Node, one: Found, by: Found) -> Found:
    match one.kind, by.kind:
        case _, Kind.SAME:
            return one
        case Kind.SUM, Kind.COUNT:
            return Found(Kind.MEAN, by.axes)
        case Kind.SUM, Kind.SUM:
            return Found(Kind.WEIGHTED, by=_unguarded(node.inputs[1]))
        case Kind.MEAN, Kind.MEAN:
            return Found(Kind.WEIGHTED)
        case Kind.COUNT, Kind.COUNT if one.axes == by.axes:
            return SAME
    return Found(Kind.OTHER)


def _exact(node: Node) -> bool:
    return node.attrs["dtype"] == "float" or node.inputs[0].op.name == "size"


def _guards_zero(node: Node) -> bool:
    """Whether it is `where(x == 0, 1, x)`, a number to divide by."""
    condition, one, x = node.inputs
    if condition.op.name != "eq" or condition.node.inputs[0] != x:
        return False
    zero = condition.node.inputs[1]
    return one.op.name == zero.op.name == "const" and not zero.node.attrs["value"]


def _at_least_one(node: Node) -> bool:
    """Whether it is `max(x, 1)` of a number of truths, as of steps before a `stop`."""
    if node.op.name != "maximum":
        return False
    count, one = node.inputs
    return one.node.attrs.get("value") == 1 and _counts_truths(count)


def _counts_truths(value: Value) -> bool:
    while value.op.name in ("sum_axes", "sum", "spread"):
        value = value.node.inputs[0]
    return value.op.name == "cast" and value.node.inputs[0].type.dtype == "bool"


def _unguarded(value: Value) -> Value:
    if value.op.name == "where" and _guards_zero(value.node):
        return value.node.inputs[2]
    return value.node.inputs[0] if _at_least_one(value.node) else value


def weight_of(graph: Graph, axes: Iterable[str]) -> Value | None:
    """The one sum over data that the loss is divided by, where parts of rows, and of these axes, count by it. A number
    of truths may depend on weights and first states, as it has no gradient."""
    found = {of_parts(graph, axis).by for axis in (BATCH, *axes)}
    value = found.pop()
    if found or value is None or value.type.axes or value.type.shape:
        return None
    read = {node.attrs["kind"] for node in every(ordered([value.node])) if node.op is INPUT}
    return value if read <= {"data", "lengths", *(["weight", "state"] if _counts_truths(value) else [])} else None


# --- what is said of it ------------------------------------------------------------------------------------------


def refused_by_segments(graph: Graph, axis: str) -> Diagnostic | None:
    """What to say of a loss that does not follow from those of segments along an axis."""
    found = of_parts(graph, axis)
    if found.kind is not Kind.OTHER:
        return None
    return Diagnostic(
        "E713",
        "its loss does not follow from those of segments",
        found.span,
        "made of all steps, and neither a sum nor a mean",
        help="minimise a mean of what each step gives, or train on whole sequences, without `segment`",
    )


def warnings_of(graph: Graph, config: FitConfig, axes: Iterable[str], ragged: bool) -> Iterator[Diagnostic]:
    """What is to be said of losses of parts whose mean is not the loss of all rows. `axes` are those along which rows
    are cut into segments; with `ragged` rows have lengths."""
    for axis in axes:
        yield from _warning(of_parts(graph, axis), "segment", "segments", ragged)
    for option, parts in (("accumulate", "batches"), ("shards", "shards")):
        if (getattr(config, option) or 1) > 1:
            yield from _warning(of_parts(graph, BATCH), option, parts, ragged)


def _warning(found: Found, option: str, parts: str, ragged: bool) -> Iterator[Diagnostic]:
    reasons = {
        Kind.OTHER: "made of all rows, and neither a sum nor a mean",
        Kind.WEIGHTED: "divided by another sum than the number of steps or rows",
    }
    if ragged:
        reasons[Kind.SEVERAL] = "means over different axes are added up, and rows have lengths"
    if ragged and option == "segment" and BATCH not in found.axes:
        reasons[Kind.MEAN] = "each row is divided by its own length"
    if reason := reasons.get(found.kind):
        told = f"with `{option}` the loss is the mean of those of {parts}, which is not that of all rows together"
        help = f"leave out `{option}`, or take it for what it is"
        yield Diagnostic("W608", told, found.span, reason, help=help, severity="warning")
