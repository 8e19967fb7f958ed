"""Connectionist temporal classification: the loss of labels whose places in time nobody knows.

A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber (2006), "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", ICML. The sums over paths are their alpha and beta, in
logarithms; a path goes through `start` (the blanks before every label), then `label[i]` and `blank[i]` (the blanks
behind label i) in turn. All rows and labels advance together, step by step.

`ctc_loss` and `ctc_gradient` take scores (`axis`, batch)[classes], labels (`over`, batch), and for each row, or for
all alike, the number of steps and of labels. The labels of a row end where the blank stands; one before that which is
no class is refused. Attributes: `axis`, `over`, `blank`, `merge` (equal neighbours of a path are one label), `ignore`
(a row that needs more steps than it has counts as 0), `zero` (one whose loss is infinite does), `collapsed` (the labels
are a `compact` of the user's, without repetitions).

Probabilities are small differences of large logarithms, so all is computed in 64 bits, whatever the scores are.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import BATCH, Type
from rnngraph.ops.index import ramp
from rnngraph.ops.table import Formula, define

NEVER = -1e30
"""The logarithm of a probability of 0: finite, so that two of them have a difference."""

Scratch = dict[str, Type]


def checked(attrs: Attrs, types: tuple[Type, ...]) -> None:
    scores, labels, *counts = types
    if scores.axes != (attrs["axis"], BATCH) or len(scores.shape) != 1 or scores.dtype != "float":
        raise ShapeError(f"needs one score for each class and step, not {scores}")
    if labels.axes != (attrs["over"], BATCH) or labels.shape or labels.dtype != "int":
        raise ShapeError(f"needs a sequence of integer labels, not {labels}")
    if any(c.shape or c.dtype != "int" or set(c.axes) - {BATCH} for c in counts):
        raise ShapeError("a length is one integer for each row")


def _loss_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    checked(attrs, types)
    return (Type((BATCH,), ()),)


def wide(axes: tuple[str, ...], shape: tuple[int, ...] = ()) -> Type:
    """Eight bytes each in every width of program, to be seen as float64."""
    return Type(axes, shape, "int")


WHOLE = ("first", "place", "ids", "number", "needed")
"""The scratch that holds whole numbers."""


def loss_scratch(attrs: Attrs, scores: Type) -> Scratch:
    """By name. Labels stand first where an array has them, so that each label's part is whole."""
    axis, over = attrs["axis"], attrs["over"]
    step, label, row = (axis, BATCH), (over, BATCH), (BATCH,)
    return {
        "logs": wide(step, scores.shape),
        "likely": wide(row, scores.shape),
        "one": wide(step, (1,)),
        "emit": wide((over, *step)),
        **{name: wide(label) for name in ("label", "blank", "new", "spare")},
        **{name: wide(row) for name in ("start", "row", "total")},
        "first": Type(step, (), "int"),
        "place": Type(step, (), "int"),
        "ids": Type(label, (), "int"),
        "number": Type(row, (), "int"),
        "needed": Type(row, (), "int"),
        "stuck": Type(label, (), "bool"),
        **{name: Type(row, (), "bool") for name in ("here", "also", "never", "left")},
    }


def opened(types: Scratch, arrays: tuple[Any, ...]) -> SimpleNamespace:
    """Scratch by name, the `wide` as float64."""
    found = dict(zip(types, arrays, strict=True))
    seen = {name: types[name].dtype == "int" and name not in WHOLE for name in found}
    return SimpleNamespace(**{name: a.view("float64") if seen[name] else a for name, a in found.items()})


# --- what both begin with ------------------------------------------------------------------------------------


