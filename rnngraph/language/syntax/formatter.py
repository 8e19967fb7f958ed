"""The canonical text of a file: one statement per line, comments and single blank lines where they were.

An `if` or a `for` of one statement stays in one line where it was written in one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from rnngraph.diagnostics.source import Source
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.line_breaks import INDENT, WIDTH, Doc, flat, lay_out
from rnngraph.language.syntax.parser import comments_of, tokens_of
from rnngraph.language.syntax.unparse import header, line

Form = ast.Import | ast.Definition | ast.Statement | ast.Option
_WITH_BLOCK = ast.Definition | ast.For | ast.If | ast.Options


def format(file: ast.File) -> str:
    """The text that every file of the same meaning and with the same comments has."""
    writer = _Writer(file.source)
    writer.block(file.items, len(file.source.text), 0)
    return "".join(f"{text}\n" for text in writer.lines)


class _Writer:
    """Goes through the forms and the comments of a text side by side, in the order of the text."""

    def __init__(self, source: Source) -> None:
        self.text = source.text
        self.comments = comments_of(source)[::-1]
        """Those not yet written, the next one last."""
        braces = [token for token in tokens_of(source) if token.text in ("{", "}")]
        self.opening = [token.span.start for token in braces if token.text == "{"]
        self.closing = _partners([(token.text, token.span.start) for token in braces])
        self.lines: list[str] = []
        self.end = 0
        """Up to here everything is written."""
        self.alone = True
        """Whether nothing is yet written in this block."""
        self.apart = False
        """Whether an empty line must follow."""

    # --- lines -------------------------------------------------------------------------------------

    def begin(self, start: int, apart: bool = False) -> None:
        """Keeps one of the empty lines in front of what starts here."""
        empty = self.text[self.end : start].count("\n") > 1
        if not self.alone and (empty or apart or self.apart):
            self.lines.append("")
        self.alone = self.apart = False
        self.end = start

    def write(self, doc: Doc, indent: int, end: int) -> None:
        """A form that ends there in the text, and the comment behind it in the same line."""
        self.lines += lay_out(doc, indent)
        self.end = end
        if self.comments and self.text[end : self.comments[-1].start].strip(" \t") == "":
            self.lines[-1] += "  " + self.comment()

    def comment(self) -> str:
        span = self.comments.pop()
        self.end = span.end
        return span.text.rstrip()

    def comments_before(self, offset: int, indent: int) -> None:
        while self.comments and self.comments[-1].start < offset:
            self.begin(self.comments[-1].start)
            self.lines.append(" " * indent + self.comment())

    def comments_within(self, offset: int, indent: int) -> None:
        """Those inside of a statement go in front of it."""
        while self.comments and self.comments[-1].start < offset:
            self.lines.append(" " * indent + self.comment())

    # --- forms -------------------------------------------------------------------------------------

    def block(self, forms: Sequence[Form], end: int, indent: int) -> None:
        """The forms of a block, and the comments up to its end."""
        for form in _told(forms):
            self.comments_before(form.span.start, indent)
            self.begin(form.span.start, isinstance(form, ast.Definition) and self.follows_form())
            self.form(form, indent)
            self.apart = isinstance(form, ast.Definition)
        self.comments_before(end, indent)
        self.apart = False

    def follows_form(self) -> bool:
        return bool(self.lines) and not self.lines[-1].startswith("#")

    def form(self, form: Form, indent: int) -> None:
        if isinstance(form, ast.For | ast.If) and self.fits_in_its_line(form, indent):
            self.write(_in_one_line(form), indent, form.span.end)
        elif isinstance(form, _WITH_BLOCK):
            self.with_block(form, (), indent)
        else:
            self.comments_within(form.span.end, indent)
            self.write(line(form), indent, form.span.end)

    def fits_in_its_line(self, form: ast.For | ast.If, indent: int) -> bool:
        """Whether it stands in one line, without a comment, has one statement in each block, and need not be broken."""
        start, end, blocks = form.span.start, form.span.end, _blocks(form)
        commented = bool(self.comments) and self.comments[-1].start < end
        if commented or "\n" in self.text[start:end] or not all(map(_is_one, blocks)):
            return False
        braces = bisect_left(self.opening, end) - bisect_left(self.opening, start)
        return braces == len(blocks) and indent + len(flat(_in_one_line(form))) <= WIDTH

    def with_block(self, form: _WITH_BLOCK, lead: Doc, indent: int) -> None:
        """`lead` is what stands in front of it in the same line: the `} else ` of a chain."""
        open = self.opening[bisect_left(self.opening, form.span.start)]
        self.comments_within(open, indent + INDENT * bool(lead))
        body = form.options if isinstance(form, ast.Options) else form.body
        self.braces(body, (*lead, *header(form)), open, indent)
        if isinstance(form, ast.If) and self.closing[open] + 1 < form.span.end:
            self.otherwise(form.orelse, open, indent)
        else:
            self.write(("}",), indent, form.span.end)

    def braces(self, forms: Sequence[Form], lead: Doc, open: int, indent: int) -> None:
        self.write((*lead, "{"), indent, open + 1)
        self.alone = True
        self.block(forms, self.closing[open], indent + INDENT)
        self.alone = False

    def otherwise(self, forms: Sequence[Form], before: int, indent: int) -> None:
        """Behind the block that opens at `before`: `} else if ... {`, or `} else {`."""
        open = self.opening[bisect_left(self.opening, self.closing[before])]
        if forms and isinstance(forms[0], ast.If) and forms[0].span.start < open:
            self.with_block(forms[0], ("} else ",), indent)
        else:
            self.comments_within(open, indent + INDENT)
            self.braces(forms, ("} else ",), open, indent)
            self.write(("}",), indent, self.closing[open] + 1)


def _told(forms: Sequence[Form]) -> list[Form]:
    """The forms without those that are told with the first name of their declaration."""
    return [f for f in forms if not isinstance(f, ast.Input | ast.State | ast.Param) or f.together]


def _blocks(form: ast.For | ast.If) -> list[list[Form]]:
    """What is told in its braces; that of `else` only if there is one."""
    orelse = _told(form.orelse) if isinstance(form, ast.If) else []
    return [_told(form.body), *([orelse] if orelse else [])]


def _is_one(forms: Sequence[Form]) -> bool:
    return len(forms) == 1 and not isinstance(forms[0], _WITH_BLOCK)


def _in_one_line(form: ast.For | ast.If) -> Doc:
    """`if a { b } else { c }`, of blocks that hold one statement each."""
    then, *other = ((*line(told), " }") for (told,) in _blocks(form) if not isinstance(told, _WITH_BLOCK))
    return (*header(form), "{ ", *then, *(piece for doc in other for piece in (" else { ", *doc)))


def _partners(braces: Sequence[tuple[str, int]]) -> dict[int, int]:
    """From where each `{` stands to where its `}` does."""
    pairs, open = {}, []
    for text, offset in braces:
        if text == "{":
            open.append(offset)
        else:
            pairs[open.pop()] = offset
    return pairs
