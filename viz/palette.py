"""The one palette: a light page, one colour for each kind of box, the two modes, the fonts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct


class Paint(NamedTuple):
    """Colours of one kind of box: its face, its border, its text."""

    fill: str
    line: str
    text: str = "#0f172a"


PAGE = "#ffffff"
INK = "#0f172a"
SOFT = "#64748b"
FAINT = "#cbd5e1"


class Theme(NamedTuple):
    """What a picture is painted with: each kind of box, of frame and of edge."""

    page: str
    ink: str
    soft: str
    faint: str
    parameter: str
    kinds: Mapping[str, Paint]
    frames: Mapping[str, Paint]
    edges: Mapping[str, str]


LIGHT = Theme(
    PAGE,
    INK,
    SOFT,
    FAINT,
    "#7e3fd0",
    {
        "matmul": Paint("#e0e7ff", "#6366f1"),
        "gate": Paint("#fff1a8", "#ca8a04"),
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
        "gradient": Paint("#ffe8d6", "#b07cf0"),
        "folded": Paint("#ffffff", "#94a3b8", "#475569"),
    },
    {
        "loop": Paint("#f8fafc", "#94a3b8"),
        "step": Paint("#ffffff", "#cbd5e1"),
        "block": Paint("#fbfbff", "#c7d2fe"),
    },
    {"data": "#64748b", "state": "#f59e0b", "backward": "#ea7317", "kept": "#0d9488", "again": "#db2777"},
)

KINDS = LIGHT.kinds

DARK = Theme(
    "#0f172a",
    "#e2e8f0",
    "#94a3b8",
    "#334155",
    "#c4a1ff",
    {
        "matmul": Paint("#262b5c", "#818cf8", "#e2e8f0"),
        "gate": Paint("#4d3f05", "#eab308", "#fef9c3"),
        "pointwise": Paint("#0c3b33", "#34d399", "#e2e8f0"),
        "shape": Paint("#1e293b", "#64748b", "#e2e8f0"),
        "state": Paint("#45310a", "#fbbf24", "#fef3c7"),
        "parameter": Paint("#2f2150", "#b07cf0", "#e2e8f0"),
        "input": Paint("#0c3a54", "#38bdf8", "#e2e8f0"),
        "output": Paint("#e2e8f0", "#e2e8f0", "#0f172a"),
        "loss": Paint("#521427", "#fb7185", "#ffe1e7"),
        "block": Paint("#23254f", "#818cf8", "#e2e8f0"),
        "loop": Paint("#0f172a", "#94a3b8", "#e2e8f0"),
        "backward": Paint("#4a2409", "#fb923c", "#ffe8d6"),
        "gradient": Paint("#4a2409", "#b07cf0", "#ffe8d6"),
        "folded": Paint("#0f172a", "#64748b", "#cbd5e1"),
    },
    {
        "loop": Paint("#131c31", "#475569"),
        "step": Paint("#0f172a", "#334155"),
        "block": Paint("#161f3a", "#4c56a0"),
    },
    {"data": "#94a3b8", "state": "#fbbf24", "backward": "#fb923c", "kept": "#2dd4bf", "again": "#f472b6"},
)


class Look(Struct, frozen=True):
    """How a picture is dressed. `direction` of the flow: "up", "down" or "right"; empty for the usual one."""

    title: str = ""
    direction: str = ""
    dark: bool = False
    legend: bool = True
    shapes: bool = True

    @property
    def theme(self) -> Theme:
        return DARK if self.dark else LIGHT


LEGEND: dict[str, str] = {
    "input": "input",
    "state": "state",
    "parameter": "parameters",
    "matmul": "product",
    "gate": "function of a product",
    "pointwise": "elementwise",
    "shape": "rearranged",
    "block": "cell or layer",
    "loss": "loss",
    "output": "output",
    "backward": "backward",
}

EDGE_LEGEND: dict[str, str] = {
    "state": "from step to step",
    "kept": "kept for the backward pass",
    "again": "computed again",
}

MODES: dict[str, str] = {"static": "#e11d62", "dynamic": "#0f766e"}
"""Static and dynamic in every plot."""
MODE_LINES = ("#7c3aed", "#b45309", "#0369a1", "#4d7c0f")
"""Further modes (k steps per turn), in the order they appear."""

FONT = "Helvetica"
"""What the layout measures; the first that is there of FONT_STACK is what is drawn."""
FONT_STACK = "'Helvetica Neue',Helvetica,Arial,'Liberation Sans',sans-serif"
