"""The grammar of the language, read from `rnn.lark`: Lark's tables, the scanner's pattern, and what the words are."""

from __future__ import annotations

import io
import pickle
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib import resources
from typing import Any

from lark import Lark
from lark import __version__ as lark_version
from lark.lexer import Lexer
from msgspec import Struct

from rnngraph.files.cache import Kept
from rnngraph.language.syntax.lexer import Lexicon
from rnngraph.language.syntax.tree_builder import Rules

SOFT = {"STOP", "REVERSED", "SEQ", "FLOAT_TYPE", "INT_TYPE", "BOOL_TYPE"}
"""Words that are names wherever the grammar has no use for them."""


class _NoLexer(Lexer):  # type: ignore[misc]
    """Lark is given tokens; it reads no text."""

    def __init__(self, conf: Any) -> None:
        pass

    def lex(self, *_: Any) -> Any:
        return iter(())


class Grammar(Struct, frozen=True, dict=True):
    """The tables of the parser and of the scanner."""

    lark: Lark
    lexicon: Lexicon
    spelled: Mapping[str, str]
    """How the terminals that are always written alike are written."""

    @cached_property
    def reserved(self) -> frozenset[str]:
        """Words that can be no name."""
        return frozenset(w for w, kind in self.lexicon.words.items() if kind not in SOFT)

    @cached_property
    def name(self) -> re.Pattern[str]:
        """What a name looks like."""
        return re.compile(next(t.pattern.to_regexp() for t in self.lark.terminals if t.name == "NAME"))

    @cached_property
    def words(self) -> frozenset[str]:
        """All words of the language, those too that are special in one place only."""
        return frozenset(self.lexicon.words)


@cache
def grammar() -> Grammar:
    """The grammar; read once."""
    text = resources.files("rnngraph.grammar").joinpath("rnn.lark").read_text("utf-8")
    lark, ignored = _tables(text)
    spelled = {t.name: t.pattern.value for t in lark.terminals if t.pattern.type == "str"}
    return Grammar(lark, _lexicon(lark, ignored), spelled | {"FOR_EACH": "for"})


def _tables(text: str) -> tuple[Lark, Sequence[str]]:
    """Lark's tables for this grammar, and the terminals that it ignores; kept on disk, because they take longer to make
    than most texts take to be checked."""
    kept = Kept("grammar", text, lark_version, sys.version, __name__)
    if (known := kept.read()) is not None:
        ignored, data = pickle.loads(known)
        return Lark.load(io.BytesIO(data)), ignored
    made = Lark(
        text, parser="lalr", lexer=_NoLexer, keep_all_tokens=True, maybe_placeholders=True, transformer=Rules
    )
    saved = io.BytesIO()
    made.save(saved)
    kept.write(pickle.dumps((list(made.ignore_tokens), saved.getvalue())))
    return made, made.ignore_tokens


def _lexicon(lark: Lark, ignored: Sequence[str]) -> Lexicon:
    words = {t.pattern.value: t.name for t in lark.terminals if t.pattern.value.isalpha()}
    signs = [t for t in lark.terminals if t.name not in words.values()]
    signs.sort(key=lambda t: (-t.priority, t.pattern.type == "str", -len(t.pattern.value)))
    pattern = "|".join(f"(?P<{t.name}>{t.pattern.to_regexp()})" for t in signs)
    return Lexicon(re.compile(pattern), words, frozenset(ignored))
