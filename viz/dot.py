"""A scene as DOT, through the graphviz package: for measuring boxes, for laying out, and with everything placed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import graphviz
from msgspec.structs import replace

from rnngraph.viz.bands import ASIDE
from rnngraph.viz.geometry import Area, Drawn, Places, Point, around
from rnngraph.viz.legend import caption, colours, html
from rnngraph.viz.palette import FONT, Look, Paint, Theme
from rnngraph.viz.scene import Box, Edge, End, Frame, Port, Scene
from rnngraph.viz.text_width import text_width

_ROLES = {
    "carry": "state",
    "last": "state",
    "per step": "input",
    "captured": "parameter",
    "stacked": "pointwise",
}
_SMALL = {
    "name": {"shape": "plaintext", "style": "", "fontsize": "9.5", "margin": "0"},
    "fork": {"shape": "point", "style": "filled"},
    "state fork": {"shape": "point", "style": "filled"},
}
"""What stands at the wires of a cell: names, and the dots where they fork."""
_MANY_EDGES = 600
PARAMETER_GAP = 14.0


def measuring(scene: Scene, look: Look) -> str:
    """Every box by itself; `dot` tells how large each is."""
    dot = _digraph(look)
    for box in scene.boxes.values():
        dot.node(box.key, **_box_look(box, look))
    return str(dot.source)


def laying_out(scene: Scene, look: Look) -> str:
    """Boxes, frames and edges for `dot` to lay out; what parameters there are stands below, by itself."""
    ranks = {"up": "BT", "right": "LR"}.get(look.direction, "TB")
    many = len(scene.edges) > _MANY_EDGES
    dot = _digraph(
        look, rankdir=ranks, nodesep="0.28", ranksep="0.38", nslimit="4", nslimit1="4", mclimit="0.5" if many else "1"
    )
    _fill(dot, scene, look, "")
    for edge in scene.edges:
        dot.edge(_end(edge.tail, "s"), _end(edge.head, "n"), **_edge_look(edge, look.theme))
    return str(dot.source)


def placed(scene: Scene, places: Places, look: Look) -> str:
    """Everything at its place, for `neato -n2`, which draws and moves nothing."""
    dot = _digraph(look, label=caption(scene, look), labelloc="b", tooltip=look.title or " ")
    for index, (frame, area, (x, y), badge) in enumerate(places.frames):
        shown = replace(frame, badges=()) if badge else frame
        attrs = _frame_look(shown, look.theme) | {"bb": _bb(area), "lp": f"{x:.1f},{y:.1f}"}
        if badge:
            _badge(dot, frame, badge, look.theme)
        with dot.subgraph(name=f"cluster_{index}", graph_attr=attrs):
            pass
    for key, spot in places.spots.items():
        size = {"width": f"{spot.width / 72:.3f}", "height": f"{spot.height / 72:.3f}", "fixedsize": "true"}
        attrs = _box_look(scene.boxes[key], look) | {"pos": f"{spot.x:.1f},{spot.y:.1f}"}
        dot.node(key, **attrs, **(size if scene.boxes[key].kind == "folded" or scene.cell else {}))
    if look.title:
        _title(dot, places, look)
    for drawn in places.edges:
        _curve(dot, drawn, look.theme)
    return str(dot.source)


def _badge(dot: Any, frame: Frame, place: Point, theme: Theme) -> None:
    dot.node(
        f"badge {frame.key} {place}".replace(":", ""), shape="plaintext", style="", fontcolor=theme.parameter,
        margin="0", height="0.1", width="0.1", pos=f"{place[0]:.1f},{place[1]:.1f}", tooltip="parameters",
        label=" ".join(f"θ {badge}" for badge in frame.badges),
    )  # fmt: skip


def _title(dot: Any, places: Places, look: Look) -> None:
    whole = around([*(s.area for s in places.spots.values()), *(f.area for f in places.frames)])
    x = whole.left + text_width(look.title, 16, bold=True) / 2
    dot.node(
        "picture title", shape="plaintext", style="", fontsize="16", fontcolor=look.theme.ink, tooltip=look.title,
        label=f"<<B>{html(look.title)}</B>>", pos=f"{x:.1f},{whole.top + 24:.1f}",
    )  # fmt: skip


def _curve(dot: Any, drawn: Drawn, theme: Theme) -> None:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn.curve)
    arrow = f"e,{drawn.tip[0]:.1f},{drawn.tip[1]:.1f} " if drawn.tip else ""
    attrs = _edge_look(drawn.edge, theme) | {"pos": arrow + points} | ({} if arrow else {"dir": "none"})
    attrs.pop("label", None)
    if drawn.label and drawn.edge.label:
        attrs |= {"label": drawn.edge.label, "lp": f"{drawn.label[0]:.1f},{drawn.label[1]:.1f}"}
    tail, head = drawn.ends
    dot.edge(tail or _end(drawn.edge.tail, "s"), head or _end(drawn.edge.head, "n"), **attrs)


def _bb(area: Area) -> str:
    return f"{area.left:.1f},{area.bottom:.1f},{area.right:.1f},{area.top:.1f}"


def _digraph(look: Look, **page: str) -> Any:
    theme = look.theme
    general = {"bgcolor": theme.page, "fontname": FONT, "fontsize": "11", "fontcolor": theme.soft, "pad": "0.25"}
    return graphviz.Digraph("model", graph_attr=general | page, node_attr=_node(theme), edge_attr=_edge(theme))


def _node(theme: Theme) -> dict[str, str]:
    return {
        "shape": "box",
        "style": "rounded,filled",
        "fontname": FONT,
        "fontsize": "11",
        "fontcolor": theme.ink,
        "penwidth": "1.1",
        "margin": "0.13,0.07",
        "height": "0.3",
        "width": "0.5",
    }


def _edge(theme: Theme) -> dict[str, str]:
    return {
        "arrowsize": "0.55",
        "penwidth": "1.1",
        "color": theme.soft,
        "fontname": FONT,
        "fontsize": "9.5",
        "fontcolor": theme.soft,
        "arrowhead": "normal",
    }


def _fill(dot: Any, scene: Scene, look: Look, key: str) -> None:
    """Boxes within frames, frames within frames."""
    for box in scene.boxes.values():
        if box.frame == key and box.kind not in ASIDE:
            dot.node(box.key, **_box_look(box, look))
    used = {frame for box in scene.boxes.values() for frame in scene.chain(box.frame)}
    for frame in scene.frames.values():
        if frame.parent == key and frame.key in used:
            with dot.subgraph(
                name=f"cluster_{frame.key}", graph_attr=_frame_look(frame, look.theme)
            ) as part:
                _fill(part, scene, look, frame.key)


def _frame_look(frame: Frame, theme: Theme) -> dict[str, str]:
    paint = theme.frames[frame.kind]
    badges = "".join(f' <FONT COLOR="{theme.parameter}">&theta; {html(badge)}</FONT>' for badge in frame.badges)
    return {
        "label": f"<{html(frame.title)}{badges}>" if frame.title or badges else "",
        "style": "rounded,filled",
        "fillcolor": paint.fill,
        "color": paint.line,
        "fontname": FONT,
        "fontcolor": theme.ink if frame.kind == "loop" else theme.soft,
        "labeljust": "l",
        "labelloc": "t",
        "margin": "12",
        "fontsize": "11",
        "tooltip": frame.tooltip or frame.title or " ",
    }


def _box_look(box: Box, look: Look) -> dict[str, str]:
    paint = look.theme.kinds.get(box.kind, look.theme.kinds["shape"])
    style = {
        "fillcolor": paint.fill,
        "color": paint.line,
        "fontcolor": paint.text,
        "tooltip": box.tooltip or box.title or " ",
    }
    if box.ports:
        return {**style, "shape": "plain", "style": "", "label": f"<{_port_table(box, paint, look)}>"}
    if box.kind in ASIDE:
        style |= {"shape": "note", "style": "filled"}
    if box.kind == "folded":
        style |= {"style": "rounded,filled,dashed", "margin": "0.2,0.15"}
    if box.kind == "block":
        style |= {"penwidth": "1.6", "margin": "0.2,0.12"}
    if box.kind in ("input", "output", "state", "loss"):
        style |= {"margin": "0.15,0.05"}
    if box.kind == "gate":
        style |= {"style": "filled", "margin": "0.1,0.05"}
    if box.round:
        size = "15" if len(box.title) == 1 else "12"
        return {**style, "shape": "ellipse", "style": "filled", "fontsize": size, "label": box.title}
    if box.kind in _SMALL:
        soft, line = look.theme.soft, look.theme.edges["state" if box.kind == "state fork" else "data"]
        return {**style, **_SMALL[box.kind], "fontcolor": soft, "color": line, "fillcolor": line, "label": box.title}
    return {**style, "label": f"<{_text(box, paint, look)}>"}


def _text(box: Box, paint: Paint, look: Look) -> str:
    soft = look.theme.soft if paint.text == look.theme.ink else paint.text
    detail = box.detail if look.shapes else ""
    heads = [f"<B>{html(_name(box))}</B>"] * bool(box.title)
    heads += [f'<FONT COLOR="{soft}" POINT-SIZE="9.5">{html(detail)}</FONT>'] * bool(detail and box.title)
    lines = [_said(line, box, look) for line in box.lines]
    if detail and not box.title and lines:
        lines[-1] += f'  <FONT COLOR="{soft}" POINT-SIZE="9.5">{html(detail)}</FONT>'
    size = "10" if box.title else "11"
    text = ["  ".join(heads)] * bool(heads) + [f'<FONT POINT-SIZE="{size}">{line}</FONT>' for line in lines]
    text += [
        f'<FONT COLOR="{look.theme.parameter}" POINT-SIZE="9.5">{html(_badged(box, badge))}</FONT>'
        for badge in box.badges
    ]
    return "<BR/>".join(text) or " "


def _badged(box: Box, badge: str) -> str:
    return f"adds to dL/dθ {badge}" if box.kind == "backward" else f"θ {badge}"


def _name(box: Box) -> str:
    return f"θ {box.title}" if box.kind == "parameter" else box.title


def _said(line: str, box: Box, look: Look) -> str:
    """A line of an equation, parameters in their colour; of a parameter box without shapes, its names."""
    if box.kind in ("parameter", "output") and not look.shapes:
        line = line.split(" [")[0]
    text = html(line)
    if box.weights:
        names = "|".join(map(re.escape, sorted(box.weights, key=len, reverse=True)))
        text = re.sub(rf"\b({names})\b", rf'<FONT COLOR="{look.theme.parameter}">\1</FONT>', text)
    return text


def _port_table(box: Box, paint: Paint, look: Look) -> str:
    """A closed loop: what goes in along its top, what comes out along its bottom, each with its role."""
    top = [p for p in box.ports if p.role in ("carry", "per step")]
    bottom = [p for p in box.ports if p.role in ("stacked", "last")]
    badges = "".join(f' <FONT COLOR="{look.theme.parameter}">&theta; {html(b)}</FONT>' for b in box.badges)
    middle = (
        f'<TR><TD BORDER="0" CELLPADDING="7"><B><FONT POINT-SIZE="12">{html(box.title)}</FONT></B>{badges}<BR/>'
        f'<FONT COLOR="{look.theme.soft}" POINT-SIZE="9.5">{html(" ".join(box.lines))}</FONT></TD></TR>'
    )
    return (
        f'<TABLE STYLE="ROUNDED" BORDER="1.4" CELLBORDER="0" CELLSPACING="4" CELLPADDING="1" {colours(paint)}>'
        f"{_port_row(top, look)}{middle}{_port_row(bottom, look)}</TABLE>"
    )


def _port_row(ports: Iterable[Port], look: Look) -> str:
    soft, kinds = look.theme.soft, look.theme.kinds
    cells = "".join(
        f'<TD PORT="{p.key}" BORDER="1" STYLE="ROUNDED" CELLPADDING="4" {colours(kinds[_ROLES[p.role]])}>'
        f'<FONT COLOR="{soft}" POINT-SIZE="8.5">{p.role}</FONT><BR/>'
        f'<B>{html(p.label)}</B> <FONT COLOR="{soft}" POINT-SIZE="9.5">'
        f"{html(p.detail) if look.shapes else ''} </FONT></TD>"
        for p in ports
    )
    if not cells:
        return ""
    row = f'<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="5" CELLPADDING="0"><TR>{cells}</TR></TABLE>'
    return f"<TR><TD>{row}</TD></TR>"


def _end(end: End, side: str) -> str:
    return f"{end.box}:{end.port}:{side}" if end.port else end.box


def _edge_look(edge: Edge, theme: Theme) -> dict[str, str]:
    look = {"color": theme.edges[edge.kind], "tooltip": edge.note or edge.label or edge.kind}
    if edge.kind == "state":
        look |= {"penwidth": "1.7", "fontcolor": theme.edges["state"]}
    if edge.kind in ("kept", "again"):
        look |= {"penwidth": "1.3", "arrowsize": "0.5"}
    if edge.kind == "backward":
        look["fontcolor"] = theme.edges["backward"]
    if edge.back:
        look["style"] = "dashed"
    if not edge.ranked:
        look["constraint"] = "false"
    if edge.label:
        look["label"] = f" {edge.label} "
    return look
