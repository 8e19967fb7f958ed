"""Lengths of dimensions: positive, and of sane size."""

from __future__ import annotations

from rnngraph.front.mistakes import Mistake
from rnngraph.source import Span

LARGEST_SIZE = 2**31


def checked_size(found: int, at: Span) -> int:
    """The size, or a Mistake."""
    shown = at.text if at.text.strip() == str(found) else f"`{at.text}` = {found:,}"
    if found < 1:
        raise Mistake("E203", f"a size must be positive, not {shown}", at)
    if found >= LARGEST_SIZE:
        raise Mistake("E203", f"a size must be below {LARGEST_SIZE:,}, not {shown}", at)
    return found
