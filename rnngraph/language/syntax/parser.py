"""Text to tree: Lark's tables, driven token by token so that one mistake does not hide the next."""

from __future__ import annotations

import io
import pickle
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from lark import Lark, UnexpectedToken
from lark import __version__ as lark_version
from lark.lexer import Lexer

from rnngraph.diagnostics.diagnostic import Diagnostic, in_order
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.source import Source, Span
from rnngraph.files.cache import Kept
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.brackets import Repaired, repair
from rnngraph.language.syntax.syntax_errors import Trouble, explain
from rnngraph.language.syntax.tokens import Lexicon, Token, comments, scan
from rnngraph.language.syntax.tree_builder import Refused, Rules, too_deep

LARGEST = 1_000_000
"""Bytes of one text."""
MOST_ERRORS = 30
DEEPEST_STACK = 3000
"""What a form of the greatest depth needs is less."""

SOFT = {"STOP", "REVERSED", "SEQ", "FLOAT_TYPE", "INT_TYPE", "BOOL_TYPE"}
"""Words that are names wherever the grammar has no use for them."""


def read_source(path: str | Path) -> Source:
    """The text of a file, named as the user wrote it; line ends become `\\n`. Refuses what is no text."""
    name, file = str(path), Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except FileNotFoundError:
        raise UserError(f"there is no file `{name}`", "E007") from None
    except IsADirectoryError:
        raise UserError(f"`{name}` is a folder, not a file", "E007") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CannotDo(f"`{name}` cannot be read: {reason}", "E007") from None
    if len(data) > LARGEST:
        raise _too_large(name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _no_text(name, f"byte {error.start} is not UTF-8") from None
    return _checked(Source(name, text.replace("\r\n", "\n").replace("\r", "\n"), file.parent))


def parse(source: Source) -> ast.File:
    """The tree of a text, or UserError with every syntax error that can be told apart."""
    _checked(source)
    grammar = _grammar()
    tokens, errors = scan(source, grammar.lexicon)
    repaired = repair(tokens)
    errors += repaired.errors
    if any(error.code == "E004" for error in errors):
        raise UserError(in_order(errors))
    reading = _Reading(source, repaired, [error.span.start for error in errors if error.span])
    items = reading.run()
    errors += reading.errors
    if errors or items is None:
        raise UserError(in_order(errors)[:MOST_ERRORS])
    return ast.File(source, items)


def comments_of(source: Source) -> list[Span]:
    """The comments of a text, in order."""
    return comments(source, _grammar().lexicon)


def tokens_of(source: Source) -> list[Token]:
    """The tokens of a text, in order."""
    return scan(source, _grammar().lexicon)[0]


def _checked(source: Source) -> Source:
    if len(source.text) > LARGEST:
        raise _too_large(source.name)
    if "\0" in source.text:
        raise _no_text(source.name, f"character {source.text.index(chr(0))} is NUL")
    return source


def _too_large(name: str) -> UserError:
    return UserError(f"`{name}` is too large: a text has at most {LARGEST:,} bytes", "E006")


def _no_text(name: str, reason: str) -> UserError:
    return UserError(f"`{name}` is not a text: {reason}", "E005")


# --- the grammar ------------------------------------------------------------------------------------


class _NoLexer(Lexer):  # type: ignore[misc]
    """Lark is given tokens; it reads no text."""

    def __init__(self, conf: Any) -> None:
        pass

    def lex(self, *_: Any) -> Any:
        return iter(())


@dataclass(frozen=True)
class _Grammar:
    lark: Lark
    lexicon: Lexicon
    spelled: Mapping[str, str]
    """How the terminals that are always written alike are written."""


@cache
def _grammar() -> _Grammar:
    text = resources.files("rnngraph.grammar").joinpath("rnn.lark").read_text("utf-8")
    lark, ignored = _tables(text)
    spelled = {t.name: t.pattern.value for t in lark.terminals if t.pattern.type == "str"}
    return _Grammar(lark, _lexicon(lark, ignored), spelled | {"FOR_EACH": "for"})


def _tables(text: str) -> tuple[Lark, Sequence[str]]:
    """Lark's tables for this grammar, and the terminals that it ignores; kept on disk, because they take longer to make
    than most texts take to be checked."""
    kept = Kept("grammar", text, lark_version, sys.version)
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


# --- one reading --------------------------------------------------------------------------------------


class _Reading:
    """The parser's way through the tokens of one text. After a mistake it goes on at the next statement."""

    def __init__(self, source: Source, repaired: Repaired, reported: Sequence[int]) -> None:
        self.source = source
        self.tokens = repaired.tokens
        self.blocks = repaired.blocks
        self.reported = reported
        self.errors: list[Diagnostic] = []
        self.begin([])

    def begin(self, blocks: Sequence[str]) -> None:
        """A fresh parser, as deep inside of blocks as the text is where it goes on."""
        self.parser = _grammar().lark.parse_interactive("")
        self.state = self.parser.parser_state
        nowhere = Span(self.source, 0, 0)
        for kind in _entrance(blocks):
            self.state.feed_token(Token(kind, "", nowhere, False))

    def run(self) -> tuple[ast.Import | ast.Definition | ast.Options, ...] | None:
        at, failed = 0, -1
        while at < len(self.tokens):
            token = self.meant(at)
            before = list(self.state.state_stack)
            try:
                self.state.feed_token(token)
                if len(before) > DEEPEST_STACK:
                    raise too_deep(token.span)
            except UnexpectedToken:
                if at != failed:
                    self.report(at, before)
                failed = at = self.resume(at + (at == failed))
            except Refused as error:
                self.errors.append(error.diagnostic)
                if error.diagnostic.code == "E004":
                    return None
                failed = at = self.resume(at + (at == failed))
            else:
                at += 1
            if len(self.errors) >= MOST_ERRORS:
                return None
        return self.finish()

    def finish(self) -> tuple[ast.Import | ast.Definition | ast.Options, ...] | None:
        end = Span(self.source, len(self.source.text), len(self.source.text))
        before = list(self.state.state_stack)
        try:
            items: tuple[ast.Import | ast.Definition | ast.Options, ...] = self.state.feed_token(
                Token("$END", "", end, True), is_end=True
            )
        except UnexpectedToken:
            self.report(len(self.tokens), before)
            return None
        except Refused as error:
            self.errors.append(error.diagnostic)
            return None
        return items

    def meant(self, at: int) -> Token:
        """A soft word is a keyword where the grammar has a use for one, else a name."""
        token = self.tokens[at]
        if token.type not in SOFT:
            return token
        following = self.tokens[at + 1].type if at + 1 < len(self.tokens) else ""
        wanted = token.type in self.state.parse_conf.states[self.state.position]
        is_name = (token.type == "STOP" and following in ("IS", "COMMA")) or (
            token.type == "REVERSED" and following in ("IS", "OPEN_PAREN")
        )
        return token if wanted and not is_name else Token("NAME", token.text, token.span, token.first)

    def report(self, at: int, before: list[Any]) -> None:
        """Tells what was expected, unless something was already told of the same statement."""
        begin, end = self.statement(at - self.starts(at))
        if any(begin <= place < end for place in self.reported):
            return
        previous = self.tokens[at - 1] if at else None
        token = self.tokens[at] if at < len(self.tokens) else None
        following = self.tokens[at + 1] if at + 1 < len(self.tokens) else None
        spelled = _grammar().spelled
        self.errors.append(
            explain(Trouble(self.source, previous, token, following, self.accepted(before), spelled))
        )

    def accepted(self, states: list[Any]) -> set[str]:
        """The terminals that may follow in a state, found by trying each."""
        self.state.state_stack[:] = states
        self.state.value_stack[:] = [None] * (len(states) - 1)
        found: set[str] = set(self.parser.accepts())
        return found

    def statement(self, at: int) -> tuple[int, int]:
        """From the last place before a token where a statement may begin, to the next one behind it."""
        first = min(at, len(self.tokens) - 1)
        while first > 0 and not self.begins(first):
            first -= 1
        last = at + 1
        while last < len(self.tokens) and not self.begins(last):
            last += 1
        begin = self.tokens[first].span.start if self.tokens else 0
        return begin, self.tokens[last].span.start if last < len(self.tokens) else len(self.source.text) + 1

    def begins(self, at: int) -> bool:
        """Whether reading may go on here after a mistake."""
        token = self.tokens[at]
        if token.type == "CLOSE_BRACE":
            return True
        fresh = token.first or (at > 0 and self.tokens[at - 1].type in ("OPEN_BRACE", "CLOSE_BRACE"))
        return fresh and token.text[:1].isidentifier() and self.blocks[at].brackets == 0

    def starts(self, at: int) -> bool:
        """Whether what is wrong at a token may be the fault of the statement before it."""
        return at > 0 and (at == len(self.tokens) or self.begins(at))

    def resume(self, at: int) -> int:
        while at < len(self.tokens) and not self.begins(at):
            at += 1
        if at < len(self.tokens):
            self.begin(self.blocks[at].kinds)
        else:
            self.begin(())
        return at


def _entrance(blocks: Sequence[str]) -> list[str]:
    """Tokens that lead into these blocks."""
    ways = {
        "IF": ["IF", "TRUE", "OPEN_BRACE"],
        "ELSE": ["IF", "TRUE", "OPEN_BRACE", "CLOSE_BRACE", "ELSE", "OPEN_BRACE"],
        "block": ["FOR_EACH", "NAME", "IN", "TRUE", "UPTO", "TRUE", "OPEN_BRACE"],
    }
    tokens: list[str] = []
    for depth, kind in enumerate(blocks, 1):
        if kind == "options" and depth == len(blocks):
            tokens += ["TRAIN", "OPEN_BRACE"]
        elif depth == 1:
            tokens += ["CELL", "NAME", "OPEN_BRACE"]
        else:
            tokens += ways.get(kind, ways["block"])
    return tokens
