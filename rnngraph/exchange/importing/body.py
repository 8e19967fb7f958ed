"""A model or cell while it is being described: its declarations and statements, and the names that are taken."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from msgspec import Struct, field

from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.importing.values import Axis, CannotSay, Dims, Value, sizes
from rnngraph.files.safetensors import Arrays
from rnngraph.language.builtins.registry import names as functions
from rnngraph.language.elaboration.imports import library
from rnngraph.language.syntax.grammar import grammar

BROUGHT = {"t", "training", "time"}
"""Names that have a meaning everywhere."""


class Statement(Struct, frozen=True):
    """Names for the results of an expression."""

    names: tuple[str, ...]
    text: str


class Instance(Struct, frozen=True):
    """A layer or cell with its settings, and its weights by local names."""

    text: str
    weights: Arrays


class Body(Struct):
    """`inputs` and `states` are types by name, `first` the initial values of states, `nexts` their next ones, `sizes`
    are the lengths of vectors of which parts are cut."""

    name: str
    inputs: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    params: dict[str, tuple[str, Any]] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    nexts: dict[str, str] = field(default_factory=dict)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)

    def fresh(self, hint: str) -> str:
        """A name that is free, near the hint."""
        name = next(n for n in numbered(identifier(hint)) if n not in self.taken and n not in reserved())
        self.taken.add(name)
        return name

    def let(self, hint: str, text: str, dims: Dims, dtype: str = "float") -> Value:
        """A value under a name of its own."""
        name = self.fresh(hint)
        self.statements.append(Statement((name,), text))
        return Value(name, dims, dtype)

    def say(self, names: tuple[str, ...], text: str) -> None:
        """Several names for the results of an expression."""
        self.statements.append(Statement(names, text))

    def param(self, hint: str, array: Any) -> str:
        """The name of a trained array."""
        for name, (_, known) in self.params.items():
            if known is array:
                return name
        name = self.fresh(hint)
        self.params[name] = (f"[{', '.join(map(str, array.shape))}]", array)
        return name

    def instance(self, hint: str, text: str, weights: Arrays) -> str:
        """The name of a layer or cell; the same one for the same arrays."""
        for name, known in self.instances.items():
            if known.text == text and weights and _same(known.weights, weights):
                return name
        name = self.fresh(hint)
        self.instances[name] = Instance(text, weights)
        return name

    def output(self, hint: str, text: str) -> str:
        """The name of an output, near the hint."""
        used = {*self.inputs, *(name for _, name in self.outputs), *grammar().reserved}
        name = next(n for n in numbered(identifier(hint)) if n not in used)
        self.outputs.append((text, name))
        return name

    def text_of(self, value: Value) -> str:
        """The expression of a value; a constant becomes a number, a list of numbers or a parameter."""
        if value.array is None:
            return value.text
        return constant(self, value)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@cache
def reserved() -> frozenset[str]:
    """Names that would hide something of the language."""
    return grammar().words | BROUGHT | functions() | frozenset(library())


def numbered(name: str, mark: str = "_") -> Iterator[str]:
    """The name, then the name with 2, 3, 4 ..."""
    yield name
    yield from (f"{name}{mark}{i}" for i in count(2))


def identifier(text: str) -> str:
    """A name in the language for a name elsewhere."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    if digits := re.match(r"^([\d_]+)_([A-Za-z]\w*)$", name):
        name = f"{digits[2]}_{digits[1]}"
    return f"v_{name}" if not name or name[0].isdigit() or keyword.iskeyword(name) else name


# --- constants ------------------------------------------------------------------------------------------------------

LISTED = 16
"""Entries of a row that is written as a list."""


def constant(body: Body, value: Value) -> str:
    array = value.array
    if array.size == 1 and array.ndim == 0:
        return number(array.reshape(-1)[0])
    if array.dtype.kind == "f" and array.size:
        if array.size > 1 and np.all(array == array.flat[0]) and np.isfinite(array.flat[0]):
            return filled(array)
        return body.param(value.text or "w", array)
    if array.dtype.kind == "b":
        array = array.astype(np.int64)
    rows = "[" + ", ".join(str(int(n)) for n in array.flat) + "]"
    if not array.size:
        raise CannotSay("a constant has no entries")
    if np.array_equal(array.ravel(), np.arange(array.size)):
        rows = f"range({array.size})"
    elif array.size > LISTED * LISTED:
        raise CannotSay(f"a constant of {array.size} integers is too long to be written")
    text = rows if array.ndim == 1 else f"reshape({rows}, [{', '.join(map(str, array.shape))}])"
    return text if value.array.dtype.kind != "b" else f"({text} != 0)"


def filled(array: Any) -> str:
    """An array of equal entries."""
    first, shape = float(array.flat[0]), f"[{', '.join(map(str, array.shape))}]"
    known = {0.0: f"zeros({shape})", 1.0: f"ones({shape})"}
    return known.get(first, f"({number(array.flat[0])} * ones({shape}))")


def number(entry: Any, beside_floats: bool = False) -> str:
    """A number as it is written: the shortest that gives the same float; whole ones need no point beside floats."""
    entry = np.asarray(entry)
    if beside_floats and entry.dtype.kind == "f" and abs(entry) < 1e6 and entry == np.floor(entry):
        entry = entry.astype(np.int64)
    if entry.dtype.kind == "b":
        return "true" if entry else "false"
    if entry.dtype.kind in "iu":
        return f"({int(entry)})" if entry < 0 else str(int(entry))
    if not np.isfinite(entry):
        raise CannotSay(f"the number {float(entry)} cannot be written")
    text = str(entry)
    text = text if "." in text or "e" in text else f"{text}.0"
    return f"({text})" if text.startswith("-") else text


def declared(name: str, dims: Dims, dtype: str) -> str:
    """The type of an input; nothing while it is open. UserError where there is none in the language."""
    if any(isinstance(d, Axis) and d.open for d in dims):
        return ""
    try:
        return type_text(dims, dtype)
    except CannotSay as reason:
        raise UserError(f"the input `{name}` cannot be said in the language: {reason}", "E760") from reason


def type_text(dims: Dims, dtype: str) -> str:
    """How an input of a model or cell is declared."""
    sequences = [d.name for d in dims if isinstance(d, Axis) and d.name != "batch"]
    if len(sequences) > 1:
        raise CannotSay(f"what is given runs over {' and '.join(f'`{s}`' for s in sequences)}")
    shape = sizes(dims)
    bare = f"[{', '.join(map(str, shape))}]" if shape or (dtype == "float" and not sequences) else ""
    kind = dtype if dtype != "float" else ""
    if not sequences:
        return " ".join(part for part in (bare, kind) if part)
    axis = "seq" if sequences[0] == "time" else f"seq@{sequences[0]}"
    return " ".join(part for part in (axis + bare, kind) if part)
