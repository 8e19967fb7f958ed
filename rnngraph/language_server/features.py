"""The answers to requests: each asks `editor` about a text and says it in the words of the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcInvalidParams

from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Span
from rnngraph.editor.analysis import Analysis, definitions_of
from rnngraph.editor.completion import completions
from rnngraph.editor.fixes import fixes
from rnngraph.editor.highlighting import coloured
from rnngraph.editor.hover import about_word, hover
from rnngraph.editor.names import Occurrence, Symbol, declared, occurrence_at, occurrences
from rnngraph.editor.outline import folds, hints, outline
from rnngraph.editor.renaming import beside, refusal
from rnngraph.language.elaboration.imports import library
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.formatter import format
from rnngraph.language.syntax.parser import parse
from rnngraph.language_server.conversion import SYMBOLS, completion
from rnngraph.language_server.session import Server

MOST_SYMBOLS = 200
COLOURS = ("keyword", "type", "function", "class", "state", "number", "string", "comment", "operator", "name")
"""What words are, by number."""


# --- one place --------------------------------------------------------------------------------------------


def on_hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
    a, offset = ls.at(params)
    found = hover(a, offset)
    if found is None:
        return None
    content = lsp.MarkupContent(lsp.MarkupKind.Markdown, found.text)
    return lsp.Hover(content, ls.positions.range(found.span))


def on_completion(ls: Server, params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
    return [completion(found) for found in completions(*ls.at(params))]


def on_resolve(ls: Server, params: lsp.CompletionItem) -> lsp.CompletionItem:
    """What the language says of one of its own names: long, so only of the one that is looked at."""
    documented = params.kind in (lsp.CompletionItemKind.Function, lsp.CompletionItemKind.Class)
    if documented and (told := about_word(params.label)):
        params.documentation = lsp.MarkupContent(lsp.MarkupKind.Markdown, told)
    return params


def on_definition(ls: Server, params: lsp.DefinitionParams) -> lsp.Location | None:
    a, offset = ls.at(params)
    for item in a.file.items:
        if isinstance(item, ast.Import) and item.span.start <= offset <= item.span.end:
            return _imported(ls, a, item)
    found = occurrence_at(a, offset)
    first = declared(a, found.symbol) if found else None
    return ls.positions.location(first.span) if first else None


def _imported(ls: Server, a: Analysis, item: ast.Import) -> lsp.Location | None:
    """The beginning of the file that an import names."""
    wanted = a.source.folder / item.path if a.source.folder else None
    source = next((s for s in a.loaded.known if wanted is not None and s.name == str(wanted)), None)
    return ls.positions.location(Span(source, 0, 0)) if source else None


# --- every place of a name --------------------------------------------------------------------------------


def _everywhere(ls: Server, symbol: Symbol) -> Iterator[Occurrence]:
    for a in ls.documents.naming(symbol.name):
        yield from (o for o in occurrences(a) if o.symbol == symbol)


def on_references(ls: Server, params: lsp.ReferenceParams) -> list[lsp.Location]:
    found = occurrence_at(*ls.at(params))
    if found is None:
        return []
    every = [o for o in _everywhere(ls, found.symbol) if params.context.include_declaration or o.kind is None]
    return [ls.positions.location(o.span) for o in every]


def on_highlight(ls: Server, params: lsp.DocumentHighlightParams) -> list[lsp.DocumentHighlight]:
    a, offset = ls.at(params)
    found = occurrence_at(a, offset)
    same = [o for o in occurrences(a) if found and o.symbol == found.symbol]
    kinds = lsp.DocumentHighlightKind
    return [lsp.DocumentHighlight(ls.positions.range(o.span), kinds.Write if o.whole else kinds.Read) for o in same]


def on_prepare_rename(ls: Server, params: lsp.PrepareRenameParams) -> lsp.Range | None:
    found = occurrence_at(*ls.at(params))
    return ls.positions.range(found.span) if found and not refusal(found.symbol) else None


def on_rename(ls: Server, params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
    a, offset = ls.at(params)
    found = occurrence_at(a, offset)
    if found is None:
        return None
    new = params.new_name.removesuffix("'")
    around = [o for other in ls.documents.naming(found.symbol.name) for o in occurrences(other)]
    if reason := refusal(found.symbol, new, beside(found.symbol, around)):
        raise JsonRpcInvalidParams(reason)
    return ls.positions.edits((o.span, new) for o in around if o.symbol == found.symbol)


# --- the whole text ---------------------------------------------------------------------------------------


def on_symbols(ls: Server, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
    return [ls.positions.symbol(entry) for entry in outline(ls.documents.analysis(params.text_document.uri))]


def on_workspace_symbols(ls: Server, params: lsp.WorkspaceSymbolParams) -> list[lsp.WorkspaceSymbol]:
    """Definitions of the workspace, then those of the library."""
    here = (d for source in ls.documents.sources() for d in definitions_of(source))
    found = [d for d in (*here, *library().values()) if params.query.lower() in d.name.lower()]
    return [
        lsp.WorkspaceSymbol(
            ls.positions.location(d.name_span), d.name, SYMBOLS[d.kind], container_name=Path(d.span.source.name).name
        )
        for d in found[:MOST_SYMBOLS]
    ]


def on_formatting(ls: Server, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
    """The whole text in its canonical form; nothing while it has mistakes of syntax."""
    source = ls.documents.analysis(params.text_document.uri).source
    try:
        text = format(parse(source))
    except UserError:
        return []
    whole = Span(source, 0, len(source.text))
    return [lsp.TextEdit(ls.positions.range(whole), text)] if text != source.text else []


def on_folding(ls: Server, params: lsp.FoldingRangeParams) -> list[lsp.FoldingRange]:
    kinds = lsp.FoldingRangeKind
    return [
        lsp.FoldingRange(fold.first - 1, fold.last - 1, kind=kinds.Comment if fold.comment else kinds.Region)
        for fold in folds(ls.documents.analysis(params.text_document.uri))
    ]


def on_hints(ls: Server, params: lsp.InlayHintParams) -> list[lsp.InlayHint]:
    a = ls.documents.analysis(params.text_document.uri)
    ends = (ls.positions.offset(a.source, place) for place in (params.range.start, params.range.end))
    kind = lsp.InlayHintKind.Type
    return [lsp.InlayHint(ls.positions.position(a.source, h.offset), h.text, kind) for h in hints(a, *ends)]


def on_lens(ls: Server, params: lsp.CodeLensParams) -> list[lsp.CodeLens]:
    """What a model takes; a click compares its ways to unroll."""
    from rnngraph.editor.lens import model_cost  # here, since a whole compiler comes with it

    a = ls.documents.analysis(params.text_document.uri)
    models = [d for d in a.definitions if d.kind == "model"]
    told = {d: cost for d in models if (cost := model_cost(a.source, d.name))}
    return [
        lsp.CodeLens(
            ls.positions.range(d.name_span), lsp.Command(cost, "rnngraph.compare", arguments=[a.source.name, d.name])
        )
        for d, cost in told.items()
    ]


def on_actions(ls: Server, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    a = ls.documents.analysis(params.text_document.uri)
    start, end = (ls.positions.offset(a.source, place) for place in (params.range.start, params.range.end))
    found = [d for d in a.found if d.span and d.span.source == a.source and d.span.start <= end and start <= d.span.end]
    return [
        lsp.CodeAction(
            fix.title,
            lsp.CodeActionKind.QuickFix,
            [ls.positions.diagnostic(d, a.source)],
            is_preferred=True if at == 0 else None,
            edit=ls.positions.edits([(fix.span, fix.text)]),
        )
        for d in found
        for at, fix in enumerate(fixes(d))
    ]


def on_tokens(ls: Server, params: lsp.SemanticTokensParams) -> lsp.SemanticTokens:
    """Five numbers for each word: lines and columns behind the one before, its length, its colour, nothing more."""
    source = ls.documents.analysis(params.text_document.uri).source
    data: list[int] = []
    line = column = 0
    for piece in coloured(source):
        if piece.colour:
            begin, end = ls.positions.position(source, piece.span.start), ls.positions.position(source, piece.span.end)
            ahead = begin.character - (column if begin.line == line else 0)
            data += [begin.line - line, ahead, end.character - begin.character, COLOURS.index(piece.colour), 0]
            line, column = begin.line, begin.character
    return lsp.SemanticTokens(data)
