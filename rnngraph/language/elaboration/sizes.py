"""Lengths of dimensions: natural numbers of reasonable size."""

from __future__ import annotations

from rnngraph.diagnostics.source import Span
from rnngraph.language.elaboration.mistakes import Mistake

LARGEST_SIZE = 2**31


def checked_size(found: int, at: Span, least: int = 0) -> int:
    """The size, or a Mistake. Of what would make no sense with 0, as a stride, `least` is 1."""
    if found < least:
        message = "a size cannot be negative, and is" if least == 0 else "a size must be positive here, not"
        raise Mistake("E203", f"{message} {_shown(found, at)}", at)
    if found >= LARGEST_SIZE:
        raise too_large(found, at)
    return found


def too_large(found: int, at: Span) -> Mistake:
    return Mistake("E203", f"a size must be below {LARGEST_SIZE:,}, not {_shown(found, at)}", at)


def _shown(found: int, at: Span) -> str:
    return at.text if at.text.strip() == str(found) else f"`{at.text}` = {found:,}"

