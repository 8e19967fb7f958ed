"""A loop drawn as its steps: columns from left to right, made from the one body, the middle in one box."""

from __future__ import annotations

from rnngraph.ir.graph import Loop, Node, Value, body_nodes, loop_of
from rnngraph.viz.columns import Column, columns
from rnngraph.viz.draw import Drawer
from rnngraph.viz.groups import Path
from rnngraph.viz.labels import carry_names
from rnngraph.viz.loops import drawn_at_all, enter, initial_text, loop_frame
from rnngraph.viz.scene import Box, End
from rnngraph.viz.sketch import Link, Pill, Rows, Scope


def draw_steps(drawer: Drawer, scope: Scope, node: Node) -> None:
    """Each column sees the column before it (or after it, where the loop runs backwards) as its states."""
    loop = loop_of(node)
    body = body_nodes(loop)
    frame, base = loop_frame(drawer, scope, node, body)
    shown = columns(loop, drawer.options.steps, drawer.options.fold)
    start = _start(drawer, scope, loop, frame)
    previous: Scope | None = None
    steps: dict[int, Scope] = {}
    for column in reversed(shown) if loop.reverse else shown:
        inside = _column_scope(drawer, frame, base, column, loop.reverse)
        _bind(drawer, scope, inside, loop, previous, start, column)
        if column.skipped:
            _folded(drawer, inside, loop, column)
        else:
            drawer.level(inside, body)
        steps[column.step] = previous = inside
    _note_saved(drawer, loop, frame)
    _leave(scope, node, loop, {c.step: steps[c.step] for c in shown}, previous)
    frames = [steps[c.step].frame for c in shown]
    first = [f"{frame}first"] if start else []
    drawer.sketch.lanes.append(tuple([*frames, *first] if loop.reverse else [*first, *frames]))


def _column_scope(drawer: Drawer, frame: str, base: Path, column: Column, reverse: bool) -> Scope:
    key = f"{frame}t{column.step}"
    kind_frame = drawer.sketch.frame(key, "step", "" if column.skipped else column.title, frame)
    title = f"{column.step}..{column.step + column.skipped - 1}" if column.skipped > 1 else str(column.step)
    return Scope(key, kind_frame, base, column.step, pill=Pill(kind_frame, title), reverse=reverse)


def _bind(
    drawer: Drawer,
    scope: Scope,
    inside: Scope,
    loop: Loop,
    previous: Scope | None,
    start: End | None,
    column: Column,
) -> None:
    for carry, name in zip(loop.carries, carry_names(loop), strict=True):
        inside.carries[carry.param] = name
        if previous is not None:
            inside.ends[carry.param] = Link(previous, carry.next)
        elif drawn_at_all(drawer, scope, carry.init):
            inside.ends[carry.param] = Link(scope, carry.init)
        else:
            inside.ends[carry.param] = start
    drawn = (s for s in loop.slices if not drawer.saved(s.sequence))
    inside.ends.update((s.param, Link(scope, s.sequence, column.step)) for s in drawn)
    enter(drawer, scope, inside, loop)


def _start(drawer: Drawer, scope: Scope, loop: Loop, frame: str) -> End | None:
    """One box for the states that begin with a written number."""
    named = zip(loop.carries, carry_names(loop), strict=True)
    lines = [
        f"{name} = {initial_text(c.init)}" for c, name in named if not drawn_at_all(drawer, scope, c.init)
    ]
    if not lines:
        return None
    column = drawer.sketch.frame(f"{frame}first", "step", "", frame)
    return drawer.sketch.later(
        Box(f"{frame}start", "state", "start", "", tuple(lines), "the first states", column)
    )


def _folded(drawer: Drawer, inside: Scope, loop: Loop, column: Column) -> None:
    """The middle: everything that its steps read goes into one box, and all they give comes from there."""
    last = column.step + column.skipped - 1
    tip = f"steps {column.step} to {last}, each like its neighbours"
    end = drawer.sketch.box(Box(f"{inside.key}fold", "folded", column.title, "", (), tip, inside.frame))
    for carry in loop.carries:
        drawer.sketch.want(inside, carry.param, end)
    for slice in loop.slices:
        drawer.sketch.want(inside, slice.param, end, ranked=True)
    inside.ends.update((value, end) for value in loop.results)


def _note_saved(drawer: Drawer, loop: Loop, frame: str) -> None:
    """One box says what each step reads from its twin in the forward pass; edges would hide the rest."""
    saved = [s.sequence for s in loop.slices if drawer.saved(s.sequence)]
    if saved:
        words = (f"{len(saved)} value{'s' * (len(saved) > 1)} of each", "step of the forward pass")
        drawer.sketch.box(
            Box(
                f"{frame}saved",
                "input",
                "saved",
                "",
                words,
                "what the forward pass stacks for this loop",
                frame,
            )
        )


def _leave(scope: Scope, node: Node, loop: Loop, steps: dict[int, Scope], last: Scope | None) -> None:
    assert last is not None
    for index, carry in enumerate(loop.carries):
        scope.ends[Value(node, index)] = Link(last, carry.next)
    for index, value in enumerate(loop.stacks, len(loop.carries)):
        scope.ends[Value(node, index)] = Rows({step: Link(inside, value) for step, inside in steps.items()})
