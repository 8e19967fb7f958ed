"""Beam search for the likeliest sequences of labels under connectionist temporal classification.

A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber (2006), "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", ICML, section 3.2 (prefix search).

A beam is a sequence of labels. At each step every beam either stays (a blank, or its last label once more) or grows by
a label; growing into a sequence that is a beam itself adds to that one. Sequences are told apart by a hash of 64 bits.
What was chosen at each step is kept, as (beam before) * classes + label, and followed back at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import BATCH, Type
from rnngraph.ops.index import ramp
from rnngraph.ops.random import GOLDEN, mix
from rnngraph.ops.table import define

_NEVER = -1e30
"""The logarithm of a probability of 0: finite, so that two of them have a difference."""

_NOTHING, _ROOT = 0, 1
"""The hashes of a dead end, and of the empty sequence."""


def _beam_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    scores, steps = types
    if scores.axes != (attrs["axis"], BATCH) or len(scores.shape) != 1 or scores.dtype != "float":
        raise ShapeError(f"needs one score for each class and step, not {scores}")
    if steps.dtype != "int" or steps.shape or set(steps.axes) - {BATCH}:
        raise ShapeError("a length is one integer for each row")
    return (Type(scores.axes, (2, attrs["paths"])),)


def _scratch(attrs: Attrs, scores: Type) -> dict[str, Type]:
    """By name. `first_*` say where a row begins in a flattened array."""
    width, classes, row = attrs["width"], scores.shape[0], (BATCH,)
    return {
        "logs": Type(row, (classes,)),
        "softmax": Type(row, (classes,)),
        "grown": Type(row, (width, classes)),
        "chosen_at": Type((attrs["axis"], BATCH), (width,), "int"),
        **{n: Type(row, (width,)) for n in ("total", "blank", "label", "new_total", "new_blank", "new_label", "work")},
        **{
            n: Type(row, (width,), "int")
            for n in ("last", "name", "above", "parent", "number", "chosen", "place", "took", "spare", "other")
        },
        **{n: Type(row, (width,), "bool") for n in ("here", "stays", "dead", "barren")},
        **{n: Type(row, (width, classes), "bool") for n in ("better", "early")},
        "order": Type((), (width, classes), "int"),
        **{n: Type(row, (1,), "int") for n in ("first_log", "first_beam", "first_grown")},
        "one": Type(row, (1,)),
        "real": Type(row, (1,), "bool"),
        **{n: Type(row, (), "int") for n in ("best", "limit")},
        "lost": Type(row, (), "bool"),
        "value": Type(row, ()),
        "alive": Type(row, (), "bool"),
        **{n: Type(row, (attrs["paths"],), "int") for n in ("slot", "at", "code")},
    }


def _beam(backend: Any, node: Node) -> Callable[..., None]:
    xp, attrs = backend.xp, node.attrs
    names = tuple(_scratch(attrs, node.inputs[0].type))

    def run(scores: Any, steps: Any, out: Any, *scratch: Any) -> None:
        r = SimpleNamespace(**dict(zip(names, scratch, strict=True)))
        _begin(xp, r)
        for t, now in enumerate(scores):
            xp.greater(steps, t, r.real[:, 0])
            _log_softmax(xp, now, r)
            _grow(backend, attrs["blank"], r)
            _forget(backend, attrs["blank"], r)
            _choose(backend, r)
            _accept(backend, attrs["blank"], r)
            xp.copyto(r.chosen_at[t], r.chosen)
        _follow_back(backend, out, r)

    return run


def _begin(xp: Any, r: SimpleNamespace) -> None:
    """One beam, of no labels."""
    for array, first, others in (
        (r.total, 0, _NEVER),
        (r.blank, 0, _NEVER),
        (r.label, _NEVER, _NEVER),
        (r.name, _ROOT, _NOTHING),
    ):
        array.fill(others)
        array[:, 0] = first
    r.last.fill(-1)
    r.above.fill(_NOTHING)
    r.parent.fill(-1)
    width, classes = r.grown.shape[1:]
    for array, stride in ((r.first_log, classes), (r.first_beam, width), (r.first_grown, width * classes)):
        ramp(xp, array[:, 0], stride)
    ramp(xp, r.order.reshape(-1), 1)
    for i in range(width):
        r.number[:, i] = i


def _log_softmax(xp: Any, scores: Any, r: SimpleNamespace) -> None:
    xp.amax(scores, axis=-1, out=r.one, keepdims=True)
    xp.subtract(scores, r.one, r.logs)
    xp.exp(r.logs, r.softmax)
    xp.sum(r.softmax, axis=-1, out=r.one, keepdims=True)
    xp.log(r.one, r.one)
    xp.subtract(r.logs, r.one, r.logs)


def _grow(backend: Any, blank: int, r: SimpleNamespace) -> None:
    """Into `grown`: the log probability of each beam with each label behind it; at the blank, of the beam as it is."""
    xp, flat = backend.xp, r.grown.reshape(-1)
    xp.add(r.total[:, :, None], r.logs[:, None, :], r.grown)
    xp.copyto(r.took, r.last)
    xp.less(r.last, 0, r.here)
    xp.copyto(r.took, blank, where=r.here)
    xp.add(r.took, r.first_log, r.place)
    backend.take_rows(r.logs.reshape(-1), r.place, r.work)
    xp.add(r.label, r.work, r.new_label)
    # The last label once more is a new one only behind a blank.
    xp.add(r.blank, r.work, r.work)
    flat[_entry(xp, r.number, r)] = r.work
    _join(backend, blank, r)
    xp.add(r.total, r.logs[:, blank : blank + 1], r.new_blank)
    xp.logaddexp(r.new_blank, r.new_label, r.work)
    xp.copyto(r.grown[:, :, blank], r.work)


def _join(backend: Any, blank: int, r: SimpleNamespace) -> None:
    """What grows into another beam is added to that one, and is no beam of its own."""
    xp, flat = backend.xp, r.grown.reshape(-1)
    xp.less(r.parent, 0, r.dead)
    xp.logical_or(r.here, r.dead, r.here)
    xp.copyto(r.spare, r.parent)
    xp.copyto(r.spare, r.number, where=r.here)
    xp.copyto(r.took, blank, where=r.here)
    backend.take_rows(flat, _entry(xp, r.spare, r), r.work)
    xp.copyto(r.work, _NEVER, where=r.here)
    flat[r.place] = _NEVER
    xp.logaddexp(r.new_label, r.work, r.new_label)


def _entry(xp: Any, beams: Any, r: SimpleNamespace) -> Any:
    """Into `place`: where these beams with the labels in `took` stand in the flattened `grown`."""
    xp.multiply(beams, r.logs.shape[-1], r.place)
    xp.add(r.place, r.took, r.place)
    xp.add(r.place, r.first_grown, r.place)
    return r.place


def _forget(backend: Any, blank: int, r: SimpleNamespace) -> None:
    """A beam that was pushed out before its parent met it does not grow.

    TensorFlow's decoder goes through the beams from the best on, and through the labels of each, keeping the best found
    so far; a beam that is no longer among them when its parent grows into it is forgotten. Where nothing was pushed
    out this changes nothing.
    """
    xp, width = backend.xp, r.number.shape[1]
    xp.greater(r.grown, 0.5 * _NEVER, r.better)
    xp.sum(r.better, axis=(1, 2), out=r.best)
    xp.greater(r.best, width, r.alive)
    r.barren.fill(False)
    for j in range(1, width if r.alive.any() else 0):
        _is_child(backend, j, r)
        if not r.lost.any():
            continue
        xp.multiply(r.parent[:, j], r.logs.shape[-1], r.limit)
        xp.add(r.limit, r.last[:, j], r.limit)
        xp.less(r.order, r.limit[:, None, None], r.early)
        r.early[:, :, blank] = True
        xp.greater(r.grown, r.grown[:, j : j + 1, blank : blank + 1], r.better)
        xp.logical_and(r.better, r.early, r.better)
        xp.sum(r.better, axis=(1, 2), out=r.best)
        xp.greater_equal(r.best, width, r.alive)
        xp.logical_and(r.lost, r.alive, r.lost)
        xp.copyto(r.value, r.grown[:, j, blank])
        xp.copyto(r.grown[:, j], _NEVER, where=r.lost[:, None])
        xp.copyto(r.grown[:, j, blank], r.value)
        xp.copyto(r.barren[:, j], r.lost)


def _is_child(backend: Any, j: int, r: SimpleNamespace) -> None:
    """Into `lost`: whether beam j lengthens a better one that grows itself."""
    xp = backend.xp
    xp.add(r.parent[:, j], r.first_beam[:, 0], r.best)
    backend.take_rows(r.barren.reshape(-1), r.best, r.alive)
    xp.logical_not(r.alive, r.lost)
    for test, bound in ((xp.less, j), (xp.greater_equal, 0)):
        test(r.parent[:, j], bound, r.alive)
        xp.logical_and(r.lost, r.alive, r.lost)
    xp.greater_equal(r.last[:, j], 0, r.alive)
    xp.logical_and(r.lost, r.alive, r.lost)


def _choose(backend: Any, r: SimpleNamespace) -> None:
    """The best of all, best first, of equal ones the first; dead ends where there are not so many."""
    xp, width = backend.xp, r.number.shape[1]
    flat, rows = r.grown.reshape(-1), r.grown.reshape((len(r.grown), -1))
    r.new_total.fill(_NEVER)
    for i in range(width):
        xp.argmax(rows, axis=1, out=r.best)
        r.spare[:, i] = r.best
        xp.add(r.best, r.first_grown[:, 0], r.best)
        backend.take_rows(flat, r.best, r.value)
        xp.greater(r.value, 0.5 * _NEVER, r.alive)
        if not r.alive.any():
            r.spare[:, i:] = 0
            break
        xp.copyto(r.new_total[:, i], r.value, where=r.alive)
        flat[r.best] = -float("inf")


def _accept(backend: Any, blank: int, r: SimpleNamespace) -> None:
    """The chosen beams take the places of the old ones, in the rows that are not yet at their end."""
    xp, classes = backend.xp, r.logs.shape[-1]
    xp.mod(r.spare, classes, r.took)
    xp.equal(r.took, blank, r.stays)
    xp.floor_divide(r.spare, classes, r.place)
    xp.multiply(r.number, classes, r.chosen)
    xp.add(r.chosen, blank, r.chosen)
    xp.copyto(r.chosen, r.spare, where=r.real)
    xp.add(r.place, r.first_beam, r.place)
    xp.less(r.new_total, 0.5 * _NEVER, r.dead)
    xp.logical_not(r.stays, r.here)
    _accept_sums(backend, r)
    _accept_labels(backend, r)
    _find_parents(xp, r)


def _accept_sums(backend: Any, r: SimpleNamespace) -> None:
    xp = backend.xp
    for new, old, grown in ((r.new_blank, r.blank, _NEVER), (r.new_label, r.label, r.new_total)):
        backend.take_rows(new.reshape(-1), r.place, r.work)
        xp.copyto(r.work, grown, where=r.here)
        xp.copyto(r.work, _NEVER, where=r.dead)
        xp.copyto(old, r.work, where=r.real)
    xp.copyto(r.total, r.new_total, where=r.real)


def _accept_labels(backend: Any, r: SimpleNamespace) -> None:
    """The last label of each beam, the hash of its labels, and that of all but the last."""
    xp = backend.xp
    backend.take_rows(r.name.reshape(-1), r.place, r.other)
    backend.take_rows(r.above.reshape(-1), r.place, r.spare)
    xp.copyto(r.spare, r.other, where=r.here)
    xp.copyto(r.above, r.spare, where=r.real)
    backend.take_rows(r.last.reshape(-1), r.place, r.spare)
    xp.copyto(r.spare, r.took, where=r.here)
    xp.copyto(r.spare, -1, where=r.dead)
    xp.copyto(r.last, r.spare, where=r.real)
    name, hashed, work = r.other, r.took.view(xp.uint64), r.spare.view(xp.uint64)
    xp.add(hashed, xp.uint64(1), hashed)
    xp.multiply(hashed, xp.uint64(GOLDEN), hashed)
    xp.add(hashed, name.view(xp.uint64), hashed)
    mix(xp, hashed, work)
    xp.copyto(name, r.took, where=r.here)
    xp.copyto(name, _NOTHING, where=r.dead)
    xp.copyto(r.name, name, where=r.real)


def _find_parents(xp: Any, r: SimpleNamespace) -> None:
    """Which beam has all labels of a beam but the last; -1 where none has."""
    r.parent.fill(-1)
    for i in range(r.number.shape[1]):
        xp.equal(r.above, r.name[:, i : i + 1], r.here)
        xp.copyto(r.parent, i, where=r.here)


def _follow_back(backend: Any, out: Any, r: SimpleNamespace) -> None:
    """The label that each of the best beams took at each step, the blank where none; and its log probability."""
    xp, paths, classes = backend.xp, out.shape[-1], r.logs.shape[-1]
    xp.less(r.total, 0.5 * _NEVER, r.dead)
    xp.copyto(r.total, -float("inf"), where=r.dead)
    xp.copyto(out[:, :, 1], r.total[:, :paths])
    xp.copyto(r.slot, r.number[:, :paths])
    for chosen, now in zip(r.chosen_at[::-1], out[::-1], strict=True):
        xp.add(r.slot, r.first_beam, r.at)
        backend.take_rows(chosen.reshape(-1), r.at, r.code)
        xp.floor_divide(r.code, classes, r.slot)
        xp.mod(r.code, classes, r.code)
        xp.copyto(now[:, 0], r.code)


define(
    "ctc_beam",
    _beam_type,
    kernel=_beam,
    scratch=lambda attrs, types, results: tuple(_scratch(attrs, types[0]).values()),
    strided=False,
    examples=(
        (
            {"axis": "time", "blank": 2, "width": 3, "paths": 1},
            (Type(("time", BATCH), (3,)), Type((BATCH,), (), "int")),
        ),
    ),
)
"""Attributes: `axis`, `blank`, `width` (beams kept), `paths` (of them given, best first). Result [0] holds the label
that a path takes at a step, or the blank; result [1], at every step alike, its log probability."""
