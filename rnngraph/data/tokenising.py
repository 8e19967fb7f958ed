"""A text as its signs: characters, bytes or words."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, get_args

from rnngraph.diagnostics.errors import UserError

Kind = Literal["char", "byte", "word"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_JOINERS = "\u200c\u200d"
"""They have no width, and tell how the letters around them are written."""


def kind_named(name: str) -> Kind:
    """UserError where a text is not read by such signs."""
    for kind in KINDS:
        if kind == name:
            return kind
    raise UserError(f"a text is read by {', '.join(KINDS)}, got `{name}`", "E555")


def pieces(text: str, kind: Kind) -> list[str]:
    """A text as signs: its characters or its words."""
    return list(text) if kind == "char" else re.findall(_word(text), text)


def _word(text: str) -> str:
    """What a word is: letters and digits with what combines with them, joined by apostrophes and hyphens; the end of a
    line; any other sign by itself."""
    marks = "".join(sorted(c for c in set(text) if c in _JOINERS or unicodedata.category(c).startswith("M")))
    combined = f"[{marks}]*" if marks else ""
    letters = rf"(?:[^\W_]{combined})+"
    return rf"{letters}(?:['’\-]{letters})*|\n|\S{combined}"
