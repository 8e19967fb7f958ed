"""A loop as one closed box with labelled ports, or open: its body in a frame, dashed edges to the next step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rnngraph.ir.graph import PARAM, Loop, Node, Slice, Value, body_nodes, loop_of
from rnngraph.ir.text import name_of
from rnngraph.viz.box_texts import (
    carry_names,
    loop_title,
    op_text,
    place_text,
    shape_of,
    source_text,
    stack_names,
    tooltip,
)
from rnngraph.viz.groups import TRANSPARENT, Path, constants
from rnngraph.viz.scene import Box, End, Port
from rnngraph.viz.scene_building import Drawer
from rnngraph.viz.scopes import Link, Scope


def title(drawer: Drawer, node: Node, base: Path) -> str:
    loop, block = loop_of(node), drawer.blocks.get(base)
    title = loop_title(loop)
    named = loop.label or (block.definition if block else "")
    return title if loop.label else title.replace("loop ", f"{named} ", 1) if named else title


def loop_frame(drawer: Drawer, scope: Scope, node: Node, body: list[Node]) -> tuple[str, Path]:
    """The loop's frame, and the instance that all of its body belongs to."""
    base = instance_of(body)
    parent = drawer.frame_of(scope, around(node, base))
    key = f"{scope.key}l{len(drawer.sketch.frames)}"
    tip = place_text(node.origin.span) if node.origin.span else ""
    drawer.sketch.frame(key, "loop", title(drawer, node, base or node.origin.path), parent, tip, base)
    return key, base


def around(node: Node, base: Path) -> Path:
    """The instance that the loop stands in: where it is the cell's own, the one outside."""
    path = node.origin.path
    return path[:-1] if path and path == base else path


def open_loop(drawer: Drawer, scope: Scope, node: Node, index: int) -> None:
    loop = loop_of(node)
    body = body_nodes(loop)
    frame, base = loop_frame(drawer, scope, node, body)
    inside = Scope(frame, frame, base, loop=node.origin)
    for index, (carry, name) in enumerate(zip(loop.carries, carry_names(loop), strict=True)):
        lines = () if drawn_at_all(drawer, scope, carry.init) else (f"first {initial_text(carry.init)}",)
        tip = tooltip(carry.param.node.origin.span, [carry.param.type], drawer.options.dtype)
        pill = Box(f"{frame}c{index}", "state", name, shape_of(carry.param), lines, tip, frame)
        end = inside.ends[carry.param] = drawer.sketch.box(pill)
        drawer.sketch.want(scope, carry.init, end, "state", "first")
    open_slices(drawer, scope, inside, loop)
    enter(drawer, scope, inside, loop)
    drawer.level(inside, body)
    for carry in loop.carries:
        head = inside.ends[carry.param]
        assert isinstance(head, End)
        drawer.sketch.want(inside, carry.next, head, "state", "next", back=True, ranked=False)
    scope.ends.update((Value(node, i), Link(inside, v)) for i, v in enumerate(loop.results))


def enter(drawer: Drawer, scope: Scope, inside: Scope, loop: Loop) -> None:
    """What is the same at every step is drawn where it is outside; the counter is a small box."""
    inside.ends.update((c.param, Link(scope, c.outer)) for c in loop.captures)
    if loop.counter is not None:
        tip = f"the step: 0, 1, 2, ... along {loop.axis}"
        box = Box(f"{inside.key}t", "input", "t", "int", (), tip, inside.frame)
        inside.ends[loop.counter] = drawer.sketch.later(box)


def open_slices(drawer: Drawer, scope: Scope, inside: Scope, loop: Loop) -> None:
    """A small box for each row that a step sees."""
    dtype, frame = drawer.options.dtype, inside.frame
    for (port, sequence), slice in zip(
        slice_ports(drawer, scope, loop), shown_slices(drawer, scope, loop), strict=True
    ):
        tip = tooltip(sequence.node.origin.span, [slice.param.type], dtype)
        pill = Box(f"{frame}{port.key}", "input", port.label, port.detail, ("each step",), tip, frame)
        end = inside.ends[slice.param] = drawer.sketch.box(pill)
        drawer.sketch.want(scope, sequence, end)


def shown_slices(drawer: Drawer, scope: Scope, loop: Loop) -> list[Slice]:
    return [s for s in loop.slices if drawn_at_all(drawer, scope, s.sequence)]


