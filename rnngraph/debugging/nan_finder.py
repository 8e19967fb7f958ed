"""Where a value that is not finite came from: a run is repeated one equation at a time until it appears."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from rnngraph.debugging.replay import Arrays, Compiled, Done, Rerun, place, rerun
from rnngraph.diagnostics.diagnostic import Diagnostic, Label
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Node
from rnngraph.ir.types import BATCH

WORDS = {"contract": "the product", "sum_axes": "the sum over steps and rows", "scatter_rows": "the sum over rows"}
"""What a user calls an op whose name is ours."""


class Birth(Struct, frozen=True):
    """The first value of a run that is nan, or infinite, though nothing that it was made from is."""

    node: Node
    value: float
    operands: tuple[float, ...]
    place: tuple[str, ...]
    """In words, from the outside in: `step 17`, `row 0`, `value 3`; all count from 0."""
    row: int | None
    """The row of the batch; None where all share the value."""
    loop: Span | None
    """Where the loop that it happened in is written."""

    @property
    def said(self) -> str:
        """`log of -0.5 is nan here`."""
        operands = " and ".join(f"{x:.6g}" for x in self.operands)
        name = WORDS.get(self.node.op.name, f"`{self.node.op.name}`")
        return f"{name}{f' of {operands}' if operands else ''} is {self.value} here"


class Cause(Struct, frozen=True):
    """What is to be said of it, and the row of the batch that it is told of, if it is one."""

    told: Diagnostic
    row: int | None = None


def unusual(results: Arrays) -> list[str]:
    """The names of the results that hold a nan."""
    floats = ((name, np.asarray(array)) for name, array in results.items())
    return [name for name, array in floats if array.dtype.kind == "f" and np.isnan(array).any()]


def explain(program: Compiled, data: Arrays, weights: Arrays, gradient: bool = False) -> Cause | None:
    """The first equation and step that gives a nan (where there is none, an infinite value) for this input.

    None where nothing of the kind is found, or where there is no room to look for it.
    """
    bad = next((name for name, array in weights.items() if not np.isfinite(np.asarray(array)).all()), None)
    if bad is not None:
        told = f"the weight `{bad}` holds a value that is not finite"
        return Cause(Diagnostic("E532", told, _declared(program, bad)))
    try:
        nan, infinite = _first(rerun(program, data, weights, gradient))
    except CannotDo:
        return None
    birth = nan or infinite
    return None if birth is None else Cause(_told(nan, infinite), birth.row)


def _declared(program: Compiled, name: str) -> Span | None:
    return next((w.span for w in program.made.weights if w.name == name), None)


# --- what is looked for ------------------------------------------------------------------------------------------


@np.errstate(all="ignore")
def _first(run: Rerun) -> tuple[Birth | None, Birth | None]:
    """The first nan, and the first infinite value before it."""
    infinite: Birth | None = None
    for done in run.steps:
        found = _birth(done, run.loops, np.isnan)
        if found is not None:
            return found, infinite
        infinite = infinite or _birth(done, run.loops, np.isinf)
    return None, infinite


def _birth(done: Done, loops: Mapping[Node, Span], is_bad: Callable[[Any], Any]) -> Birth | None:
    """Of this step, if it makes a bad value from good ones."""
    if any(array.dtype.kind == "f" and is_bad(array).any() for array in done.ins):
        return None
    for array, type in zip(done.outs, done.step.node.types, strict=False):
        if array.dtype.kind == "f" and (bad := is_bad(array)).any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])  # time is the first axis: the earliest step
            node = done.step.node
            return Birth(
                node,
                float(array[index]),
                _operands(done, array, index),
                place(index, type, done.turns),
                dict(zip(type.axes, index, strict=False)).get(BATCH),
                loops.get(node),
            )
    return None


def _operands(done: Done, out: Any, index: tuple[int, ...]) -> tuple[float, ...]:
    """What a pointwise op was given for this entry."""
    if done.step.node.op.kind != "pointwise":
        return ()
    return tuple(float(np.broadcast_to(array, out.shape)[index]) for array in done.ins)


# --- what is said ------------------------------------------------------------------------------------------------


def _told(nan: Birth | None, infinite: Birth | None) -> Diagnostic:
    birth = nan or infinite
    assert birth is not None
    origin = birth.node.origin
    what = f"`{origin.name}`" if origin.name else "a value"
    if origin.backward:
        what = f"the gradient of {what}"
    within = f" in `{'.'.join(origin.path)}`" if origin.path else ""
    return Diagnostic(
        "E532",
        f"{what}{within} becomes {birth.value} at {', '.join(birth.place) or 'its only place'}",
        origin.span,
        birth.said if origin.span else "",
        _labels(birth, infinite if nan else None),
        _advice(infinite or birth),
    )


def _labels(birth: Birth, infinite: Birth | None) -> tuple[Label, ...]:
    """Where the loop is written, and where an infinite value came first."""
    labels = []
    own = birth.node.origin.span
    if birth.loop is not None and own is not None and birth.loop.source != own.source:
        labels.append(Label(birth.loop, "run here"))
    if infinite is not None and (span := infinite.node.origin.span) is not None:
        labels.append(Label(span, f"{infinite.said}, before that, at {', '.join(infinite.place)}"))
    return tuple(labels)


def _advice(birth: Birth) -> str:
    known = {
        "log": "keep its operand above zero, as `log(max(x, 1e-6))` does",
        "sqrt": "keep its operand at zero or above, as `sqrt(max(x, 0))` does",
        "exp": "its operand is too large: subtract the largest first, or use `softmax`, `softplus` or `log_softmax`",
    }
    if birth.node.op.name == "div" and birth.operands[1:] == (0.0,):
        return "keep the divisor away from zero"
    return known.get(birth.node.op.name, "")


def run_and_explain(program: Compiled, data: Arrays, weights: Arrays) -> tuple[Arrays, Diagnostic | None]:
    """Every result of a program on data; where one holds a nan, what is to be said of it."""
    results = program.run(data, weights)
    bad = unusual(results)
    if not bad:
        return results, None
    cause = explain(program, data, weights)
    return results, cause.told if cause else Diagnostic("E532", f"`{bad[0]}` holds a nan")
