"""What is said of a name of the language: functions, library, initialisers, options. All of it comes from the tables,
from the library's own comments and from the reference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

from msgspec.structs import asdict

from rnngraph.language.builtins.registry import TABLE, Function
from rnngraph.language.elaboration import forms  # noqa: F401 fills the registries
from rnngraph.language.elaboration.imports import library
from rnngraph.language.elaboration.initialisers import INITIALISERS
from rnngraph.language.library.catalogue import Entry, entry, own_comment
from rnngraph.language.syntax.ast import Definition
from rnngraph.run_options import SCHEDULE
from rnngraph.training.config import OPTIONS, FitConfig

SPECIAL = {
    "t": "the index of the step, from 0",
    "training": "`true` while training",
}
"""Names that are given a meaning everywhere."""


def signature(function: Function) -> str:
    """`clip(x, low, high) -> number`; what may be left out is in brackets."""
    told = [_parameter(p) for p in function.parameters]
    return f"{function.name}({', '.join(told)}) -> {', '.join(function.gives)}"


def _parameter(written: str) -> str:
    name = written.rstrip("?*")
    if written.endswith("*"):
        return f"{name}, ..."
    return f"[{name}]" if written.endswith("?") else name


def about_function(name: str) -> str:
    """The signature, and the sentences of the reference that name the function. Markdown."""
    if name == "record":
        return "```rnn\nrecord(c = c0, h = h0)\n```\nA record of values, as `from` takes it."
    told = [f"```rnn\n{signature(TABLE[name])}\n```"]
    return "\n".join([*told, *reference().get(name, ())])


@cache
def reference() -> Mapping[str, tuple[str, ...]]:
    """Of each function the clauses about it in the language's reference: in the chapter about them, else elsewhere."""
    page = resources.files("rnngraph.grammar").joinpath("README.md").read_text("utf-8")
    before, _, after = page.partition("\n## Functions\n")
    chapter = _by_function(after.partition("\n## ")[0])
    return {**_by_function(before.partition("\n## Cells")[2]), **chapter}


def _by_function(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for paragraph in text.split("\n\n"):
        for clause in _clauses(" ".join(paragraph.split())):
            for name in _named(clause):
                found.setdefault(name, []).append(clause)
    return {name: tuple(clauses) for name, clauses in found.items()}


def _clauses(paragraph: str) -> list[str]:
    """Sentences, and parts of them that a semicolon separates outside of code."""
    pieces = re.split(r"(?<=[.;])\s+(?=[A-Z`*])", paragraph)
    return [piece.rstrip(";") for piece in pieces if piece]


def _named(clause: str) -> set[str]:
    words = {word for code in re.findall(r"`([^`]+)`", clause) for word in re.findall(r"\b\w+\b(?! =)", code)}
    return words & TABLE.keys()


@cache
def about_library(name: str) -> str:
    """A cell or layer of the library: what it is, its settings, its paper and its equations. Markdown."""
    one = entry(name)
    prose = "\n\n".join(_unbroken(comment) for comment in one.prose)
    return f"{_code(_headed(one))}\n{prose}\n\n{_code(one.text)}"


def about_definition(d: Definition) -> str:
    """A cell, layer or model of the user's: its comment and its text. Markdown."""
    return f"{_unbroken(own_comment(d))}\n{_code(d.span.text)}".strip()


def _headed(one: Entry) -> str:
    return f"{one.kind} {one.name}({', '.join(_setting(s) for s in one.settings)})"


def _code(text: str) -> str:
    return f"```rnn\n{text}\n```"


def _unbroken(comment: str) -> str:
    """Lines stay lines in Markdown too."""
    return comment.replace("\n", "  \n")


def _setting(pair: tuple[str, str]) -> str:
    return f"{pair[0]} = {pair[1]}" if pair[1] else pair[0]


def initialiser(name: str) -> str:
    """`normal(mean = 0.0, std = 1.0)`."""
    numbers = ", ".join(f"{n} = {value:g}" for n, value in INITIALISERS[name].items())
    return f"{name}({numbers})" if numbers else name


def options(kind: str) -> dict[str, str]:
    """The options of a `train` or `schedule` block, each with what holds where it is not given."""
    if kind == "schedule":
        return {name: f"{name} {value}" if value else name for name, value in SCHEDULE.items()}
    usual = {name: v for name, v in asdict(FitConfig()).items() if isinstance(v, (int, float, str))}
    return {name: f"{name} {_written(usual[name])}" if name in usual else name for name in sorted(OPTIONS)}


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def known() -> frozenset[str]:
    """Every name that the language itself brings."""
    return frozenset({*TABLE, "record", *library(), *SPECIAL})
