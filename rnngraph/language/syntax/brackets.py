"""Pairs of brackets, checked before parsing, so that one that is missing is told where it was opened.

The tokens are handed on with the missing ones put in and the superfluous ones taken out: what else is wrong
with the text is then found by the parser as usual.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from rnngraph.diagnostics.diagnostic import Diagnostic, Label
from rnngraph.diagnostics.source import Span
from rnngraph.language.syntax.lexer import Token

DEEPEST = 100
"""Brackets within brackets."""

_CLOSER = {"OPEN_PAREN": "CLOSE_PAREN", "OPEN_BRACKET": "CLOSE_BRACKET", "OPEN_BRACE": "CLOSE_BRACE"}
_TEXT = {"CLOSE_PAREN": ")", "CLOSE_BRACKET": "]", "CLOSE_BRACE": "}"}
_DEFINES = {"CELL", "LAYER", "MODEL"}
_STATES = {
    "CELL", "LAYER", "MODEL", "IMPORT", "INPUT", "STATE", "PARAM", "FROZEN", "OUTPUT", "LOSS", "METRIC",
    "FOR_EACH", "IF", "TRAIN", "SCHEDULE",
}  # fmt: skip
BLOCKS = {
    "TRAIN": "options",
    "SCHEDULE": "options",
    "IF": "IF",
    "ELSE": "ELSE",
    "FOR_EACH": "block",
} | dict.fromkeys(_DEFINES, "block")
"""By the word that opens it, the kind of a block."""


class Place(Struct, frozen=True):
    """Where a token stands: the kinds of the blocks around it, and how many other brackets are open."""

    kinds: tuple[str, ...]
    brackets: int


class Repaired(Struct, frozen=True):
    """The tokens in pairs of brackets, the place of each, and what was wrong."""

    tokens: list[Token]
    blocks: list[Place]
    errors: list[Diagnostic]


class _TooDeep(Exception):
    pass


def repair(tokens: Sequence[Token]) -> Repaired:
    """Every bracket with its partner. Where they are nested too deeply, error E004 and no token is left."""
    work = _Repair(tokens, _in_pairs(tokens))
    try:
        work.run()
    except _TooDeep:
        return Repaired([], [], work.errors)
    return Repaired(work.done, work.places, work.errors)


class _Repair(Struct):
    tokens: Sequence[Token]
    sound: bool
    """Whether nothing is wrong with the pairs, and nothing is to be guessed."""
    done: list[Token] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    errors: list[Diagnostic] = field(default_factory=list)
    open: list[Token] = field(default_factory=list)
    kinds: tuple[str, ...] = ()
    brackets: int = 0
    kind: str = "block"
    slipped: list[tuple[Token, Token]] = field(default_factory=list)
    """Pairs of braces, the second further left than the line of the first: perhaps it closes another one."""

    def run(self) -> None:
        for at, token in enumerate(self.tokens):
            if self.brackets and not self.sound and self.ends_brackets(at):
                self.close_brackets(token)
            if self.kinds and not self.sound and self.is_definition(at):
                self.close_braces(token)
            if token.type in BLOCKS:
                self.kind = BLOCKS[token.type]
            if token.type in _CLOSER:
                self.opened(token)
            elif token.type in _TEXT:
                self.closed(token)
            else:
                self.put(token)
        if self.tokens:
            self.close_brackets(None)
            self.close_braces(None)

    # --- what ends where -------------------------------------------------------------------------

    def follows(self, at: int, *types: str) -> bool:
        return at > 0 and self.tokens[at - 1].type in types

    def precedes(self, at: int, *types: str) -> bool:
        return at + 1 < len(self.tokens) and self.tokens[at + 1].type in types

    def ends_brackets(self, at: int) -> bool:
        """Whether this can only stand outside of parentheses and brackets."""
        token = self.tokens[at]
        if token.type in ("OPEN_BRACE", "CLOSE_BRACE"):
            return True
        if token.type in _STATES:
            return token.first or not self.follows(at, "COMMA", "OPEN_PAREN", "OPEN_BRACKET", "IS")
        if token.type == "PRIMED":
            return token.first and self.precedes(at, "IS")
        open_ended = self.follows(at, "COMMA", "OPEN_PAREN", "OPEN_BRACKET", "WITH")
        if token.type != "NAME" or not token.first or not self.precedes(at, "IS"):
            return False
        return not open_ended or self.open[-1].type == "OPEN_BRACKET" or _column(token) <= _indent(self.open[-1])

    def is_definition(self, at: int) -> bool:
        """Whether a definition or an import begins here that is not simply put into another one."""
        token = self.tokens[at]
        if not token.first or _column(token) > _indent(self.open[0]):
            return False
        if token.type == "IMPORT":
            return self.precedes(at, "TEXT")
        named = token.type in _DEFINES and self.precedes(at, "NAME")
        return (
            named and at + 2 < len(self.tokens) and self.tokens[at + 2].type in ("OPEN_PAREN", "OPEN_BRACE")
        )

    # --- keeping count -----------------------------------------------------------------------------

    def put(self, token: Token) -> None:
        self.done.append(token)
        self.places.append(Place(self.kinds, self.brackets))

    def opened(self, token: Token) -> None:
        self.put(token)
        self.open.append(token)
        if len(self.open) > DEEPEST:
            self.errors.append(
                Diagnostic(
                    "E004",
                    "brackets are nested too deeply",
                    token.span,
                    help=f"at most {DEEPEST} can be open at once",
                )
            )
            raise _TooDeep
        if token.type == "OPEN_BRACE":
            self.kinds += (self.kind,)
            self.kind = "block"
        else:
            self.brackets += 1

    def pop(self, token: Token) -> None:
        """The innermost bracket is closed by this token, which is of its kind."""
        opened = self.open.pop()
        self.put(token)
        if opened.type != "OPEN_BRACE":
            self.brackets -= 1
            return
        self.kinds = self.kinds[:-1]
        if token.first and _column(token) < _indent(opened):
            self.slipped.append((opened, token))

    def closed(self, token: Token) -> None:
        near = self.open[len(self.open) - self.brackets :] if token.type != "CLOSE_BRACE" else self.open[-1:]
        if not near:
            self.errors.append(Diagnostic("E002", f"this `{token.text}` closes nothing", token.span))
        elif _CLOSER[near[-1].type] == token.type:
            self.pop(token)
        elif any(_CLOSER[opened.type] == token.type for opened in near):
            while _CLOSER[self.open[-1].type] != token.type:
                self.close_innermost(token)
            self.pop(token)
        else:
            opened = near[-1]
            self.errors.append(
                Diagnostic(
                    "E002",
                    f"`{opened.text}` is closed by `{token.text}`",
                    opened.span,
                    labels=(Label(token.span, f"this should be `{_TEXT[_CLOSER[opened.type]]}`"),),
                )
            )
            self.pop(self.made(_CLOSER[opened.type]))

    # --- what is missing ---------------------------------------------------------------------------

    def close_brackets(self, found: Token | None) -> None:
        while self.brackets:
            self.close_innermost(found)

    def close_braces(self, found: Token | None) -> None:
        while self.kinds:
            self.close_innermost(found)

    def close_innermost(self, found: Token | None) -> None:
        opened = self.open[-1]
        slipped = [pair for pair in self.slipped if pair[0].span.start > opened.span.start]
        if opened.type == "OPEN_BRACE" and slipped:
            blamed, closer = slipped[0]
            self.slipped.remove(slipped[0])
            self.errors.append(
                _unclosed(blamed, Label(closer.span, "this closes it, but is indented less"))
            )
        else:
            self.errors.append(_unclosed(opened, self.still_open(found)))
        self.pop(self.made(_CLOSER[opened.type]))

    def still_open(self, found: Token | None) -> Label:
        if found is not None:
            return Label(found.span, "still open here")
        end = self.tokens[-1].span
        return Label(Span(end.source, end.end, end.end), "still open at the end of the file")

    def made(self, type: str) -> Token:
        """A bracket put in behind the last token."""
        last = self.done[-1].span
        return Token(type, _TEXT[type], Span(last.source, last.end, last.end), False)


def _in_pairs(tokens: Sequence[Token]) -> bool:
    """Whether every bracket has its partner."""
    awaited: list[str] = []
    for token in tokens:
        if token.type in _CLOSER:
            awaited.append(_CLOSER[token.type])
        elif token.type in _TEXT and (not awaited or awaited.pop() != token.type):
            return False
    return not awaited


def _unclosed(opened: Token, label: Label) -> Diagnostic:
    return Diagnostic("E002", f"this `{opened.text}` is not closed", opened.span, labels=(label,))


def _column(token: Token) -> int:
    return token.span.source.place(token.span.start)[1]


def _indent(token: Token) -> int:
    """The column of the first word in the line of a token."""
    text, start = token.span.source.text, token.span.start
    begin = text.rfind("\n", 0, start) + 1
    while begin < start and text[begin].isspace():
        begin += 1
    return token.span.source.place(begin)[1]