def drawn_at_all(drawer: Drawer, scope: Scope, value: Value) -> bool:
    """Whether the value is drawn anywhere; a written number is not."""
    return bool(drawer.sketch.ends(scope, value))


def closed_loop(drawer: Drawer, scope: Scope, node: Node, index: int) -> None:
    loop, body = loop_of(node), body_nodes(loop_of(node))
    key = f"{scope.key}/{scope.row}loop{index}"
    base = instance_of(body)
    incoming: PortsIn = [
        *carry_ports(loop),
        *slice_ports(drawer, scope, loop),
        *capture_ports(drawer, scope, loop, base),
    ]
    leaving = ports_out(node)
    drawer.sketch.box(
        Box(
            key,
            "loop",
            title(drawer, node, base or node.origin.path),
            "",
            (f"{len(body):,} nodes in one step",),
            tooltip(node.origin.span, node.types, drawer.options.dtype),
            drawer.frame_of(scope, around(node, base)),
            () if scope.pill else tuple(dict.fromkeys([*(port for port, _ in incoming), *leaving])),
            scope.slot(f"loop{index}"),
        )
    )
    drawer.nodes[key] = (*body, node)
    for port, value in incoming:
        drawer.sketch.want(scope, value, End(key, "" if scope.pill else port.key))
    for i, port in enumerate(leaving):
        scope.ends[Value(node, i)] = End(key, "" if scope.pill else port.key)


PortsIn = list[tuple[Port, Value]]
"""Each port with the value that goes in there."""


def carry_ports(loop: Loop) -> PortsIn:
    named = enumerate(zip(loop.carries, carry_names(loop), strict=True))
    return [(Port(f"c{i}", "carry", name, shape_of(c.param)), c.init) for i, (c, name) in named]


def slice_ports(drawer: Drawer, scope: Scope, loop: Loop) -> PortsIn:
    shown = shown_slices(drawer, scope, loop)
    return [
        (Port(f"s{i}", "per step", name_of(s.param) or "row", shape_of(s.param)), s.sequence)
        for i, s in enumerate(shown)
    ]


def capture_ports(drawer: Drawer, scope: Scope, loop: Loop, base: Path) -> PortsIn:
    shown = [c for c in loop.captures if drawn_at_all(drawer, scope, c.outer)]
    return [
        (Port(f"k{i}", "captured", short_name(c.param, base) or "value", shape_of(c.param)), c.outer)
        for i, c in enumerate(shown)
    ]


def ports_out(node: Node) -> list[Port]:
    """One for each result of the loop."""
    loop = loop_of(node)
    named = enumerate(zip(loop.carries, carry_names(loop), strict=True))
    finals = [Port(f"f{i}", "last", name, shape_of(c.next)) for i, (c, name) in named]
    values = [Value(node, i) for i in range(len(finals), len(node.types))]
    return finals + [
        Port(f"o{i}", "stacked", name, shape_of(v))
        for i, (v, name) in enumerate(zip(values, stack_names(loop), strict=True))
    ]


def short_name(value: Value, base: Path) -> str:
    """A weight's name from the loop's own instance on."""
    return name_of(value).removeprefix(".".join(base) + ".")


def instance_of(body: Sequence[Node]) -> Path:
    """The instance that all of a body belongs to, but for what is written or only spread."""
    return common(n.origin.path for n in computed(body))


def computed(body: Sequence[Node]) -> list[Node]:
    """The nodes of a body without those that are written or only spread."""
    hidden = constants(body)
    return [n for n in body if n.op is not PARAM and n not in hidden and n.op.name not in TRANSPARENT]


def common(paths: Iterable[Path]) -> Path:
    """The longest path that begins all of them."""
    found: Path | None = None
    for path in paths:
        if found is None:
            found = path
        size = next(
            (i for i, (a, b) in enumerate(zip(found, path, strict=False)) if a != b),
            min(len(found), len(path)),
        )
        found = found[:size]
    return found or ()


def initial_text(value: Value) -> str:
    """The written number that a state starts from, through what only spreads it."""
    while value.node.op.name in TRANSPARENT:
        value = value.node.inputs[0]
    if "value" in value.node.attrs:
        return f"{value.node.attrs['value']:g}"
    span = value.node.origin.span
    return source_text(span) if span else op_text(value.node)
