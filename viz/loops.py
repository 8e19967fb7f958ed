"""A loop as one closed box with labelled ports, or open: its body in a frame, with dashed edges to the next step."""

from __future__ import annotations

from collections.abc import Iterable

from rnngraph.ir.graph import PARAM, Loop, Node, Value, body_nodes, loop_of
from rnngraph.ir.text import name_of
from rnngraph.viz.draw import Drawer
from rnngraph.viz.groups import TRANSPARENT, Path
from rnngraph.viz.labels import carry_names, loop_title, op_text, place_text, shape_of, source_text, stack_names, tooltip
from rnngraph.viz.scene import Box, End, Port
from rnngraph.viz.sketch import Link, Scope


def title(drawer: Drawer, node: Node, base: Path) -> str:
    loop, block = loop_of(node), drawer.blocks.get(base)
    title = loop_title(loop, node.origin.backward)
    named = loop.label or (block.definition if block else "")
    return title if loop.label else title.replace("loop ", f"{named} ", 1) if named else title


def loop_frame(drawer: Drawer, scope: Scope, node: Node, body: list[Node]) -> tuple[str, Path]:
    """The loop's frame, and the instance that all of its body belongs to."""
    base = common(n.origin.path for n in body if n.op is not PARAM)
    path = node.origin.path
    around = path[:-1] if path and path == base else path
    parent = drawer.frame_of(scope, around, node.origin.backward)
    key = f"{scope.key}l{len(drawer.sketch.frames)}"
    tip = place_text(node.origin.span) if node.origin.span else ""
    drawer.sketch.frame(key, "loop", title(drawer, node, base or path), parent, tip)
    return key, base


def open_loop(drawer: Drawer, scope: Scope, node: Node) -> None:
    loop = loop_of(node)
    body = body_nodes(loop)
    frame, base = loop_frame(drawer, scope, node, body)
    inside = Scope(frame, frame, base)
    for index, (carry, name) in enumerate(zip(loop.carries, carry_names(loop), strict=True)):
        lines = () if drawn_at_all(drawer, scope, carry.init) else (f"first {initial_text(carry.init)}",)
        tip = tooltip(carry.param.node.origin.span, [carry.param.type], drawer.options.dtype)
        pill = Box(f"{frame}c{index}", "state", name, shape_of(carry.param), lines, tip, frame)
        end = inside.ends[carry.param] = drawer.sketch.box(pill)
        drawer.sketch.want(scope, carry.init, end, "state", "first")
    for index, slice in enumerate(loop.slices):
        slice_pill(drawer, scope, inside, slice.sequence, slice.param, f"{frame}s{index}")
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
        box = Box(f"{inside.key}t", "input", "t", "int", (), tip, inside.frame, row=f"{inside.row}:t")
        inside.ends[loop.counter] = drawer.sketch.later(box)


def slice_pill(drawer: Drawer, scope: Scope, inside: Scope, sequence: Value, param: Value, key: str) -> None:
    if not drawn_at_all(drawer, scope, sequence):
        return
    tip = tooltip(sequence.node.origin.span, [param.type], drawer.options.dtype)
    box = Box(key, "input", name_of(param) or "row", shape_of(param), ("each step",), tip, inside.frame)
    end = inside.ends[param] = drawer.sketch.box(box)
    drawer.sketch.want(scope, sequence, end)


def drawn_at_all(drawer: Drawer, scope: Scope, value: Value) -> bool:
    """Whether the value is drawn anywhere; a written number is not."""
    return bool(drawer.sketch.ends(scope, value))


def closed_loop(drawer: Drawer, scope: Scope, node: Node) -> None:
    loop = loop_of(node)
    key = f"{scope.key}loop{len(drawer.sketch.boxes)}"
    base = common(n.origin.path for n in body_nodes(loop) if n.op is not PARAM)
    path = node.origin.path
    around = path[:-1] if path and path == base else path
    incoming = ports_in(drawer, scope, loop, base)
    leaving = ports_out(drawer, loop)
    tip = tooltip(node.origin.span, node.types, drawer.options.dtype)
    kind = "backward" if node.origin.backward else "loop"
    drawer.sketch.box(Box(
        key, kind, title(drawer, node, base or path), "", (f"{len(body_nodes(loop)):,} nodes in one step",), tip,
        drawer.frame_of(scope, around, node.origin.backward), (*(p for p, _ in incoming), *leaving),
        f"{scope.row}:{key.removeprefix(scope.key)}" if scope.row else "",
    ))
    for port, value in incoming:
        drawer.sketch.want(scope, value, End(key, port.key))
    for index, port in enumerate(leaving):
        scope.ends[Value(node, index)] = End(key, port.key)


def ports_in(drawer: Drawer, scope: Scope, loop: Loop, base: Path) -> list[tuple[Port, Value]]:
    """Carries always; slices and captures unless they are written numbers."""
    found = [
        (Port(f"c{i}", "carry", name, shape_of(c.param)), c.init)
        for i, (c, name) in enumerate(zip(loop.carries, carry_names(loop), strict=True))
    ]
    found += [
        (Port(f"s{i}", "per step", name_of(s.param) or "row", shape_of(s.param)), s.sequence)
        for i, s in enumerate(loop.slices) if drawn_at_all(drawer, scope, s.sequence)
    ]
    return found + [
        (Port(f"k{i}", "captured", short_name(c.param, base) or "value", shape_of(c.param)), c.outer)
        for i, c in enumerate(loop.captures) if drawn_at_all(drawer, scope, c.outer)
    ]


def ports_out(drawer: Drawer, loop: Loop) -> list[Port]:
    finals = [Port(f"f{i}", "last", n, shape_of(c.next)) for i, (c, n) in enumerate(zip(loop.carries, carry_names(loop), strict=True))]
    stacks = [Port(f"o{i}", "stacked", n, shape_of(v)) for i, (v, n) in enumerate(zip(loop.stacks, stack_names(loop), strict=True))]
    return finals + stacks


def short_name(value: Value, base: Path) -> str:
    """A weight's name from the loop's own instance on."""
    return name_of(value).removeprefix(".".join(base) + ".")


def common(paths: Iterable[Path]) -> Path:
    """The longest path that begins all of them."""
    found: Path | None = None
    for path in paths:
        if found is None:
            found = path
        size = next((i for i, (a, b) in enumerate(zip(found, path, strict=False)) if a != b), min(len(found), len(path)))
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


def draw_loop(drawer: Drawer, scope: Scope, node: Node, opened: bool) -> None:
    """The loop of this scope, open or closed."""
    (open_loop if opened else closed_loop)(drawer, scope, node)
