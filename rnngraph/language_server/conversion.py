"""Places and results in the words of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lsprotocol import types as lsp
from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic, clipped
from rnngraph.diagnostics.source import Source, Span
from rnngraph.editor.completion import Completion
from rnngraph.editor.names import Kind
from rnngraph.editor.outline import Entry

UTF16 = "utf-16"
_UNITS: dict[str, Callable[[str], int]] = {
    "utf-8": lambda text: len(text.encode()),
    UTF16: lambda text: len(text.encode("utf-16-le")) // 2,
    "utf-32": len,
}


class Positions(Struct, frozen=True):
    """How the client counts columns, and what it calls texts."""

    address: Callable[[Source], str]
    encoding: str = UTF16

    def position(self, source: Source, offset: int) -> lsp.Position:
        line, column = source.place(min(offset, len(source.text)))
        return lsp.Position(line - 1, _UNITS[self.encoding](source.line(line)[: column - 1]))

    def range(self, span: Span) -> lsp.Range:
        return lsp.Range(self.position(span.source, span.start), self.position(span.source, span.end))

    def offset(self, source: Source, position: lsp.Position) -> int:
        """The character at a position; one outside of the text is moved into it."""
        line = min(max(position.line, 0) + 1, source.place(len(source.text))[0])
        begin, end = source.ends(line)
        text, left = source.text[begin:end], position.character
        for at, character in enumerate(text):
            if left <= 0:
                return begin + at
            left -= _UNITS[self.encoding](character)
        return end

    def location(self, span: Span) -> lsp.Location:
        return lsp.Location(self.address(span.source), self.range(span))

    def diagnostic(self, found: Diagnostic, source: Source) -> lsp.Diagnostic:
        """One that has no place in this text stands at its beginning."""
        here = found.span is not None and found.span.source == source
        span = found.span if here and found.span else Span(source, 0, 0)
        elsewhere = [] if here or not found.span else [(found.span, found.note or "here")]
        related = [*elsewhere, *((label.span, label.text or "here") for label in found.labels)]
        said = [found.message, f"({found.note})" if found.note and here else "", found.help and f"help: {found.help}"]
        return lsp.Diagnostic(
            self.range(span),
            "\n".join(clipped(text) for text in said if text),
            severity=lsp.DiagnosticSeverity.Error if found.severity == "error" else lsp.DiagnosticSeverity.Warning,
            code=found.code,
            source="rnngraph",
            tags=[lsp.DiagnosticTag.Unnecessary] if found.code in ("W401", "W402") else None,
            related_information=[lsp.DiagnosticRelatedInformation(self.location(s), t) for s, t in related] or None,
        )

    def symbol(self, entry: Entry) -> lsp.DocumentSymbol:
        inside = [self.symbol(one) for one in entry.inside]
        whole, own = self.range(entry.span), self.range(entry.name_span)
        return lsp.DocumentSymbol(entry.name, SYMBOLS[entry.kind], whole, own, entry.detail or None, children=inside)

    def edits(self, changes: Iterable[tuple[Span, str]]) -> lsp.WorkspaceEdit:
        found: dict[str, list[lsp.TextEdit]] = {}
        for span, text in changes:
            found.setdefault(self.address(span.source), []).append(lsp.TextEdit(self.range(span), text))
        return lsp.WorkspaceEdit(changes=dict(found))


SYMBOLS: dict[Kind, lsp.SymbolKind] = {
    "cell": lsp.SymbolKind.Class,
    "layer": lsp.SymbolKind.Class,
    "model": lsp.SymbolKind.Module,
    "setting": lsp.SymbolKind.Property,
    "input": lsp.SymbolKind.Field,
    "state": lsp.SymbolKind.Field,
    "param": lsp.SymbolKind.Field,
    "value": lsp.SymbolKind.Variable,
    "size": lsp.SymbolKind.Constant,
    "counter": lsp.SymbolKind.Variable,
}

_COMPLETIONS = {
    "keyword": lsp.CompletionItemKind.Keyword,
    "function": lsp.CompletionItemKind.Function,
    "cell": lsp.CompletionItemKind.Class,
    "value": lsp.CompletionItemKind.Variable,
    "setting": lsp.CompletionItemKind.Property,
    "option": lsp.CompletionItemKind.Property,
    "field": lsp.CompletionItemKind.Field,
    "file": lsp.CompletionItemKind.File,
}
_ORDER = ("setting", "field", "option", "value", "file", "cell", "function", "keyword")


def completion(found: Completion) -> lsp.CompletionItem:
    """What is near stands above what is everywhere."""
    return lsp.CompletionItem(
        found.label,
        kind=_COMPLETIONS[found.kind],
        detail=found.detail or None,
        sort_text=f"{_ORDER.index(found.kind)}{found.label}",
        insert_text=found.insert or None,
    )
