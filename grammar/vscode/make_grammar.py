"""Writes syntaxes/rnn.tmLanguage.json, the colours of VS Code, from the grammar and the tables of the language.

`python grammar/vscode/make_grammar.py`; a test tells when that is due.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rnngraph.language.builtins.registry import names
from rnngraph.language.elaboration import forms  # noqa: F401 fills the registries
from rnngraph.language.elaboration.imports import library
from rnngraph.language.elaboration.initialisers import INITIALISERS
from rnngraph.language.syntax.grammar import grammar

FILE = Path(__file__).parent / "syntaxes" / "rnn.tmLanguage.json"
TYPES = {"seq", "int", "float", "bool"}
CONSTANTS = {"true", "false"}
OPERATORS = {"and", "or", "not"}


def textmate() -> dict[str, Any]:
    """The grammar as TextMate's rules: the first that matches counts."""
    plain = grammar().reserved - CONSTANTS - OPERATORS
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "rnngraph",
        "scopeName": "source.rnn",
        "patterns": [
            _rule("comment.line.number-sign.rnn", "#.*$"),
            _rule("string.quoted.double.rnn", '"[^"\\n]*"'),
            _definition(),
            _rule("entity.other.attribute-name.rnn", r"(?<=[\w)\]]\.)[^\W\d]\w*"),
            _rule("variable.other.property.rnn", r"\b[^\W\d]\w*'"),
            _rule("storage.type.rnn", rf"\b{_any(TYPES)}\b(?!\s*\()"),
            _rule("constant.language.rnn", rf"\b{_any(CONSTANTS)}\b"),
            _rule("keyword.operator.logical.rnn", rf"\b{_any(OPERATORS)}\b"),
            _rule("keyword.control.rnn", r"(?<!=\s)\b(?:stop|reversed)\b(?!\s*[=(,])"),
            _rule("keyword.control.rnn", rf"\b{_any(plain)}\b(?!')"),
            _rule("support.class.rnn", rf"\b{_any(library())}\b"),
            _rule("support.function.rnn", rf"(?<=~ ){_any(INITIALISERS)}\b|\b{_any(names())}\b(?!\s*=[^=])"),
            _rule("constant.numeric.rnn", r"\b\d+(?:_\d+)*(?:\.\d+(?:_\d+)*)?(?:[eE][+-]?\d+)?\b"),
            _rule("keyword.operator.rnn", r">>|\*\*|//|==|!=|<=|>=|\.\.|[-+*/%@<>=~]"),
        ],
    }


def _rule(name: str, match: str) -> dict[str, Any]:
    return {"name": name, "match": match}


def _definition() -> dict[str, Any]:
    """`cell NAME`."""
    captures = {"1": {"name": "keyword.control.rnn"}, "2": {"name": "entity.name.type.rnn"}}
    return {"match": r"\b(cell|layer|model)\s+([^\W\d]\w*)", "captures": captures}


def _any(words: Iterable[str]) -> str:
    """The longer words first: of two that begin alike the whole one is taken."""
    return f"(?:{'|'.join(sorted(words, key=lambda word: (-len(word), word)))})"


if __name__ == "__main__":
    FILE.write_text(json.dumps(textmate(), indent=2) + "\n", encoding="utf-8")
