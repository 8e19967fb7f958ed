"""Under a picture: what its colours mean, and what was folded."""

from __future__ import annotations

from html import escape

from rnngraph.viz.palette import EDGE_LEGEND, LEGEND, Look, Paint
from rnngraph.viz.scene import Scene


def html(text: str) -> str:
    """As text in a label, whatever is in it; a backslash would begin a name of Graphviz's."""
    return escape(text).replace("\\", "&#92;")


def caption(scene: Scene, look: Look) -> str:
    """The legend of the kinds that occur, and what was folded."""
    legend = f"<TR><TD>{_legend(scene, look)}</TD></TR>" if look.legend else ""
    notes = "".join(f'<TR><TD><FONT COLOR="{look.theme.ink}">{html(n)}</FONT></TD></TR>' for n in scene.notes)
    return f'<<TABLE BORDER="0" CELLSPACING="0">{legend}{notes}</TABLE>>' if legend + notes else ""


def _legend(scene: Scene, look: Look) -> str:
    kinds = {box.kind for box in scene.boxes.values()}
    drawn = {edge.kind for edge in scene.edges}
    cells = [
        f'<TD WIDTH="12" HEIGHT="12" FIXEDSIZE="TRUE" BORDER="1" {colours(look.theme.kinds[kind])}></TD>'
        f'<TD BORDER="0">{html(LEGEND[kind])}   </TD>'
        for kind in LEGEND
        if kind in kinds
    ]
    cells += [
        f'<TD BORDER="0"><FONT COLOR="{look.theme.edges[kind]}"><FONT POINT-SIZE="15"><B>&rarr;</B></FONT></FONT></TD>'
        f'<TD BORDER="0">{html(EDGE_LEGEND[kind])}   </TD>'
        for kind in EDGE_LEGEND
        if kind in drawn
    ]
    half = -(-len(cells) // 2) if len(cells) > 12 else len(cells) or 1
    rows = [f"<TR>{''.join(cells[i : i + half])}</TR>" for i in range(0, len(cells), half)]
    inner = "".join(
        f'<TR><TD><TABLE BORDER="0" CELLSPACING="3" CELLPADDING="2">{row}</TABLE></TD></TR>' for row in rows
    )
    return f'<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="0"><TR><TD> </TD></TR>{inner}</TABLE>'


def colours(paint: Paint) -> str:
    return f'BGCOLOR="{paint.fill}" COLOR="{paint.line}"'