def prepare(backend: Any, node: Node, scores: Any, labels: Any, counts: Any, r: SimpleNamespace) -> None:
    """Log probabilities, the labels that count, and the log probability of each of them at each step."""
    xp = backend.xp
    xp.copyto(r.logs, scores)
    xp.amax(r.logs, axis=-1, out=r.one, keepdims=True)
    xp.subtract(r.logs, r.one, r.logs)
    for now, total in zip(r.logs, r.one, strict=True):
        xp.exp(now, r.likely)
        xp.sum(r.likely, axis=-1, out=total, keepdims=True)
    xp.log(r.one, r.one)
    xp.subtract(r.logs, r.one, r.logs)
    classes = scores.shape[-1]
    _real_labels(xp, node, labels, counts, r)
    if r.stuck.any():
        raise _no_class(backend, node, labels, r.stuck)
    _needed(xp, node.attrs, r)
    ramp(xp, r.first.reshape(-1), classes)
    for at, ids in zip(r.emit, r.ids, strict=True):
        xp.add(r.first, ids, r.place)
        backend.take_rows(r.logs.reshape(-1), r.place, at)


def _real_labels(xp: Any, node: Node, labels: Any, counts: Any, r: SimpleNamespace) -> None:
    """How many labels each row has; into `stuck`, which of them are no class."""
    r.number.fill(0)
    r.here.fill(True)
    xp.clip(labels, 0, node.inputs[0].type.shape[0] - 1, out=r.ids)
    xp.not_equal(labels, r.ids, r.stuck)
    for i, row in enumerate(labels):
        xp.not_equal(row, node.attrs["blank"], r.also)
        xp.logical_and(r.here, r.also, r.here)
        xp.greater(counts, i, r.also)
        xp.logical_and(r.here, r.also, r.here)
        xp.add(r.number, r.here, r.number)
        xp.logical_and(r.stuck[i], r.here, r.stuck[i])


def _needed(xp: Any, attrs: Attrs, r: SimpleNamespace) -> None:
    """Which labels need a blank in front, and so how many steps each row needs."""
    r.stuck.fill(False)
    if attrs["merge"]:
        xp.equal(r.ids[1:], r.ids[:-1], r.stuck[1:])
    xp.copyto(r.needed, r.number)
    for i, stuck in enumerate(r.stuck):
        xp.greater(r.number, i, r.also)
        xp.logical_and(r.also, stuck, r.also)
        xp.add(r.needed, r.also, r.needed)


def refuse_no_class(backend: Any, node: Node, labels: Any, counts: Any) -> None:
    """UserError that names the first label that is no class, before its row ends."""
    xp = backend.xp
    wrong = xp.clip(labels, 0, node.inputs[0].type.shape[0] - 1) != labels
    if wrong.any():
        real = (labels != node.attrs["blank"]) & (xp.arange(len(labels))[:, None] < counts)
        wrong &= xp.logical_and.accumulate(real, axis=0)
        if wrong.any():
            raise _no_class(backend, node, labels, wrong)


def _no_class(backend: Any, node: Node, labels: Any, wrong: Any) -> UserError:
    """The first row with a label that is no class, and where it stands."""
    row, place = (int(found[0]) for found in backend.fetch(wrong).T.nonzero())
    value, classes = int(backend.fetch(labels)[place, row]), node.inputs[0].type.shape[0]
    told = no_class(node.attrs["blank"], classes, value, row, place)
    return UserError([Diagnostic("E531", f"the labels hold {told}", node.origin.span, help=WHAT_ENDS)])


def no_class(blank: int, classes: int, value: int, row: int, place: int) -> str:
    """What is wrong with a label, in words that go on behind "the labels hold"."""
    where = f"{value} at row {row}, place {place}"
    return f"{where}, which is not a class: they go from 0 to {classes - 1}, the blank is {blank}"


WHAT_ENDS = "the labels of a row end at the first blank, or at their given length"


# --- forwards ----------------------------------------------------------------------------------


def begin(r: SimpleNamespace) -> None:
    """Before the first step: nothing said yet."""
    r.label.fill(NEVER)
    r.blank.fill(NEVER)
    r.start.fill(0)


