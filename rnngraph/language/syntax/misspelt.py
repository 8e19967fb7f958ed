"""Words that are nearly keywords."""

from __future__ import annotations

from difflib import get_close_matches

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.other_names import of_word
from rnngraph.diagnostics.suggestions import LONGEST_WORD
from rnngraph.language.syntax.grammar import grammar
from rnngraph.language.syntax.lexer import Token

LEAST_ALIKE = 0.6
OF_TWO_LETTERS = 0.5
"""One letter in two, as `fi` is like `if`."""


def keywords_like(token: Token) -> list[Token]:
    """The keywords that a name may have been meant to be, the likeliest first; of what has a hint of its own none."""
    text, words = token.text, grammar().words
    if token.type != "NAME" or not 1 < len(text) <= LONGEST_WORD or of_word(text):
        return []
    least = LEAST_ALIKE if len(text) > 2 else OF_TWO_LETTERS
    near = get_close_matches(text.lower(), sorted(words), n=5, cutoff=least)
    spelled = grammar().spelled.items()
    return [Token(kind, word, token.span, token.first) for word in near for kind, known in spelled if known == word]


def told(token: Token, keyword: Token, begins: str) -> Diagnostic:
    """`begins` is what the word would begin where it stands; nothing inside of an expression."""
    message = f"`{token.text}` begins no {begins}" if begins else f"unexpected `{token.text}`"
    return Diagnostic("E001", message, token.span, help=f"did you mean `{keyword.text}`?")
