"""Connectionist temporal classification: the loss of labels whose places in time nobody knows.

A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber (2006), "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", ICML. The sums over paths are their alpha and beta, in
logarithms; a path goes through `start` (the blanks before every label), then `label[i]` and `blank[i]` (the blanks
behind label i) in turn. All rows and labels advance together, step by step.

`ctc_loss` and `ctc_gradient` take scores (`axis`, batch)[classes], labels (`over`, batch), and for each row, or for
all alike, the number of steps and of labels. Attributes: `axis`, `over`, `blank`, `merge` (equal neighbours of a path
are one label), `ignore` (a row with more labels than steps counts as 0). A label that is the blank, or no class, ends
the labels of its row.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

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


def loss_scratch(attrs: Attrs, scores: Type) -> Scratch:
    """By name. Labels stand first where an array has them, so that each label's part is whole."""
    axis, over = attrs["axis"], attrs["over"]
    step, label, row = (axis, BATCH), (over, BATCH), (BATCH,)
    return {
        "softmax": scores,
        "logs": scores,
        "one": Type(step, (1,)),
        "emit": Type((over, *step), ()),
        "first": Type(step, (), "int"),
        "place": Type(step, (), "int"),
        "ids": Type(label, (), "int"),
        "stuck": Type(label, (), "bool"),
        "number": Type(row, (), "int"),
        "here": Type(row, (), "bool"),
        "also": Type(row, (), "bool"),
        **{name: Type(label, ()) for name in ("label", "blank", "new", "spare")},
        **{name: Type(row, ()) for name in ("start", "row", "total")},
    }


# --- what both begin with ------------------------------------------------------------------------------------


def prepare(backend: Any, attrs: Attrs, scores: Any, labels: Any, counts: Any, r: SimpleNamespace) -> None:
    """Log probabilities, the labels that count, and the log probability of each of them at each step."""
    xp = backend.xp
    xp.amax(scores, axis=-1, out=r.one, keepdims=True)
    xp.subtract(scores, r.one, r.logs)
    xp.exp(r.logs, r.softmax)
    xp.sum(r.softmax, axis=-1, out=r.one, keepdims=True)
    xp.divide(r.softmax, r.one, r.softmax)
    xp.log(r.one, r.one)
    xp.subtract(r.logs, r.one, r.logs)
    classes = scores.shape[-1]
    _real_labels(xp, attrs, labels, counts, classes, r)
    ramp(xp, r.first.reshape(-1), classes)
    for at, ids in zip(r.emit, r.ids, strict=True):
        xp.add(r.first, ids, r.place)
        backend.take_rows(r.logs.reshape(-1), r.place, at)


def _real_labels(xp: Any, attrs: Attrs, labels: Any, counts: Any, classes: int, r: SimpleNamespace) -> None:
    """How many labels each row has, up to the first that is none; which of them need a blank in front."""
    r.number.fill(0)
    r.here.fill(True)
    for i, row in enumerate(labels):
        for test, bound in ((xp.not_equal, attrs["blank"]), (xp.greater_equal, 0), (xp.less, classes)):
            test(row, bound, r.also)
            xp.logical_and(r.here, r.also, r.here)
        xp.greater(counts, i, r.also)
        xp.logical_and(r.here, r.also, r.here)
        xp.add(r.number, r.here, r.number)
    xp.clip(labels, 0, classes - 1, out=r.ids)
    r.stuck.fill(False)
    if attrs["merge"]:
        xp.equal(r.ids[1:], r.ids[:-1], r.stuck[1:])


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


# --- the loss ------------------------------------------------------------------------------------------------


def _loss(backend: Any, node: Node) -> Callable[..., None]:
    xp, attrs = backend.xp, node.attrs
    names = tuple(loss_scratch(attrs, node.inputs[0].type))

    def run(scores: Any, labels: Any, steps: Any, counts: Any, out: Any, *scratch: Any) -> None:
        r = SimpleNamespace(**dict(zip(names, scratch, strict=True)))
        prepare(backend, attrs, scores, labels, counts, r)
        begin(r)
        for t in range(len(scores)):
            forward(xp, attrs, t, steps, r)
        end(xp, r)
        xp.negative(r.total, out)
        xp.less(r.total, 0.5 * NEVER, r.here)
        xp.copyto(out, float("inf"), where=r.here)
        if attrs["ignore"]:
            xp.greater(r.number, steps, r.here)
            xp.copyto(out, 0, where=r.here)

    return run


def _rule(
    attrs: Attrs, y: Formula, dy: Formula, scores: Formula, labels: Formula, steps: Formula, counts: Formula
) -> tuple[Formula | None, ...]:
    one = scores.op("ctc_gradient", labels, steps, counts, **attrs)
    back = dy.op("reshape", shape=(1,))
    return (one * back, None, None, None)


SCORES, LABELS, ROWS = Type(("time", BATCH), (3,)), Type(("label", BATCH), (), "int"), Type((BATCH,), (), "int")
ATTRS = {"axis": "time", "over": "label", "blank": 2, "merge": True, "ignore": False}

define(
    "ctc_loss",
    _loss_type,
    kernel=_loss,
    vjp=_rule,
    scratch=lambda attrs, types, results: tuple(loss_scratch(attrs, types[0]).values()),
    strided=False,
    examples=(
        (ATTRS | {"merge": False, "ignore": True}, (SCORES, LABELS, ROWS, ROWS)),
        (ATTRS | {"ignore": True}, (SCORES, LABELS, Type((), (), "int"), ROWS)),
    ),
)
