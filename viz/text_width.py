"""How wide texts are: what layouts take them to be, and what an svg says, so that they fit whatever the font."""

from __future__ import annotations

import re
from html import escape, unescape

_HELVETICA = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
)  # fmt: skip
_BOLD = (
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722, 611, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611,
    556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389,
    280, 389, 584,
)  # fmt: skip
"""From the space to `~`, in thousandths of the size: Adobe's metrics, which Arial and Liberation Sans have too."""
_LESS = {"−": 250, "²": 223}
"""How much narrower some letters are than layouts take them to be."""
_TEXT = re.compile(r'<text xml:space="preserve" ([^>]*)>([^<]*)</text>')
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


def text_width(text: str, size: float, bold: bool = False) -> float:
    """How wide Helvetica sets a text. Graphviz has no other letters than ASCII: each byte of them is like a space."""
    widths = _BOLD if bold else _HELVETICA
    return size * sum(widths[byte - 32] if 32 <= byte < 127 else widths[0] for byte in text.encode()) / 1000


def fitted(svg: str) -> str:
    """Graphviz's svg with the width of every text in it: unchanged with Helvetica, and never out of its box with a
    wider font. Spaces at the ends become part of its place."""
    return _TEXT.sub(_fitted, svg)


def _fitted(found: re.Match[str]) -> str:
    attributes, said = dict(_ATTRIBUTE.findall(found[1])), unescape(found[2])
    text = said.strip()
    if not text:
        return ""
    size, bold = float(attributes["font-size"]), attributes.get("font-weight") == "bold"
    before, behind = (text_width(" ", size) * n for n in (said.index(text), len(said.rstrip()) - len(said)))
    anchor = attributes["text-anchor"]
    moved = before if anchor == "start" else (before + behind) / 2
    attributes["x"] = f"{float(attributes['x']) + moved:.2f}"
    if len(text) > 1 or anchor == "start":  # a sign alone in its box has room
        wide = text_width(text, size, bold) - size * sum(_LESS.get(letter, 0) for letter in text) / 1000
        attributes |= {"textLength": f"{wide:.2f}", "lengthAdjust": "spacingAndGlyphs"}
    written = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return f"<text {written}>{escape(text, quote=False)}</text>"
