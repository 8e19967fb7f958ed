"""What is read in place of a statement that is not finished, so that all others can be read as usual.

It defines what the statement would have defined. What is not known of it is a string, which has no meaning anywhere:
elaboration refuses it, and poisons the names. That is never told, since the mistake in the text has been.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from msgspec import Struct

from rnngraph.diagnostics.source import Span
from rnngraph.language.syntax.lexer import Token

_DECLARED = {"INPUT", "STATE", "PARAM"}
_ALONE = {"OUTPUT", "LOSS", "METRIC", "STOP"}
_DEFINED = {"CELL", "LAYER", "MODEL"}
_LEFT = {"NAME", "PRIMED", "COMMA"}
OPENS = _DEFINED | {"TRAIN", "SCHEDULE", "IF", "ELSE", "FOR_EACH"}
"""What begins a statement that has a block."""


class Broken(Struct, frozen=True):
    """The tokens from `first` up to, not including, `last`."""

    first: int
    last: int


def with_stand_ins(tokens: Sequence[Token], broken: Sequence[Broken], before: Set[int]) -> list[Token]:
    """The tokens with something in place of each broken statement that the grammar takes. `before` is where stand-ins
    begin already: one that is broken itself is left out."""
    done: list[Token] = []
    at = 0
    for one in sorted(broken, key=lambda b: b.first):
        if one.first >= at:
            done += tokens[at : one.first]
            made, at = _stand_in(tokens, one, before)
            done += made
    return [*done, *tokens[at:]]


def _stand_in(tokens: Sequence[Token], one: Broken, before: Set[int]) -> tuple[list[Token], int]:
    """What is read instead, and where the rest goes on."""
    own = list(tokens[one.first : one.last])
    stray = stray_block(tokens, one)
    if stray is not None:
        own = own[: stray - one.first]
    closers = [t for t in own if t.type == "CLOSE_BRACE"]
    opened = next((i for i, t in enumerate(own) if t.type == "OPEN_BRACE"), None)
    made = _meant(own) if own and own[0].span.start not in before else []
    if stray is not None:
        return made, behind(tokens, stray)
    if opened is None:
        return [*closers, *made], one.last
    if made:
        return [*closers, *made, own[opened]], one.last
    return [], behind(tokens, one.first + opened)


def stray_block(tokens: Sequence[Token], one: Broken) -> int | None:
    """Where a block opens of which nobody knows what it is: behind a word that is no keyword, or a whole statement."""
    own = tokens[one.first : one.last]
    if not own or own[0].type in OPENS or own[0].type == "CLOSE_BRACE":
        return None
    return next((one.first + i for i, t in enumerate(own) if t.type == "OPEN_BRACE"), None)


def _meant(own: list[Token]) -> list[Token]:
    """Of a statement, or of what stands in front of its block."""
    head = own[1:] if own[0].type == "FROZEN" else own
    kind, named = head[0].type if head else "", len(head) > 1 and head[1].type == "NAME"
    block = any(t.type == "OPEN_BRACE" for t in own)
    if kind in _DEFINED and block and named:
        return head[:2]
    if block:
        return _condition(head, named)
    if kind in _DECLARED and named:
        return [*head[:2], *_made(own, "COLON", "OPEN_BRACKET", "TEXT", "CLOSE_BRACKET")]
    if kind in _ALONE:
        return [head[0], *_made(own, "TEXT")]
    return [*_left_side(own)]


def _condition(head: list[Token], named: bool) -> list[Token]:
    """What stands between `if` or `for` and the block."""
    if head[0].type == "IF":
        return [head[0], *_made(head, "TEXT")]
    if head[0].type == "FOR_EACH" and named:
        return [*head[:2], *_made(head, "IN", "TEXT", "UPTO", "TEXT")]
    return []


def _left_side(own: list[Token]) -> Iterator[Token]:
    """The targets of an assignment, and something that gives them a value."""
    end = next((i for i, t in enumerate(own) if t.type not in _LEFT), len(own))
    given = 0 < end < len(own) and (own[end].type == "IS" or (own[end].type, end) == ("OPEN_BRACKET", 1))
    if given or (end == len(own) and own[0].type == "PRIMED"):
        targets = own[:end] if own[end - 1].type != "COMMA" else own[: end - 1]
        yield from [*targets, *_made(own, "IS", "TEXT")]


def _made(own: list[Token], *types: str) -> Iterator[Token]:
    """Tokens that are nowhere in the text, with the place of the whole statement."""
    whole = own[0].span.to(own[-1].span)
    for type in types:
        yield Token(type, '"?"' if type == "TEXT" else "", whole, False)


def behind(tokens: Sequence[Token], opening: int) -> int:
    """Where the block that opens there is over."""
    depth = 0
    for at in range(opening, len(tokens)):
        depth += (tokens[at].type == "OPEN_BRACE") - (tokens[at].type == "CLOSE_BRACE")
        if depth == 0:
            return at + 1
    return len(tokens)


def text_of(tokens: Sequence[Token], broken: Sequence[Broken]) -> list[Span]:
    """Where the broken statements stand in the text, with blocks that nobody reads."""
    return [
        tokens[one.first].span.to(tokens[_end(tokens, one) - 1].span)
        for one in broken
        if one.first < one.last <= len(tokens)
    ]


def _end(tokens: Sequence[Token], one: Broken) -> int:
    stray = stray_block(tokens, one)
    return one.last if stray is None else behind(tokens, stray)
