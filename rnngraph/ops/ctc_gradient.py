"""The gradient of the CTC loss with respect to the scores, by alpha and beta; `rnngraph.ops.ctc` says how."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.ir.graph import Attrs, Node
from rnngraph.ir.types import BATCH, Type
from rnngraph.ops.ctc import (
    ATTRS,
    LABELS,
    NEVER,
    ROWS,
    SCORES,
    Scratch,
    begin,
    checked,
    end,
    forward,
    left_out,
    loss_scratch,
    opened,
    prepare,
    wide,
)
from rnngraph.ops.table import Formula, define


def _gradient_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    checked(attrs, types)
    return types[:1]


def gradient_scratch(attrs: Attrs, scores: Type) -> Scratch:
    """Alpha is kept for every step, and gives its place to what is found of the step; beta is there for one."""
    axis, over = attrs["axis"], attrs["over"]
    by_step = wide((axis, over, BATCH))
    return loss_scratch(attrs, scores) | {
        "all_label": by_step,
        "all_blank": by_step,
        "all_start": wide((axis, BATCH)),
        "ahead": wide((over, BATCH)),
        "work": wide((axis, BATCH)),
    }


# --- backwards -----------------------------------------------------------------------------------------------


def _begin_back(xp: Any, r: SimpleNamespace) -> None:
    """Behind the last step: a path must have said everything."""
    for i in range(len(r.ids)):
        xp.equal(r.number, i + 1, r.here)
        for array in (r.label, r.blank):
            array[i].fill(NEVER)
            xp.copyto(array[i], 0, where=r.here)
    xp.equal(r.number, 0, r.here)
    r.start.fill(NEVER)
    xp.copyto(r.start, 0, where=r.here)


def _backward(xp: Any, attrs: Attrs, t: int, steps: Any, r: SimpleNamespace) -> None:
    """Beta of step t from that of step t + 1, for the rows that have one."""
    xp.greater(steps, t + 1, r.here)
    silence, said = r.logs[t + 1, :, attrs["blank"]], r.emit[:, t + 1]
    xp.add(r.start, silence, r.row)
    if len(r.ids):
        xp.add(r.label, said, r.new)
        xp.add(r.blank, silence, r.spare)
        xp.logaddexp(r.row, r.new[0], r.row)
        _to_behind(xp, attrs, r)
    xp.copyto(r.start, r.row, where=r.here)


def _to_behind(xp: Any, attrs: Attrs, r: SimpleNamespace) -> None:
    """From `new` (say the label at the next step) and `spare` (a blank there): all ways on. Writes over both."""
    xp.copyto(r.ahead, r.spare)
    if attrs["merge"]:
        xp.logaddexp(r.ahead, r.new, r.ahead)
    xp.logaddexp(r.spare[:-1], r.new[1:], r.spare[:-1])
    xp.copyto(r.new[1:], NEVER, where=r.stuck[1:])
    xp.logaddexp(r.ahead[:-1], r.new[1:], r.ahead[:-1])
    xp.copyto(r.label, r.ahead, where=r.here)
    xp.copyto(r.blank, r.spare, where=r.here)


# --- the gradient --------------------------------------------------------------------------------------------


def _gradient(backend: Any, node: Node) -> Callable[..., None]:
    """The softmax, less how likely a path of the labels says each class there; the softmax alone where none can."""
    xp, attrs, types = backend.xp, node.attrs, gradient_scratch(node.attrs, node.inputs[0].type)

    def run(scores: Any, labels: Any, steps: Any, counts: Any, out: Any, *scratch: Any) -> None:
        r = opened(types, scratch)
        prepare(backend, node, scores, labels, counts, r)
        begin(r)
        for t in range(len(scores)):
            forward(xp, attrs, t, steps, r)
            for kept, now in ((r.all_label, r.label), (r.all_blank, r.blank), (r.all_start, r.start)):
                xp.copyto(kept[t], now)
        end(xp, r)
        left_out(xp, attrs, steps, r)
        xp.copyto(r.total, -NEVER, where=r.never)
        _begin_back(xp, r)
        for t in reversed(range(len(scores))):
            if t + 1 < len(scores):
                _backward(xp, attrs, t, steps, r)
            _occupied(xp, t, r)
        _subtract(backend, attrs, r)
        _outside(xp, steps, r)
        xp.copyto(out, r.logs)

    return run


def _occupied(xp: Any, t: int, r: SimpleNamespace) -> None:
    """How likely each label, and silence, is at step t, in the place of its alpha."""
    for alpha, beta in ((r.all_start[t], r.start), (r.all_label[t], r.label), (r.all_blank[t], r.blank)):
        xp.add(alpha, beta, alpha)
        xp.subtract(alpha, r.total, alpha)
        xp.exp(alpha, alpha)
    for silent in r.all_blank[t]:
        xp.add(r.all_start[t], silent, r.all_start[t])


def _subtract(backend: Any, attrs: Attrs, r: SimpleNamespace) -> None:
    """From the softmax, label by label, so that no place of the scores is met twice at once."""
    xp, flat = backend.xp, r.logs.reshape(-1)
    xp.exp(r.logs, r.logs)
    silence = r.logs[..., attrs["blank"]]
    xp.subtract(silence, r.all_start, silence)
    for i, ids in enumerate(r.ids):
        xp.add(r.first, ids, r.place)
        backend.take_rows(flat, r.place, r.work)
        xp.subtract(r.work, r.all_label[:, i], r.work)
        flat[r.place] = r.work


def _outside(xp: Any, steps: Any, r: SimpleNamespace) -> None:
    """Zeros past the end of each row, and in rows that do not count."""
    for t, now in enumerate(r.logs):
        xp.less_equal(steps, t, r.here)
        xp.logical_or(r.here, r.left, r.here)
        xp.copyto(now, 0, where=r.here[:, None])


def _refused(attrs: Attrs, y: Formula, dy: Formula, *inputs: Formula) -> tuple[None, ...]:
    raise CannotDo([Diagnostic("E319", "the gradient of `ctc_loss` cannot be differentiated again", dy.origin.span)])


define(
    "ctc_gradient",
    _gradient_type,
    kernel=_gradient,
    scratch=lambda attrs, types, results: tuple(gradient_scratch(attrs, types[0]).values()),
    strided=False,
    vjp=_refused,
    examples=((ATTRS, (SCORES, LABELS, ROWS, ROWS)),),
)
