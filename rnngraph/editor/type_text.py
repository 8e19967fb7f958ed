"""Types and values as they are written in the language: `seq[4] int`, `LSTM(units = 4)`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH, FIXED, Type
from rnngraph.language.elaboration.trace import Note
from rnngraph.language.elaboration.values import (
    AxisName,
    Builtin,
    Class,
    Instance,
    Item,
    Numbers,
    PipeOf,
    Record,
    Several,
    Unrolled,
)

MOST = 4
"""Different shapes that are told of one place, and parts of a record."""


def type_text(type: Type) -> str:
    """`[4]`, `int`, `seq[4]`, `seq@source[3] int`; over several axes, each is named."""
    times = [axis for axis in type.axes if axis != BATCH]
    sizes = f"[{', '.join(map(str, type.shape))}]"
    bare = sizes if type.shape or (type.dtype == "float" and not times) else ""
    sequence = " ".join("seq" if axis == "time" else f"seq@{_steps(axis)}" for axis in times)
    return " ".join(part for part in (sequence + bare, type.dtype if type.dtype != "float" else "") if part)


def _steps(axis: str) -> str:
    """An axis of a fixed number of steps has no name of its own."""
    return axis.removesuffix(FIXED)


def item_text(item: Item) -> str:
    """What a name stands for; nothing where that says nothing."""
    match item:
        case Value():
            return type_text(item.type)
        case bool():
            return str(item).lower()
        case int() | float():
            return str(item)
        case Numbers():
            return f"[{', '.join(item_text(n) for n in item.items[:MOST])}{', ...' * (len(item.items) > MOST)}]"
        case Builtin():
            return item.name
        case Class():
            return f"{item.definition.kind} {item.definition.name}"
        case Instance():
            return _made(item)
        case PipeOf():
            return " >> ".join(item_text(part) for part in item.parts)
        case Record():
            return _record(item)
        case Several():
            return ", ".join(filter(None, map(item_text, item.items)))
        case Unrolled():
            return ", ".join([*filter(None, map(item_text, item.outputs)), _record(item.final)])
        case AxisName():
            return f"axis {item.name}"
    return ""


def _made(item: Instance) -> str:
    """With the settings that are not the defaults."""
    usual = {s.name: s.default.span.text for s in item.definition.settings if s.default is not None}
    told = {name: item_text(value) for name, value in item.settings.items()}
    settings = [f"{name} = {text}" for name, text in told.items() if text and text != usual.get(name)]
    return f"{item.title}({', '.join(settings)})" if settings else item.title


def _record(record: Record) -> str:
    parts = [f"{name}: {type_text(part.value.type)}" for name, part in record.parts.items()]
    return f"{{{', '.join(parts[:MOST])}{', ...' * (len(parts) > MOST)}}}"


def texts(notes: Iterable[Note]) -> list[str]:
    """What a place was found to be, each once."""
    return list(dict.fromkeys(text for note in notes if (text := item_text(note.item))))


def places(notes: Sequence[Note]) -> dict[str, list[str]]:
    """What a place was found to be, and in which instances: those of a model's own body have no name."""
    found: dict[str, list[str]] = {}
    for note in notes:
        if text := item_text(note.item):
            found.setdefault(text, []).append(".".join(note.path))
    return {text: list(dict.fromkeys(paths)) for text, paths in found.items()}
