"""The functions of the language by name. The families put them here; `families` imports them all."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from rnngraph.language.elaboration.values import Item, Number


class Function(Struct, frozen=True):
    """Its parameters (`?`: may be left out, `*`: may be repeated), and what it gives.

    `gives` is the kind of each result: `float`, `int`, `bool`; `same` as what it is given; `number`: an int of ints,
    else a float.
    """

    name: str
    parameters: tuple[str, ...]
    gives: tuple[str, ...]
    formula: Callable[..., Item]
    """Of a `definition.Use`."""
    fold: Callable[..., Number] | None = None
    """The same on numbers that are known while compiling."""
    further: bool = False
    """Whether arguments of other names may be given, which it hands on."""

    @property
    def many(self) -> bool:
        """Whether a parameter may be repeated."""
        return any(p.endswith("*") for p in self.parameters)


TABLE: dict[str, Function] = {}


def names() -> frozenset[str]:
    """Every name of a function."""
    return frozenset({*TABLE, "record"})


def is_function(name: str) -> bool:
    return name in TABLE or name == "record"
