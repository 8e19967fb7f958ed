"""Loops drawn as their steps: columns from left to right, shared by all that happens along the axis.

What has a row for each step stands in the column of that step: the cells of all loops over the axis, in either
direction, and the layers outside of loops. The middle columns are drawn like the others; the layout makes one box
of each that stands for many steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rnngraph.ir.graph import LOOP, Loop, Node, Value, body_nodes, loop_of
from rnngraph.viz.box_texts import carry_names
from rnngraph.viz.folded_steps import Column, columns
from rnngraph.viz.groups import Group, Path, constants
from rnngraph.viz.loops import around, drawn_at_all, enter, initial_text, instance_of, title
from rnngraph.viz.scene import Box, Columns, End
from rnngraph.viz.scene_building import Drawer
from rnngraph.viz.scopes import Link, Pill, Rows, Scope

_SHIFT, _LAST = "shift", "last"


class Steps:
    """The columns of every axis that a loop of the graph runs along."""

    def __init__(self, nodes: Sequence[Node], steps: int | Mapping[str, int], fold: int, turn: int = 0) -> None:
        self.turn = turn
        self.loops: dict[str, list[Node]] = {}
        for node in nodes:
            if node.op is LOOP:
                self.loops.setdefault(loop_of(node).axis, []).append(node)
        self.shown: dict[str, tuple[Column, ...]] = {
            axis: columns(axis, turn or steps, max(turn, fold)) for axis in self.loops
        }

    def alone(self, axis: str) -> bool:
        return len(self.loops[axis]) == 1

    def scope(self, drawer: Drawer, axis: str, index: int, row: str, base: Path = ()) -> Scope:
        """The column of one step, and what draws in it."""
        column, key = self.shown[axis][index], f"{axis}@{index}"
        owner = base if self.alone(axis) else ()
        frame = drawer.sketch.frame(key, "step", self.said(column), "", "", owner)
        last = column.step + column.skipped - 1
        name = f"{column.step}..{last}" if column.skipped > 1 else self.said(column).removeprefix("t = ")
        pill = Pill(frame, name, axis, index, bool(column.skipped))
        drawer.sketch.columns[axis, column.step] = pill
        if axis not in drawer.sketch.axes:
            drawer.sketch.axes[axis] = self.heading(drawer, axis)
        return Scope(key, frame, base, row, pill)

    def said(self, column: Column) -> str:
        """`t = 3`; in one turn of a loop of several steps `t + 3`."""
        if not self.turn:
            return column.title
        return f"t + {column.step}" if column.step else "t"

    def heading(self, drawer: Drawer, axis: str) -> Columns:
        node = self.loops[axis][0]
        base = instance_of(body_nodes(loop_of(node)))
        over = f"over {axis}" if "@" not in axis else f"for {axis.split('@')[0]} steps"
        text = title(drawer, node, base or node.origin.path) if self.alone(axis) else over
        shown = self.shown[axis]
        folded = tuple(c.skipped > 1 for c in shown)
        return Columns(text, tuple(map(self.said, shown)), folded, tuple(c.step for c in shown))

    # --- what stands in columns ------------------------------------------------------------------------------

    def last_step(self, group: Group, value: Value) -> int | None:
        """The last step of its axis, where the group reads nothing else of the value."""
        readers = [n for n in group.nodes if value in n.inputs]
        if not readers or any(n.op.name != _LAST for n in readers):
            return None
        shown = self.shown.get(readers[0].attrs["axis"])
        return shown[-1].step if shown else None

    def axis_of(self, group: Group) -> str | None:
        """The axis that all of the group runs along, each step for itself."""
        return next((a for a in self.loops if a in group.root.types[0].axes and _each_step(group, a)), None)

    def draw_group(self, drawer: Drawer, top: Scope, group: Group, index: int, axis: str) -> None:
        """A box in each column."""
        shown = self.shown[axis]
        made: dict[int, Link] = {}
        shifted = {v: n.attrs["by"] for n in group.nodes if n.op.name == _SHIFT for v in n.inputs}
        plain = {v for n in group.nodes if n.op.name != _SHIFT for v in n.inputs}
        for i, column in enumerate(shown):
            inside = self.scope(drawer, axis, i, f"n{index}")
            inside.ends.update((v, Link(top, v, column.step)) for v in group.outside())
            end = drawer.box_in(inside, group, f"n{index}")
            for value in group.outside():
                if value in plain:
                    drawer.sketch.want(inside, value, end)
                at = i - int(shifted.get(value, 0))
                if value in shifted and 0 <= at < len(shown):
                    drawer.sketch.want(top, value, end, step=shown[at].step)
            made[column.step] = Link(inside, Value(group.root))
        for value in (v for n in group.nodes for v in n.values):
            top.ends[value] = Rows(axis, {step: Link(link.scope, value) for step, link in made.items()})

    def draw_loop(self, drawer: Drawer, top: Scope, node: Node, index: int) -> None:
        """Each column sees the column before it (or after it, where the loop runs backwards) as its states."""
        loop, body = loop_of(node), body_nodes(loop_of(node))
        shown, base = self.shown[loop.axis], instance_of(body)
        base = base if self.alone(loop.axis) else ()
        start = self.start(drawer, top, loop, f"l{index}")
        previous: Scope | None = None
        made: dict[int, Scope] = {}
        order = range(len(shown))
        for i in reversed(order) if loop.reverse else order:
            inside = self.scope(drawer, loop.axis, i, f"l{index}", base)
            inside.loop = node.origin
            _bind(drawer, top, inside, loop, previous, start, shown[i], bool(self.turn))
            drawer.level(inside, body)
            made[shown[i].step] = previous = inside
        assert previous is not None
        if start and self.turn:
            for carry in loop.carries:
                drawer.sketch.want(previous, carry.next, start, "state", "next", back=True)
        for i, carry in enumerate(loop.carries):
            top.ends[Value(node, i)] = Link(previous, carry.next)
        for i, value in enumerate(loop.stacks, len(loop.carries)):
            top.ends[Value(node, i)] = Rows(loop.axis, {c.step: Link(made[c.step], value) for c in shown})

    def start(self, drawer: Drawer, top: Scope, loop: Loop, row: str) -> End | None:
        """One box for the states that begin with a written number."""
        named = list(zip(loop.carries, carry_names(loop), strict=True))
        if self.turn:
            lines = [f"{name}, first {initial_text(c.init)}" for c, name in named]
            key = f"{loop.axis}/{row}/states"
            states = Box(key, "state", "at t", "", tuple(lines), "the states at the beginning of a turn")
            end = drawer.sketch.box(states)
            for carry, _ in named:
                drawer.sketch.want(top, carry.init, end, "state", "first")
            return end
        lines = [f"{name} = {initial_text(c.init)}" for c, name in named if not drawn_at_all(drawer, top, c.init)]
        first = Box(f"{loop.axis}/{row}/start", "state", "start", "", tuple(lines), "the first states")
        return drawer.sketch.later(first) if lines else None


def _bind(
    drawer: Drawer, top: Scope, inside: Scope, loop: Loop, previous: Scope | None, start: End | None, column: Column,
    turning: bool,
) -> None:
    for carry, name in zip(loop.carries, carry_names(loop), strict=True):
        inside.carries[carry.param] = name
        if previous is not None:
            inside.ends[carry.param] = Link(previous, carry.next)
        elif drawn_at_all(drawer, top, carry.init) and not turning:
            inside.ends[carry.param] = Link(top, carry.init)
        else:
            inside.ends[carry.param] = start
    inside.ends.update((s.param, Link(top, s.sequence, column.step)) for s in loop.slices)
    enter(drawer, top, inside, loop)


def _each_step(group: Group, axis: str) -> bool:
    """Whether no node of the group looks at other steps; a shift by one looks at a neighbour."""
    hidden = constants(group.nodes)
    inside = set(group.nodes)
    return all(node in hidden or _own_step(node, axis, inside) for node in group.nodes)


def _own_step(node: Node, axis: str, inside: set[Node]) -> bool:
    if node.op.name == _SHIFT and node.attrs["axis"] == axis:
        return abs(node.attrs["by"]) == 1 and node.inputs[0].node not in inside
    if node.op is LOOP or node.attrs.get("axis") == axis or axis in node.attrs.get("reduce", ()):
        return False
    reads = any(axis in v.type.axes for v in node.inputs)
    return not reads or (all(axis in t.axes for t in node.types) and not _over(node, axis))


def _over(node: Node, axis: str) -> bool:
    return node.op.name != "spread" and axis in node.attrs.get("axes", ())


def stepping(nodes: Iterable[Node]) -> frozenset[Path]:
    """The instances that hold loops of the top level: closed, their steps could not be drawn."""
    found: set[Path] = set()
    for node in nodes:
        if node.op is LOOP:
            path = around(node, instance_of(body_nodes(loop_of(node))))
            found.update(path[:size] for size in range(1, len(path) + 1))
    return frozenset(found)
