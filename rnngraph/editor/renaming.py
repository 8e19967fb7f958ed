"""Which names can be changed, and into what."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rnngraph.editor.names import Occurrence, Symbol
from rnngraph.language.syntax.grammar import grammar


def beside(symbol: Symbol, found: Iterable[Occurrence]) -> set[str]:
    """The names that are declared where the symbol is."""
    owner = symbol.file, symbol.owner
    return {o.symbol.name for o in found if (o.symbol.file, o.symbol.owner) == owner and o.whole}


def refusal(symbol: Symbol, new: str = "", taken: Collection[str] = ()) -> str:
    """Why a symbol cannot be called so; nothing where it can. `taken` are the names beside it."""
    if symbol.file.startswith("library/"):
        return f"`{symbol.name}` belongs to the library"
    if not new:
        return ""
    if new in grammar().reserved:
        return f"`{new}` is a keyword"
    if grammar().name.fullmatch(new) is None:
        return f"`{new}` is not a name: letters, digits and `_`, no digit first"
    if new in taken and new != symbol.name:
        return f"`{new}` is already a name of `{symbol.owner or symbol.file}`"
    return ""
