"""The one palette: a light page, one colour for each kind of box, the two modes, the fonts."""

from __future__ import annotations

from typing import NamedTuple


class Paint(NamedTuple):
    """Colours of one kind of box: its face, its border, its text."""

    fill: str
    line: str
    text: str = "#0f172a"


PAGE = "#ffffff"
INK = "#0f172a"
SOFT = "#64748b"
FAINT = "#cbd5e1"

KINDS: dict[str, Paint] = {
    "matmul": Paint("#e0e7ff", "#6366f1"),
    "pointwise": Paint("#d9f7ec", "#10b981"),
    "shape": Paint("#f1f5f9", "#94a3b8"),
    "state": Paint("#fef3c7", "#f59e0b"),
    "parameter": Paint("#f6edff", "#b07cf0"),
    "input": Paint("#dff2fe", "#38a9e6"),
    "output": Paint("#334155", "#334155", "#ffffff"),
    "loss": Paint("#ffe1e7", "#f43f5e"),
    "block": Paint("#eef2ff", "#4f46e5"),
    "loop": Paint("#ffffff", "#475569"),
    "backward": Paint("#ffe8d6", "#ea7317"),
    "folded": Paint("#ffffff", "#94a3b8", "#475569"),
}
"""What each kind of box looks like."""

LEGEND: dict[str, str] = {
    "input": "input",
    "state": "state",
    "parameter": "parameters",
    "matmul": "product",
    "pointwise": "elementwise",
    "shape": "rearranged",
    "block": "cell or layer",
    "loss": "loss",
    "output": "output",
    "backward": "backward",
}

FRAMES: dict[str, Paint] = {
    "loop": Paint("#f8fafc", "#94a3b8"),
    "step": Paint("#ffffff", "#cbd5e1"),
    "block": Paint("#fbfbff", "#c7d2fe"),
}

EDGES: dict[str, str] = {
    "data": "#64748b",
    "state": "#f59e0b",
    "parameter": "#cfb4f2",
    "backward": "#ea7317",
}

MODES: dict[str, str] = {"static": "#e11d62", "dynamic": "#0f766e"}
"""Static and dynamic in every plot."""
MODE_LINES = ("#7c3aed", "#b45309", "#0369a1", "#4d7c0f")
"""Further modes (k steps per turn), in the order they appear."""

FONT = "Helvetica"
"""What the layout measures; the first that is there of FONT_STACK is what is drawn."""
FONT_STACK = "Inter,'Helvetica Neue',Helvetica,Arial,'Liberation Sans',sans-serif"
