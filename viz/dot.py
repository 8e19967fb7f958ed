"""A scene as DOT, through the graphviz package: the look of boxes, frames and edges, rows and lanes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from html import escape
from itertools import pairwise
from typing import Any

import graphviz

from rnngraph.viz.palette import EDGES, FAINT, FONT, FRAMES, INK, KINDS, LEGEND, PAGE, SOFT, Paint
from rnngraph.viz.placement import Places, in_order, inside
from rnngraph.viz.scene import Box, Edge, End, Frame, Port, Scene

_ROLES = {
    "carry": "state",
    "last": "state",
    "per step": "input",
    "captured": "parameter",
    "stacked": "pointwise",
}
_MANY_EDGES = 600


def digraph(scene: Scene, title: str = "", places: Places | None = None) -> Any:
    """The DOT text of a scene: for `dot`, or with places for `neato -n`."""
    dot = graphviz.Digraph("model", graph_attr=_page(scene, title), node_attr=_node(), edge_attr=_edge())
    _Writer(scene, places).fill(dot, "")
    if places is None:
        _columns(dot, scene)
    for edge in scene.edges:
        look = _edge_look(edge)
        if edge.backwards:
            dot.edge(_end(edge.head, "n"), _end(edge.tail, "s"), dir="back", **look)
        else:
            dot.edge(_end(edge.tail, "s"), _end(edge.head, "n"), **look)
    return dot


def _page(scene: Scene, title: str) -> dict[str, str]:
    return {
        "rankdir": "LR" if scene.lanes else "TB",
        "bgcolor": PAGE,
        "fontname": FONT,
        "fontsize": "11",
        "fontcolor": SOFT,
        "nodesep": "0.28",
        "ranksep": _rank_gap(scene),
        "pad": "0.25",
        "label": _caption(scene, title),
        "labelloc": "b",
        "nslimit": "4",
        "nslimit1": "4",
        "mclimit": "0.5" if len(scene.edges) > _MANY_EDGES else "1",
        "tooltip": title or " ",
    }


def _rank_gap(scene: Scene) -> str:
    """Inches; columns whose boxes stand in frames of their own need more room between them."""
    if not scene.lanes:
        return "0.38"
    steps = {frame.key for frame in scene.frames.values() if frame.kind == "step"}
    return "0.85" if any(frame.parent in steps for frame in scene.frames.values()) else "0.5"


def _node() -> dict[str, str]:
    return {
        "shape": "box",
        "style": "rounded,filled",
        "fontname": FONT,
        "fontsize": "11",
        "fontcolor": INK,
        "penwidth": "1.1",
        "margin": "0.13,0.07",
        "height": "0.3",
        "width": "0.5",
    }


def _edge() -> dict[str, str]:
    return {
        "arrowsize": "0.55",
        "penwidth": "1.1",
        "color": SOFT,
        "fontname": FONT,
        "fontsize": "9.5",
        "fontcolor": SOFT,
        "arrowhead": "normal",
    }


def _caption(scene: Scene, title: str) -> str:
    """The legend of the kinds that occur, and what was folded."""
    present = {box.kind for box in scene.boxes.values()}
    cells = ""
    for kind in (k for k in LEGEND if k in present):
        paint = KINDS[kind]
        cells += (
            f'<TD WIDTH="12" HEIGHT="12" FIXEDSIZE="TRUE" BORDER="1" {_colours(paint)}></TD>'
            f'<TD BORDER="0">{escape(LEGEND[kind])}   </TD>'
        )
    rows = f"<TR><TD BORDER='0'> </TD></TR><TR>{cells}</TR>" if cells else "<TR><TD> </TD></TR>"
    table = f'<TABLE BORDER="0" CELLSPACING="3" CELLPADDING="2">{rows}</TABLE>'
    notes = "".join(
        f'<TR><TD><FONT COLOR="{INK}">{escape(note)}</FONT></TD></TR>'
        for note in (title, *scene.notes)
        if note
    )
    return f'<<TABLE BORDER="0" CELLSPACING="0"><TR><TD>{table}</TD></TR>{notes}</TABLE>>'


class _Writer:
    """Boxes within frames, frames within frames; at their places where these are known."""

    def __init__(self, scene: Scene, places: Places | None) -> None:
        self.scene, self.places = scene, places
        self.within = inside(scene)
        self.children: dict[str, list[Frame]] = defaultdict(list)
        for frame in scene.frames.values():
            self.children[frame.parent].append(frame)

    def fill(self, dot: Any, key: str) -> None:
        for box in self.scene.boxes.values():
            if box.frame == key:
                dot.node(box.key, **_box_look(box), **self.spot(box))
        for frame in self.children[key]:
            if self.within[frame.key]:
                with dot.subgraph(
                    name=f"cluster_{frame.key}", graph_attr=_frame_look(frame) | self.area(frame)
                ) as part:
                    self.stack(part, frame) if self.stacked(frame) else self.fill(part, frame.key)

    def stacked(self, frame: Frame) -> bool:
        return frame.kind == "step" and self.places is None

    def stack(self, dot: Any, frame: Frame) -> None:
        """A step as one rank; the frames in it are drawn when its boxes have their places."""
        with dot.subgraph(graph_attr={"rank": "same"}) as column:
            for key in in_order(self.within[frame.key], self.scene):
                column.node(key, **_box_look(self.scene.boxes[key]))

    def spot(self, box: Box) -> dict[str, str]:
        if self.places is None:
            return {}
        spot = self.places.spots[box.key]
        return {"pos": f"{spot.x:.1f},{spot.y:.1f}!"}

    def area(self, frame: Frame) -> dict[str, str]:
        if self.places is None:
            return {}
        area = self.places.areas[frame.key]
        wide = 0.27 * len(frame.title) * float(_frame_look(frame)["fontsize"])
        return {"bb": str(area), "lp": f"{area.left + 9 + wide:.1f},{area.top - 11:.1f}"}


def _frame_look(frame: Frame) -> dict[str, str]:
    paint = FRAMES[frame.kind]
    return {
        "label": frame.title,
        "style": "rounded,filled" if frame.title else "invis",
        "fillcolor": paint.fill,
        "color": paint.line,
        "fontname": FONT,
        "fontcolor": "#334155",
        "labeljust": "l",
        "labelloc": "t",
        "margin": "12",
        "fontsize": "12" if frame.kind == "loop" else "11",
        "tooltip": frame.tooltip or frame.title or " ",
    }


def _columns(dot: Any, scene: Scene) -> None:
    """Invisible edges from each column to the next: ranks are kept whatever else the layout has to weigh."""
    within = inside(scene)
    for lane in scene.lanes:
        columns = [within[frame] for frame in lane if within[frame]]
        for left, right in pairwise(columns):
            dot.edge(left[0], right[0], style="invis", weight="1")


def _box_look(box: Box) -> dict[str, str]:
    paint = KINDS[box.kind]
    look = {
        "fillcolor": paint.fill,
        "color": paint.line,
        "fontcolor": paint.text,
        "tooltip": box.tooltip or box.title or " ",
    }
    if box.ports:
        return {**look, "shape": "plain", "style": "", "label": f"<{_port_table(box, paint)}>"}
    if box.kind == "parameter":
        look |= {"shape": "note", "style": "filled"}
    if box.kind == "folded":
        look |= {"style": "rounded,filled,dashed", "margin": "0.2,0.15"}
    if box.kind == "block":
        look |= {"penwidth": "1.6", "margin": "0.2,0.12"}
    if box.kind in ("input", "output", "state", "loss"):
        look |= {"margin": "0.15,0.05"}
    return {**look, "label": f"<{_text(box, paint)}>"}


def _text(box: Box, paint: Paint) -> str:
    soft = "#cbd5e1" if paint.text == "#ffffff" else SOFT
    heads = [f"<B>{escape(box.title)}</B>"] * bool(box.title)
    heads += [f'<FONT COLOR="{soft}" POINT-SIZE="9.5">{escape(box.detail)}</FONT>'] * bool(
        box.detail and box.title
    )
    lines = [escape(line) for line in box.lines]
    if box.detail and not box.title and lines:
        lines[-1] += f'  <FONT COLOR="{soft}" POINT-SIZE="9.5">{escape(box.detail)}</FONT>'
    size = "10" if box.title else "11"
    text = ["  ".join(heads)] * bool(heads) + [f'<FONT POINT-SIZE="{size}">{line}</FONT>' for line in lines]
    return "<BR/>".join(text) or " "


def _port_table(box: Box, paint: Paint) -> str:
    """A closed loop: what goes in along its top, what comes out along its bottom, each with its role."""
    top = [p for p in box.ports if p.role in ("carry", "per step", "captured")]
    bottom = [p for p in box.ports if p.role in ("stacked", "last")]
    middle = (
        f'<TR><TD BORDER="0" CELLPADDING="7"><B><FONT POINT-SIZE="12">{escape(box.title)}</FONT></B><BR/>'
        f'<FONT COLOR="{SOFT}" POINT-SIZE="9.5">{escape(" ".join(box.lines))}</FONT></TD></TR>'
    )
    return (
        f'<TABLE STYLE="ROUNDED" BORDER="1.4" CELLBORDER="0" CELLSPACING="4" CELLPADDING="1" {_colours(paint)}>'
        f"{_port_row(top)}{middle}{_port_row(bottom)}</TABLE>"
    )


def _port_row(ports: Iterable[Port]) -> str:
    cells = "".join(
        f'<TD PORT="{p.key}" BORDER="1" STYLE="ROUNDED" CELLPADDING="4" {_colours(KINDS[_ROLES[p.role]])}>'
        f'<FONT COLOR="{SOFT}" POINT-SIZE="8.5">{p.role}</FONT><BR/>'
        f'<B>{escape(p.label)}</B> <FONT COLOR="{SOFT}" POINT-SIZE="9.5">{escape(p.detail)}</FONT></TD>'
        for p in ports
    )
    if not cells:
        return ""
    row = f'<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="5" CELLPADDING="0"><TR>{cells}</TR></TABLE>'
    return f"<TR><TD>{row}</TD></TR>"


def _colours(paint: Paint) -> str:
    return f'BGCOLOR="{paint.fill}" COLOR="{paint.line}"'


def _end(end: End, side: str) -> str:
    return f"{end.box}:{end.port}:{side}" if end.port else end.box


def _edge_look(edge: Edge) -> dict[str, str]:
    look = {"color": EDGES[edge.kind], "tooltip": edge.label or edge.kind}
    if edge.kind == "state":
        look |= {"penwidth": "1.7", "fontcolor": "#b45309"}
    elif edge.kind == "parameter":
        look |= {"penwidth": "1.0", "arrowsize": "0.45", "color": FAINT if edge.back else EDGES["parameter"]}
    if edge.back:
        look["style"] = "dashed"
    if not edge.ranked:
        look["constraint"] = "false"
    if edge.label:
        look["label"] = f" {edge.label} "
    return look
