"""Everything that is wrong in a file: in its definitions, in its `train` and `schedule` blocks.

Nothing heavy is imported for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.diagnostics.diagnostic import Diagnostic, in_order
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source, Span
from rnngraph.language.checking.check import Notes, check_loaded
from rnngraph.language.checking.unfinished import Gaps
from rnngraph.language.elaboration.imports import Loaded, Reader, load_around
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition, Expr, File, Options
from rnngraph.language.syntax.parser import parse_around, read_source
from rnngraph.run_options import over_defaults

Check = Callable[[Mapping[str, Any]], object]
"""Raises UserError for options, by name, that are none."""


class Checked(Struct, frozen=True):
    """A text as it was read, finished or not: its tree, what its imports bring, everything that is wrong."""

    file: File
    loaded: Loaded
    found: tuple[Diagnostic, ...]


def check(path: str) -> list[Diagnostic]:
    """Every error and warning of a file."""
    try:
        return list(check_source(read_source(Path(path))).found)
    except UserError as error:
        return list(error.diagnostics)


def check_source(source: Source, read: Reader = read_source, notes: Notes | None = None) -> Checked:
    """Every error and warning of a text. A statement that cannot be read hides nothing of the others.

    `read` gives the text of a file that is imported; `notes` gets what every name and expression stands for. UserError
    for what is no text.
    """
    parsed = parse_around(source)
    loaded, missing = load_around(parsed.file, read)
    found = [*check_loaded(loaded, notes), *_options(parsed.file)]
    told = [e.span for e in parsed.errors if e.span]
    left = Gaps(parsed.file, parsed.broken, told, bool(missing)).without_echoes(dict.fromkeys(found))
    unread = [d for d in missing if not any(d.span and d.span.start <= e.start < d.span.end for e in told)]
    return Checked(parsed.file, loaded, tuple(in_order([*parsed.errors, *unread, *left])))


def _options(file: File) -> list[Diagnostic]:
    """What is wrong with the `train` and `schedule` blocks of a file, each at its own place.

    Read from the text alone, so that it is told beside whatever else is wrong; a value that is computed from settings
    is looked at when the model is run.
    """
    blocks = [b for item in file.items for b in (item.body if isinstance(item, Definition) else (item,))]
    settings = {s.name for item in file.items if isinstance(item, Definition) for s in item.settings}
    found: list[Diagnostic] = []
    for block in blocks:
        if isinstance(block, Options):
            places = {o.name: o.name_span for o in block.options}
            told = {o.name: value for o in block.options if (value := _written(o.value, settings)) is not None}
            for check_one in _OPTION_CHECKS[block.kind]():
                try:
                    check_one(told)
                except UserError as error:
                    new = [replace(d, span=d.span or _option_place(d, places)) for d in error.diagnostics]
                    found += [d for d in new if d not in found]
    return found


def _written(e: Expr, settings: set[str]) -> Any:
    """The value of an option that stands there as such: a number, a word, `adam(rate = 0.001)`; None of others."""
    match e:
        case ast.Number() | ast.Bool() | ast.Text():
            return e.value
        case ast.Unary(operator="-", operand=ast.Number(value=value)):
            return -value
        case ast.Name(name=name) if name not in settings:
            return name
        case ast.Call(function=ast.Name(name=name)):
            values = {a.name: _written(a.value, settings) for a in e.arguments if a.name}
            return (name, values) if all(isinstance(v, int | float) for v in values.values()) else None
    return None


def _option_place(found: Diagnostic, places: Mapping[str, Span]) -> Span | None:
    """Where the option stands that a message names, or that its code is about."""
    named = next((span for name, span in places.items() if f"`{name}`" in found.message), None)
    return named or places.get(_OPTION_OF.get(found.code, ""))


_OPTION_OF = {
    "E606": "unroll",
    "E607": "dtype",
    "E608": "backend",
    "E609": "kernels",
    "E649": "products",
    "E613": "keep",
    "E615": "memory_limit",
    "E618": "truncate",
    "E701": "optimizer",
    "E702": "optimizer",
}


def _schedule_checks() -> tuple[Check, ...]:
    from rnngraph.compilation.schedule_checks import checked_memory, checked_schedule
    from rnngraph.runtime.choose_backend import known_backend, rounding_of

    return (
        lambda told: checked_schedule(over_defaults(told, unroll=None)["unroll"], 1, "float64", False),
        lambda told: checked_schedule("dynamic", None, over_defaults(told, dtype=None)["dtype"], False),
        lambda told: known_backend(over_defaults(told, backend=None)["backend"]),
        lambda told: _kernels_of(**over_defaults(told, backend=None, kernels=None)),
        lambda told: rounding_of(over_defaults(told, products=None)["products"]),
        lambda told: checked_memory(**over_defaults(told, keep=None, memory_limit=None, truncate=None, swap=None)),
    )


def _kernels_of(backend: str, kernels: str) -> None:
    """UserError where the backend has no such kernels; of a backend that there is not, another check tells."""
    from rnngraph.runtime.choose_backend import NAMES, known_kernels

    if backend in NAMES:
        known_kernels(backend, kernels or None)


def _train_checks() -> tuple[Check, ...]:
    from rnngraph.training.config import FitConfig

    return (FitConfig.from_recipe,)


_OPTION_CHECKS = {"schedule": _schedule_checks, "train": _train_checks}
