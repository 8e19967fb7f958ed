"""Text to tree: Lark's tables, driven token by token so that one mistake does not hide the next."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.source import Source, Span
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.brackets import Repaired, repair
from rnngraph.language.syntax.error_recovery import Reading
from rnngraph.language.syntax.grammar import grammar
from rnngraph.language.syntax.lexer import Token, comments, scan
from rnngraph.language.syntax.stand_ins import text_of, with_stand_ins

LARGEST = 1_000_000
"""Bytes of one text."""
MOST_ROUNDS = 8
"""So often a text is read again around what is broken in it: what is wrong behind a stand-in is seen only then."""


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


class Read(Struct, frozen=True):
    """A text that need not be finished: what could be read, what is wrong, and where it could not be read."""

    file: ast.File
    errors: tuple[Diagnostic, ...]
    broken: tuple[Span, ...]


def parse(source: Source) -> ast.File:
    """The tree of a text, or UserError with every syntax error that can be told apart."""
    reading = _begun(source)
    items = reading.run()
    if reading.errors or items is None:
        raise UserError(reading.told)
    return ast.File(source, items)


def parse_around(source: Source) -> Read:
    """The tree of a text of which some statements cannot be read: of all others. UserError only for what is no text."""
    reading = _begun(source)
    items, told = reading.run(), reading.told
    broken: list[Span] = []
    for _ in range(MOST_ROUNDS):
        if items is not None and not reading.broken:
            break
        repaired = repair(with_stand_ins(reading.tokens, reading.broken, {span.start for span in broken}))
        broken += text_of(reading.tokens, reading.broken)
        reading = Reading(source, repaired, replaced=frozenset(span.start for span in broken))
        items = reading.run()
    return Read(ast.File(source, items or ()), tuple(told), tuple(broken))


def _begun(source: Source) -> Reading:
    """With what the scanner and the pairs of brackets told."""
    _checked(source)
    tokens, errors = scan(source, grammar().lexicon)
    repaired = repair(tokens)
    return Reading(source, repaired, [*errors, *repaired.errors])


class Expected(Struct, frozen=True):
    """What may stand at a place: terminals, and the kinds of the blocks around it. `before` are the tokens in front."""

    terminals: frozenset[str]
    blocks: tuple[str, ...]
    before: tuple[Token, ...]

    @property
    def words(self) -> list[str]:
        """Those that are always written alike, and are words."""
        spelled = grammar().spelled
        return sorted({spelled[t] for t in self.terminals if spelled.get(t, "").isalpha()})


def expected_at(source: Source, offset: int) -> Expected:
    """What the grammar takes at a place, whatever stands behind it. UserError for what is no text."""
    tokens = [t for t in scan(_checked(source), grammar().lexicon)[0] if t.span.end <= offset]
    here = Token("NAME", "", Span(source, offset, offset), False)
    repaired = repair([*tokens, here])
    at = next((i for i, token in enumerate(repaired.tokens) if token is here), None)
    if at is None:  # nested too deeply
        return Expected(frozenset(), (), tuple(tokens))
    reading = Reading(source, Repaired(repaired.tokens[:at], repaired.blocks[:at], []))
    reading.advance()
    terminals = frozenset(reading.accepted(list(reading.state.state_stack)))
    return Expected(terminals, repaired.blocks[at].kinds, tuple(tokens))


def comments_of(source: Source) -> list[Span]:
    """The comments of a text, in order."""
    return comments(source, grammar().lexicon)


def tokens_of(source: Source) -> list[Token]:
    """The tokens of a text, in order."""
    return scan(source, grammar().lexicon)[0]


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
