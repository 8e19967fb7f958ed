"""The language for Pygments: documents, notebooks and terminals colour `.rnn` texts by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pygments.lexer import Lexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Text, _TokenType

from rnngraph.diagnostics.source import Source
from rnngraph.editor.highlighting import Colour, coloured

_TOKENS: dict[Colour, _TokenType] = {
    "keyword": Keyword,
    "type": Keyword.Type,
    "function": Name.Builtin,
    "class": Name.Class,
    "state": Name.Variable.Instance,
    "number": Number,
    "string": String.Double,
    "comment": Comment.Single,
    "operator": Operator,
    "name": Name,
    "": Text,
}


class RnnLexer(Lexer):  # type: ignore[misc]
    """Tokens as the language's own scanner finds them."""

    name = "rnngraph"
    aliases: ClassVar[list[str]] = ["rnn", "rnngraph"]
    filenames: ClassVar[list[str]] = ["*.rnn"]
    url = ""

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, Any, str]]:
        for piece in coloured(Source("<text>", text)):
            yield piece.span.start, _TOKENS[piece.colour], piece.span.text
