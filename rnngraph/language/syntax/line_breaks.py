"""Where lines are broken: text with brackets in it, laid out so that it fits where that is possible."""

from __future__ import annotations

from msgspec import Struct

WIDTH = 100
INDENT = 2


class Bracket(Struct, frozen=True):
    """Items between brackets, separated by commas: in one line, or each on a line of its own."""

    open: str
    items: tuple[Doc, ...]
    close: str


Doc = tuple["str | Bracket", ...]


def flat(doc: Doc) -> str:
    """The text in one line."""
    return "".join(
        piece if isinstance(piece, str) else piece.open + ", ".join(map(flat, piece.items)) + piece.close
        for piece in doc
    )


def lay_out(doc: Doc, indent: int) -> list[str]:
    """Lines of at most WIDTH columns, broken at commas within brackets where they are wider."""
    lines = [" " * indent]
    for at, piece in enumerate(doc):
        rest = _width_to_next(doc[at + 1 :])
        if isinstance(piece, str):
            lines[-1] += piece
        elif not piece.items or len(lines[-1]) + len(flat((piece,))) + rest <= WIDTH:
            lines[-1] += flat((piece,))
        else:
            lines[-1] += piece.open
            for item in piece.items:
                lines += lay_out((*item, ","), indent + INDENT)
            lines.append(" " * indent + piece.close)
    return lines


def _width_to_next(doc: Doc) -> int:
    """Columns up to the next place where the line may be broken."""
    width = 0
    for piece in doc:
        if not isinstance(piece, str) and piece.items:
            return width + len(piece.open)
        width += len(flat((piece,)))
    return width
