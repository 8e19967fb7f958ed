"""A graph with loops becomes a scene: boxes of one level, closed loops, open loops."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.ir.graph import INPUT, PARAM, Graph, Node, Value
from rnngraph.ir.text import name_of
from rnngraph.language.elaboration.elaborated import Block
from rnngraph.viz.box_texts import (
    bytes_text,
    op_text,
    own_name,
    place_text,
    shape_of,
    tooltip,
    within,
    wrapped,
)
from rnngraph.viz.folded_steps import DEFAULT_STEPS
from rnngraph.viz.groups import HOLDING, TRANSPARENT, Close, Group, Path, chunks, groups_of, inner_groups, singles
from rnngraph.viz.scene import Box, End, Scene, Slot, key_of
from rnngraph.viz.scopes import Link, Rows, Scope, Sketch


class Options(Struct, frozen=True):
    """How much is drawn (levels 1 to 3 as in `picture`); `chunk` > 0 joins so many boxes to one."""

    unrolled: bool = False
    level: int = 3
    detail: bool = False
    steps: int | Mapping[str, int] = DEFAULT_STEPS
    fold: int = 6
    dtype: str = "float32"
    chunk: int = 0
    budget: int = 400
    turn: int = 0


DrawSteps = Callable[["Drawer", Scope, Group, int], bool]
"""Draws a group of the scope, if it is a loop or stands in the columns of steps; says whether it did."""


class Drawer:
    """Draws one graph into a sketch; `finish` gives the scene."""

    def __init__(
        self,
        graph: Graph,
        blocks: Mapping[Path, Block],
        close: Close,
        options: Options,
        draw_steps: DrawSteps,
        last_step: Callable[[Group, Value], int | None],
    ) -> None:
        self.graph, self.blocks, self.close, self.options = graph, blocks, close, options
        self.draw_steps, self.last_step = draw_steps, last_step
        self.sketch = Sketch(options.budget)
        self.weights: dict[Path, list[Node]] = {}
        self.nodes: dict[str, tuple[Node, ...]] = {}
        """What each box stands for."""
        self.inner: set[Group] = set()
        """Boxes that are pieces of an expression; the user's name belongs to the whole."""

    def finish(self, notes: tuple[str, ...] = ()) -> Scene:
        top = Scope("g")
        self.level(top, self.graph.nodes())
        for path, nodes in self.weights.items():
            self.parameters(path, nodes)
        self.outputs(top)
        return self.sketch.scene(notes)

    # --- one level --------------------------------------------------------------------------------------

    def level(self, scope: Scope, nodes: list[Node]) -> None:
        for node in nodes:
            if node.op is INPUT:
                self.input(scope, node)
        groups = self.groups(nodes)
        self.inner |= inner_groups(groups)
        for index, group in enumerate(groups):
            if not self.draw_steps(self, scope, group, index) and not self.transparent(scope, group):
                self.group(scope, group, f"n{index}")

    def groups(self, nodes: list[Node]) -> list[Group]:
        found = singles(nodes) if self.options.detail else groups_of(nodes, self.close)
        return chunks(found, self.options.chunk) if self.options.chunk else found

    def transparent(self, scope: Scope, group: Group) -> bool:
        """A node that only spreads or casts is drawn as its input."""
        if self.holds(scope, group):
            kept = group.root.inputs[1] if len(group.root.inputs) > 1 else None
            scope.ends[Value(group.root)] = Link(scope, kept) if kept else None
            return True
        if not self.only_spread(group):
            return False
        scope.ends[Value(group.root)] = Link(scope, group.root.inputs[0])
        return True

    def holds(self, scope: Scope, group: Group) -> bool:
        """Whether it only keeps the states of rows that have stopped, for the loop around it."""
        if scope.loop is None or self.options.detail or group.block is not None:
            return False
        span, path = scope.loop.span, scope.loop.path
        return all(
            n.op.name in HOLDING and n.origin.path == path and n.origin.span and span and within(n.origin.span, span)
            for n in group.nodes
        )

    def only_spread(self, group: Group) -> bool:
        single = len(group.nodes) == 1 and group.block is None
        return single and group.root.op.name in TRANSPARENT and not self.options.detail

    def group(self, scope: Scope, group: Group, row: str) -> None:
        end = self.box_in(scope, group, row)
        for value in group.outside():
            self.sketch.want(scope, value, end, step=self.last_step(group, value))

    def box_in(self, scope: Scope, group: Group, row: str) -> End:
        """The group's box, which its values are drawn as."""
        box = self.box_of(scope, group, f"{scope.key}/{scope.row}{row}")
        end = self.sketch.box(replace(box, slot=scope.slot(row)))
        self.nodes[box.key] = group.nodes
        for node in group.nodes:
            scope.ends.update((value, end) for value in node.values)
        return end

    def box_of(self, scope: Scope, group: Group, key: str) -> Box:
        if group.block is not None:
            return self.block_box(scope, group, key)
        frame = self.frame_of(scope, group.origin.path)
        others = [
            v.node.origin.span for v in group.outside() if v in scope.ends and v.node.op not in (INPUT, PARAM)
        ]
        text = group.text([s for s in others if s])
        return Box(
            key,
            group.kind,
            self.title_of(group),
            shape_of(Value(group.root)),
            wrapped(text),
            tooltip(group.span, group.root.types, self.options.dtype),
            frame,
        )

    def title_of(self, group: Group) -> str:
        if self.options.detail:
            return op_text(group.root)
        return "" if group in self.inner else group.names

    def block_box(self, scope: Scope, group: Group, key: str) -> Box:
        path = group.block or ()
        if not path:
            text = f"{len(group.nodes):,} operations"
            return Box(key, "folded", text, frame=scope.frame)
        block = self.blocks.get(path)
        name = ".".join(path[len(scope.base) :] or path[-1:])
        title = definition_of(block, path[-1])
        states = (
            [f"{own_name(s.name)} [{', '.join(map(str, s.shape))}]" for s in block.states]
            if block
            else []
        )
        return Box(
            key,
            group.kind,
            title,
            "" if name.lower() == title.lower() or not block else name,
            wrapped(", ".join(states)),
            tooltip(block.span if block else group.span, group.root.types, self.options.dtype),
            self.frame_of(scope, path[:-1]),
        )

    def frame_of(self, scope: Scope, path: Path) -> str:
        """The frame of an instance at this level, within those of the instances around it."""
        parent = scope.frame
        if path[: len(scope.base)] != scope.base:
            return parent
        for size in range(len(scope.base) + 1, len(path) + 1):
            block = self.blocks.get(path[:size])
            if self.blocks and not (block and block.definition):
                continue  # a pipe, or what a `for` made: no instance of anything
            name, title = path[size - 1], definition_of(block, path[size - 1])
            words = [title] + [name] * (name.lower() != title.lower())
            key = f"{scope.key}f{'.'.join(path[:size])}"
            note = place_text(block.span) if block and block.span else ""
            parent = self.sketch.frame(key, "block", " ".join(words), parent, note, path[:size])
        return parent

    # --- leaves -----------------------------------------------------------------------------------------

    def input(self, scope: Scope, node: Node) -> None:
        name = name_of(Value(node))
        if node.attrs["kind"] == "weight":
            path = tuple(name.removesuffix(own_name(name)).split(".")[:-1])
            self.weights.setdefault(path, []).append(node)
            scope.ends[Value(node)] = End(key_of("weights", *path))
            return
        kind = "state" if node.attrs["kind"] == "state" else "input"
        tip = tooltip(node.origin.span, node.types, self.options.dtype)
        box = Box(key_of("in", name), kind, name, shape_of(Value(node)), axes_line(node), tip)
        scope.ends[Value(node)] = self.sketch.later(box)

    def parameters(self, path: Path, nodes: list[Node]) -> None:
        """One note for the weights of an instance, drawn once however often they are used."""
        rows = [f"{own_name(name_of(Value(n)))} {shape_of(Value(n))}" for n in nodes]
        sizes = [f"{name_of(Value(n))}: {bytes_text(n.types[0], self.options.dtype)}" for n in nodes]
        places = dict.fromkeys(place_text(n.origin.span) for n in nodes if n.origin.span)
        tip = "\n".join([*places, *sizes][:40])
        self.sketch.later(
            Box(key_of("weights", *path), "parameter", ".".join(path) or "parameters", "", shortened(rows), tip)
        )

    def outputs(self, scope: Scope) -> None:
        """One box for each output; the parts of a record (`final.c`, `final.h`) have one between them."""
        records: dict[str, list[str]] = {}
        for name in self.graph.outputs:
            records.setdefault(name if self.is_loss(name) else re.split("[.:]", name)[0], []).append(name)
        if self.options.chunk:
            records = {f"{len(self.graph.outputs):,} outputs": list(self.graph.outputs)}
        for title, names in records.items():
            self.output(scope, title, names)

    def output(self, scope: Scope, title: str, names: list[str]) -> None:
        value = self.graph.outputs[names[0]]
        rows = scope.ends.get(value)
        if len(names) == 1 and isinstance(rows, Rows):
            for step, link in rows.steps.items():
                self.output_row(title, rows.axis, step, link)
            return
        if len(names) == 1 and self.is_loss(names[0]) and self.recoloured(scope, names[0], value):
            return
        end = self.sketch.box(self.output_box(title, names))
        for name in names:
            self.sketch.want(scope, self.graph.outputs[name], end)

    def output_box(self, title: str, names: list[str]) -> Box:
        values = [self.graph.outputs[name] for name in names]
        kind = "loss" if self.is_loss(names[0]) else "output"
        tips = [
            f"{n}: {v.type}, {bytes_text(v.type, self.options.dtype)}"
            for n, v in zip(names, values, strict=True)
        ]
        key, tip = key_of("out", title), "\n".join(tips[:40])
        if len(names) == 1:
            return Box(key, kind, names[0], shape_of(values[0]), axes_line(values[0].node), tip)
        lines = [
            f"{n.removeprefix(title).lstrip('.:')} {shape_of(v)}" for n, v in zip(names, values, strict=True)
        ]
        return Box(key, kind, title, "", shortened(lines), tip)

    def output_row(self, name: str, axis: str, step: int, link: Link) -> None:
        """The output's row at one step (or at the steps of one folded column)."""
        pill = self.sketch.columns[axis, step]
        tip = tooltip(link.value.node.origin.span, [link.value.type], self.options.dtype)
        slot = Slot(pill.axis, pill.column, key_of("out", name))
        box = Box(
            key_of("out", name, str(step)), "output", f"{name}[{pill.title}]", shape_of(link.value), (), tip,
            frame=pill.frame, slot=slot,
        )  # fmt: skip
        self.sketch.want(link.scope, link.value, self.sketch.box(box))

    def is_loss(self, name: str) -> bool:
        return name == "loss" or name.startswith("metric.")

    def recoloured(self, scope: Scope, name: str, value: Value) -> bool:
        """Whether the loss has a box of its own already, which then is its output too."""
        ends = self.sketch.ends(scope, value)
        box = self.sketch.boxes.get(ends[0].box) if len(ends) == 1 else None
        if box is None or box.kind not in ("pointwise", "shape"):
            return False
        self.sketch.boxes[box.key] = replace(box, kind="loss", title=name.removeprefix("metric."))
        return True


def definition_of(block: Block | None, name: str) -> str:
    """What the instance is an instance of; a pipe has only its name."""
    return (block.definition if block else "") or name


def shortened(lines: list[str], most: int = 12) -> tuple[str, ...]:
    """The lines, or the first of them and how many more there are."""
    return tuple(lines) if len(lines) <= most else (*lines[: most - 1], f"... {len(lines) - most + 1:,} more")


def axes_line(node: Node) -> tuple[str, ...]:
    """`a sequence` under the name of an input or output that has a time axis."""
    times = [a for t in node.types[:1] for a in t.axes if a != "batch"]
    return (f"every {' x '.join(times)} step",) if times else ()
