"""The same text with another number of units, where it has one number of units."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.language.elaboration.imports import load
from rnngraph.language.syntax.ast import Call, Definition, File, Name, Number
from rnngraph.language.syntax.traversal import changed

UNITS = "units"
"""What the library's cells call their width."""


def width(file: File, model: str) -> int | None:
    """The number that a model writes as the units of every cell; None where it writes none, or several."""
    found = {number.value for number in _written(file, model)}
    value = found.pop() if len(found) == 1 else None
    return value if isinstance(value, int) else None


def resized(file: File, model: str, units: int) -> File:
    """The file with this number wherever the model writes the units of a cell."""
    chosen = {id(number) for number in _written(file, model)}

    def change(item: Any) -> Any:
        return replace(item, value=units) if id(item) in chosen else item

    return replace(file, items=tuple(_mapped(item, change) for item in file.items))


def _written(file: File, model: str) -> Iterator[Number]:
    world = load(file).world
    for item in file.items:
        if isinstance(item, Definition) and item.name == model:
            for call in _calls(item):
                definition = world.get(call.function.name) if isinstance(call.function, Name) else None
                if definition is not None and definition.kind == "cell":
                    yield from _units(call, [s.name for s in definition.settings])


def _units(call: Call, settings: list[str]) -> Iterator[Number]:
    for place, argument in enumerate(call.arguments):
        name = argument.name or (settings[place] if place < len(settings) else "")
        if name == UNITS and isinstance(argument.value, Number):
            yield argument.value


def _calls(item: Any) -> Iterator[Call]:
    if isinstance(item, tuple):
        for part in item:
            yield from _calls(part)
    elif isinstance(item, Struct):
        if isinstance(item, Call):
            yield item
        for name in item.__struct_fields__:
            yield from _calls(getattr(item, name))


def _mapped(item: Any, change: Callable[[Any], Any]) -> Any:
    """A syntax tree with its parts changed, the inner ones first."""
    new = changed(item, lambda part: _mapped(part, change))
    return new if isinstance(item, tuple) else change(new)