def forward(xp: Any, attrs: Attrs, t: int, steps: Any, r: SimpleNamespace) -> None:
    """Alpha of step t from that of the step before; a row past its end keeps its last."""
    xp.greater(steps, t, r.here)
    silence, said = r.logs[t, :, attrs["blank"]], r.emit[:, t]
    if len(r.ids):
        _from_before(xp, attrs, r)
        xp.add(r.new, said, r.new)
        xp.logaddexp(r.blank, r.label, r.spare)
        xp.add(r.spare, silence, r.spare)
        xp.copyto(r.label, r.new, where=r.here)
        xp.copyto(r.blank, r.spare, where=r.here)
    xp.add(r.start, silence, r.row)
    xp.copyto(r.start, r.row, where=r.here)


def _from_before(xp: Any, attrs: Attrs, r: SimpleNamespace) -> None:
    """Into `new`: all ways to be at each label, but for saying it."""
    if attrs["merge"]:
        xp.copyto(r.new, r.label)
    else:
        r.new.fill(NEVER)
    xp.logaddexp(r.new[0], r.start, r.new[0])
    xp.logaddexp(r.new[1:], r.blank[:-1], r.new[1:])
    xp.copyto(r.spare[1:], r.label[:-1])
    xp.copyto(r.spare[1:], NEVER, where=r.stuck[1:])
    xp.logaddexp(r.new[1:], r.spare[1:], r.new[1:])


def end(xp: Any, r: SimpleNamespace) -> None:
    """Into `total`: the log probability of the labels, from alpha of the last step."""
    xp.copyto(r.total, r.start)
    for i in range(len(r.ids)):
        xp.equal(r.number, i + 1, r.here)
        xp.logaddexp(r.label[i], r.blank[i], r.row)
        xp.copyto(r.total, r.row, where=r.here)


def left_out(xp: Any, attrs: Attrs, steps: Any, r: SimpleNamespace) -> None:
    """Into `never`: which rows no path says; into `left`: those that count as 0."""
    xp.less(r.total, 0.5 * NEVER, r.never)
    r.left.fill(False)
    if attrs["ignore"]:
        xp.greater(r.needed, steps, r.left)
    if attrs["zero"]:
        xp.logical_or(r.left, r.never, r.left)


# --- the loss ------------------------------------------------------------------------------------------------


def _loss(backend: Any, node: Node) -> Callable[..., None]:
    xp, attrs, types = backend.xp, node.attrs, loss_scratch(node.attrs, node.inputs[0].type)

    def run(scores: Any, labels: Any, steps: Any, counts: Any, out: Any, *scratch: Any) -> None:
        r = opened(types, scratch)
        prepare(backend, node, scores, labels, counts, r)
        begin(r)
        for t in range(len(scores)):
            forward(xp, attrs, t, steps, r)
        end(xp, r)
        left_out(xp, attrs, steps, r)
        xp.negative(r.total, r.total)
        xp.copyto(r.total, float("inf"), where=r.never)
        xp.copyto(r.total, 0, where=r.left)
        xp.copyto(out, r.total)

    return run


def _rule(
    attrs: Attrs, y: Formula, dy: Formula, scores: Formula, labels: Formula, steps: Formula, counts: Formula
) -> tuple[Formula | None, ...]:
    one = scores.op("ctc_gradient", labels, steps, counts, **attrs)
    back = dy.op("reshape", shape=(1,))
    return (one * back, None, None, None)


SCORES, LABELS, ROWS = Type(("time", BATCH), (3,)), Type(("label", BATCH), (), "int"), Type((BATCH,), (), "int")
ATTRS = {
    "axis": "time",
    "over": "label",
    "blank": 2,
    "merge": True,
    "ignore": False,
    "zero": False,
    "collapsed": False,
}

define(
    "ctc_loss",
    _loss_type,
    kernel=_loss,
    vjp=_rule,
    masks=True,
    scratch=lambda attrs, types, results: tuple(loss_scratch(attrs, types[0]).values()),
    strided=False,
    examples=(
        (ATTRS | {"merge": False, "ignore": True}, (SCORES, LABELS, ROWS, ROWS)),
        (ATTRS | {"ignore": True, "zero": True}, (SCORES, LABELS, Type((), (), "int"), ROWS)),
    ),
)
