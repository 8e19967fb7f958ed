"""What is said where the grammar does not go on: what was expected, in words, and what was probably meant."""

from __future__ import annotations

from collections.abc import Mapping, Set

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.other_names import of_word
from rnngraph.diagnostics.source import Source, Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.language.syntax.lexer import Token

_ITEMS = ("cell", "layer", "model", "import", "train", "schedule")
_STATEMENTS = (
    "input", "state", "param", "frozen", "output", "loss", "metric", "stop", "for", "if", "train", "schedule"
)  # fmt: skip
_COMPARISONS = {"EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"}
_CLASSES = {"NAME": "a name", "TEXT": "a string in double quotes", "INTEGER": "a number"}
_UPDATES = {"PLUS": "+", "MINUS": "-", "TIMES": "*", "DIVIDE": "/"}
_STANDS_FOR_ITSELF = {"OUTPUT", "LOSS", "METRIC", "STOP"}


class Trouble(Struct, frozen=True):
    """A token that cannot stand where it does (None: the text ends), its neighbours, and what could."""

    source: Source
    before: Token | None
    token: Token | None
    after: Token | None
    accepted: Set[str]
    spelled: Mapping[str, str]
    """How the terminals are written."""

    def accepts(self, *terminals: str) -> bool:
        return all(terminal in self.accepted for terminal in terminals)

    @property
    def found(self) -> str:
        return self.token.type if self.token else ""

    @property
    def behind(self) -> str:
        """ "after `x`", where there is something in front."""
        return f" after `{self.before.text}`" if self.before else ""

    @property
    def span(self) -> Span:
        """The token, or the end of the line before it where something is missing there."""
        end = self.before.span.end if self.before else 0
        if self.token and not (self.before and self.token.first):
            return self.token.span
        return Span(self.source, end, end)

    def expected(self, what: str, help: str = "") -> Diagnostic:
        return Diagnostic("E001", f"expected {what}{self.behind}", self.span, self.reserved, help=help)

    def unexpected(self, help: str = "", note: str = "") -> Diagnostic:
        if self.token is None:
            return Diagnostic("E001", f"the file ends too early{self.behind}", self.span, note, help=help)
        message = f"unexpected `{self.token.text}`{self.behind}"
        return Diagnostic("E001", message, self.token.span, note, help=help)

    @property
    def reserved(self) -> str:
        """Said of a keyword that stands where a name could."""
        token = self.token
        if token and not token.first and self.accepts("NAME") and self.spelled.get(token.type, "").isalpha():
            return f"`{token.text}` is a keyword"
        return ""


def explain(trouble: Trouble) -> Diagnostic:
    """The one diagnostic that fits a place best."""
    accepts = trouble.accepts
    if accepts("CELL", "MODEL", "$END"):
        return _outside(trouble)
    if trouble.accepted == {"IS", "COMMA"}:
        return _no_definition(trouble)
    if accepts("SEQ", "INT_TYPE", "OPEN_BRACKET"):
        return trouble.expected("a type", "a type is written `[n, 3]`, `int`, `seq[3]` or `seq int`")
    if accepts("OPEN_PAREN", "INTEGER", "TRUE"):
        return _no_expression(trouble)
    if trouble.found in _COMPARISONS and accepts("AND"):
        return trouble.unexpected("comparisons do not chain: write `a < b and b < c`")
    if accepts("CLOSE_BRACE"):
        return _no_statement(trouble)
    words = {name for name, text in trouble.spelled.items() if text.isalpha()}
    if trouble.accepted <= words | {"NAME", "INTEGER"}:
        return _no_word(trouble)
    return _one_of(trouble)


def _outside(trouble: Trouble) -> Diagnostic:
    """Between definitions."""
    token = trouble.token
    assert token, "a file can end between definitions"
    if token.text in _STATEMENTS:
        return Diagnostic("E001", f"`{token.text}` is outside every cell, layer and model", token.span)
    if token.type == "NAME":
        hint = did_you_mean(token.text, _ITEMS)
        return Diagnostic(
            "E001",
            f"`{token.text}` begins no definition",
            token.span,
            help=hint or f"expected {_either(_ITEMS)}",
        )
    return Diagnostic("E001", f"expected {_either(_ITEMS)}", token.span)


def _no_definition(trouble: Trouble) -> Diagnostic:
    """A word that should be a keyword, or be followed by `=`."""
    word = trouble.before
    assert word
    known = of_word(word.text) if trouble.found != "IS" else ""
    hint = known or did_you_mean(word.text, _STATEMENTS)
    if known or (hint and trouble.found in ("NAME", "PRIMED", "INTEGER", "DECIMAL", "OPEN_BRACE", "PARAM")):
        return Diagnostic("E001", f"`{word.text}` begins no statement", word.span, help=hint)
    if trouble.found in _UPDATES and trouble.after and trouble.after.type == "IS":
        sign = _UPDATES[trouble.found]
        row = word.type == "CLOSE_BRACKET"
        whole = f"m'[i] = m[i] {sign} ..." if row else f"{word.text} = {word.text} {sign} ..."
        return trouble.expected("`=`", f"write `{whole}`")
    if trouble.found == "EQUAL":
        return trouble.unexpected("`=` gives a value a name, `==` compares")
    if not word.first:
        return Diagnostic(
            "E001",
            f"unexpected `{word.text}`",
            word.span,
            "an operator is missing before it, or `=` after it",
        )
    if trouble.found == "OPEN_BRACKET":
        return trouble.expected("`=`", f"only the next value of a state is written row by row: `{word.text}'[i] = ...`")
    if trouble.found in ("OPEN_PAREN", "DOT"):
        return trouble.expected("`=`", "every value gets a name, `y = ...`, or is an output, `output ...`")
    return trouble.expected("`=`")


