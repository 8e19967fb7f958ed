"""The parser's way through the tokens of one text; after a mistake it goes on at the next statement."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, takewhile
from typing import Any

from lark import UnexpectedToken

from rnngraph.diagnostics.diagnostic import Diagnostic, in_order
from rnngraph.diagnostics.source import Source, Span
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.brackets import BLOCKS, Place, Repaired
from rnngraph.language.syntax.grammar import SOFT, grammar
from rnngraph.language.syntax.lexer import Token
from rnngraph.language.syntax.misspelt import keywords_like, told
from rnngraph.language.syntax.stand_ins import Broken, behind, stray_block
from rnngraph.language.syntax.syntax_errors import Trouble, explain
from rnngraph.language.syntax.tree_builder import Refused, too_deep

MOST_ERRORS = 30
TRAIL = 4
"""Of so many tokens before a mistake one may be the misspelt word that led to it."""
DEEPEST_STACK = 3000
"""What a form of the greatest depth needs is less."""
Items = tuple[ast.Import | ast.Definition | ast.Options, ...]


class Reading:
    """One way through tokens that are in pairs of brackets.

    `errors` are those that are known already; `replaced` is where stand-ins begin: what is wrong behind one is not its
    fault.
    """

    def __init__(
        self,
        source: Source,
        repaired: Repaired,
        errors: Sequence[Diagnostic] = (),
        replaced: frozenset[int] = frozenset(),
    ) -> None:
        self.source = source
        self.tokens = repaired.tokens
        self.blocks = repaired.blocks
        self.errors = list(errors)
        self.reported = [error.span.start for error in errors if error.span]
        self.replaced = replaced
        self.broken: list[Broken] = []
        self.begin([])

    @property
    def told(self) -> list[Diagnostic]:
        """What is wrong, by place."""
        return in_order(self.errors)[:MOST_ERRORS]

    @property
    def too_deep(self) -> bool:
        return any(error.code == "E004" for error in self.errors)

    def begin(self, blocks: Sequence[str]) -> None:
        """A fresh parser, as deep inside of blocks as the text is where it goes on."""
        self.parser = grammar().lark.parse_interactive("")
        self.state = self.parser.parser_state
        self.trail: deque[tuple[int, list[Any], list[Any]]] = deque(maxlen=TRAIL)
        nowhere = Span(self.source, 0, 0)
        for kind in _entrance(blocks):
            self.state.feed_token(Token(kind, "", nowhere, False))

    def run(self) -> Items | None:
        """What the text holds; None where that is not known."""
        return self.finish() if self.advance() else None

    def advance(self) -> bool:
        """Through all tokens; whether the end was reached."""
        at, failed, known = 0, -1, len(self.errors)
        while at < len(self.tokens) and not self.too_deep:
            token = self.meant(at)
            before = list(self.state.state_stack)
            self.trail.append((at, before, list(self.state.value_stack)))
            try:
                self.state.feed_token(token)
                if len(before) > DEEPEST_STACK:
                    raise too_deep(token.span)
            except UnexpectedToken:
                if at == failed:
                    self.broken.append(self.statement(at))
                    failed = at = self.resume(at + 1)
                elif (stray := self.report(at, before)) is None:
                    failed = at = self.resume(at)
                else:
                    at = self.resume(max(at, behind(self.tokens, stray)))
            except Refused as error:
                self.refuse(error, at)
                failed = at = self.resume(at + (at == failed))
            else:
                at += 1
            if len(self.errors) - known >= MOST_ERRORS:
                return False
        return not self.too_deep

    def finish(self) -> Items | None:
        end = Span(self.source, len(self.source.text), len(self.source.text))
        before = list(self.state.state_stack)
        try:
            items: Items = self.state.feed_token(Token("$END", "", end, True), is_end=True)
        except UnexpectedToken:
            self.report(len(self.tokens), before)
            return None
        except Refused as error:
            self.refuse(error, len(self.tokens))
            return None
        return items if not self.broken else None

    def refuse(self, error: Refused, at: int) -> None:
        meant = self.misspelt(at) if error.diagnostic.code == "E001" else None
        self.errors.append(meant or error.diagnostic)
        self.broken.append(self.statement(at - self.starts(at)))

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

    def report(self, at: int, before: list[Any]) -> int | None:
        """Tells what was expected, unless something was already told of the same statement. Gives where a block opens
        of which nobody knows what it is."""
        statement = self.statement(at - self.starts(at))
        self.broken.append(self.blamed(at, statement))
        meant = self.misspelt(at)
        stray = None if meant else stray_block(self.tokens, self.broken[-1])
        self.tell(at, before, statement, meant)
        return stray

    def tell(self, at: int, before: list[Any], statement: Broken, meant: Diagnostic | None) -> None:
        begin, end = self.places(statement)
        if any(begin <= place < end for place in self.reported):
            return
        previous = self.tokens[at - 1] if at else None
        token = self.tokens[at] if at < len(self.tokens) else None
        following = self.tokens[at + 1] if at + 1 < len(self.tokens) else None
        spelled = grammar().spelled
        trouble = Trouble(self.source, previous, token, following, self.accepted(before), spelled)
        self.errors.append(meant or explain(trouble))

    def misspelt(self, at: int) -> Diagnostic | None:
        """A word there, or shortly before, that is nearly a keyword with which reading goes on for two words more."""
        for place, states, values in reversed(self.trail if at < len(self.tokens) else ()):
            token = self.tokens[place]
            for keyword in keywords_like(token):
                self.state.state_stack[:], self.state.value_stack[:] = states, values
                if self.goes_on([keyword], range(place + 1, min(at + 3, len(self.tokens)))):
                    self.opens(place, keyword)
                    return told(token, keyword, self.beginning(place))
        return None

    def opens(self, at: int, keyword: Token) -> None:
        """Has the block that a misspelt word opens be what the keyword makes of it."""
        opening = next((i for i in range(at + 1, self.statement(at).last) if self.tokens[i].type == "OPEN_BRACE"), None)
        if keyword.type in BLOCKS and opening is not None:
            outside = self.blocks[opening].kinds
            places = range(opening + 1, len(self.tokens))
            for inside in takewhile(lambda i: len(self.blocks[i].kinds) > len(outside), places):
                kinds = *outside, BLOCKS[keyword.type], *self.blocks[inside].kinds[len(outside) + 1 :]
                self.blocks[inside] = Place(kinds, self.blocks[inside].brackets)

    def goes_on(self, tokens: Sequence[Token], places: Iterable[int]) -> bool:
        """Whether these tokens are taken, and then those of the text."""
        try:
            for token in chain(tokens, map(self.meant, places)):
                self.state.feed_token(token)
        except (UnexpectedToken, Refused):
            return False
        return True

    def beginning(self, at: int) -> str:
        """What a word begins that stands there."""
        if not self.begins(at):
            return ""
        return "statement" if self.blocks[at].kinds else "definition"

    def blamed(self, at: int, statement: Broken) -> Broken:
        """The statement that is wrong: not the one before, where that has been replaced, or is the end of a block."""
        first = self.tokens[statement.first] if self.tokens else None
        sound = first is not None and (first.type == "CLOSE_BRACE" or first.span.start in self.replaced)
        return self.statement(at) if sound and at < len(self.tokens) and statement.last <= at else statement

    def accepted(self, states: list[Any]) -> set[str]:
        """The terminals that may follow in a state, found by trying each."""
        self.state.state_stack[:] = states
        self.state.value_stack[:] = [None] * (len(states) - 1)
        found: set[str] = set(self.parser.accepts())
        return found

    def statement(self, at: int) -> Broken:
        """From the last place before a token where a statement may begin, to the next one behind it."""
        first = min(at, len(self.tokens) - 1)
        while first > 0 and not self.begins(first):
            first -= 1
        last = at + 1
        while last < len(self.tokens) and not self.begins(last):
            last += 1
        return Broken(max(first, 0), min(last, len(self.tokens)))

    def places(self, statement: Broken) -> tuple[int, int]:
        """Where it stands in the text, up to the next one."""
        begin = self.tokens[statement.first].span.start if self.tokens else 0
        after = self.tokens[statement.last :]
        return begin, after[0].span.start if after else len(self.source.text) + 1

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