def _no_expression(trouble: Trouble) -> Diagnostic:
    before = trouble.before
    if trouble.found == "IS" and before and before.type in _STANDS_FOR_ITSELF:
        return trouble.expected("an expression", f"`{before.text}` is written without `=`")
    if trouble.found == "DOT" and trouble.after and trouble.after.type == "INTEGER":
        return trouble.expected("an expression", f"write `0.{trouble.after.text}`")
    if trouble.found == "UNROLL":
        return trouble.expected("an expression", "put an `unroll` inside an expression in parentheses")
    return trouble.expected("an expression")


def _no_statement(trouble: Trouble) -> Diagnostic:
    """Where a statement may begin or the one before may go on."""
    if trouble.token is None:
        return trouble.expected("`}`")
    if trouble.found == "FLOOR_DIVIDE" and trouble.token.first:
        return trouble.unexpected("a comment begins with `#`")
    if trouble.found in ("OPEN_BRACKET", "SEQ", "FLOAT_TYPE", "INT_TYPE", "BOOL_TYPE") and trouble.accepts("COLON"):
        return trouble.expected("`:`", _its_type(trouble))
    if trouble.found == "WITH":
        return trouble.unexpected("the parts of an `unroll` have an order: `over x with m = e for 3 from s`")
    if trouble.token.text.isalpha() and trouble.after and trouble.after.type == "IS":
        return trouble.unexpected(note=f"`{trouble.token.text}` is a keyword and cannot be a name")
    if trouble.found == "IS" and trouble.accepts("EQUAL") and not trouble.accepts("CELL"):
        return trouble.unexpected("`==` compares, `=` gives a value a name")
    if trouble.found == "COMMA":
        return trouble.unexpected("each value has a line of its own: `a = x`, then `b = y`")
    if trouble.found == "FOR":
        return trouble.unexpected("a repetition is written `for k in 1..depth { ... }`")
    if trouble.found == "ELSE":
        return trouble.unexpected("`else` follows the block of an `if`")
    if trouble.found == "IMPORT":
        return trouble.unexpected("imports go outside every cell, layer and model")
    if trouble.found in ("CELL", "LAYER", "MODEL"):
        return trouble.unexpected("cells, layers and models cannot be nested")
    if trouble.found in ("INTEGER", "DECIMAL", "TEXT", "TRUE", "FALSE", "NOT", "UNROLL"):
        return trouble.unexpected("an operator is missing, or a name and `=`")
    if trouble.accepts("CELL"):
        return trouble.unexpected("an option is a name and its value, such as `epochs 20`")
    return trouble.unexpected()


def _no_word(trouble: Trouble) -> Diagnostic:
    if trouble.found == "IS" and trouble.before:
        return trouble.expected("a name", f"`{trouble.before.text}` is a keyword and cannot be a name itself")
    if trouble.accepted == {"NAME", "IN"}:
        return _one_of(trouble)
    words = sorted(trouble.spelled[name] for name in trouble.accepted if name in trouble.spelled)
    if not trouble.accepts("NAME"):
        hint = did_you_mean(trouble.token.text, words) if trouble.token else ""
        return trouble.expected(_either(words), hint)
    return trouble.expected("a name")


def _one_of(trouble: Trouble) -> Diagnostic:
    """What closes or separates comes first: it is what was most likely left out."""
    if trouble.accepted == {"COMMA", "COLON"}:  # behind a name that is declared
        return trouble.expected("`:`", _its_type(trouble))
    order = ["COMMA", "CLOSE_PAREN", "CLOSE_BRACKET", "OPEN_BRACE", "COLON", "IS", "IN", "UPTO"]
    order += [] if trouble.accepts("PLUS") else ["OPEN_PAREN"]
    named = [f"`{trouble.spelled[name]}`" for name in order if name in trouble.accepted]
    named += [text for name, text in _CLASSES.items() if name in trouble.accepted]
    if trouble.found == "IS" and trouble.accepts("EQUAL", "CLOSE_PAREN") and not trouble.accepts("COMMA"):
        return trouble.unexpected("`==` compares; values with names are a record: `record(c = x, h = y)`")
    if trouble.found == "IS" and trouble.accepts("EQUAL"):
        return trouble.unexpected("`==` compares, `=` gives a value a name")
    if trouble.found == "ELSE":
        return trouble.unexpected("a choice between values is written `where(condition, a, b)`")
    return trouble.expected(" or ".join(named[:2])) if named else trouble.unexpected()


def _its_type(trouble: Trouble) -> str:
    """Behind the name that a declaration begins with."""
    name = trouble.before.text if trouble.before else "x"
    return f"its type stands there: `{name}: [n]` of n values, `{name}: []` of a single number"


def _either(words: tuple[str, ...] | list[str]) -> str:
    quoted = [f"`{word}`" for word in words]
    return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
