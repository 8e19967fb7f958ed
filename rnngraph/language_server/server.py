"""The features of the server: each asks `editor` about a text and says it in the words of the protocol."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

from rnngraph import __version__
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source, Span
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
from rnngraph.language_server.conversion import SYMBOLS, Positions, completion
from rnngraph.language_server.documents import Documents, file_of, name_of

PAUSE = 0.03
"""Seconds without a change after which a text is checked: of what is typed in one go, only the last is."""
MOST_SYMBOLS = 200
COLOURS = ["keyword", "type", "function", "class", "state", "number", "string", "comment", "operator", "name"]
_LEGEND = {"state": "property", "name": "variable"}


class Server(LanguageServer):
    """The server of one editor."""

    def __init__(self) -> None:
        super().__init__("rnngraph", __version__, text_document_sync_kind=lsp.TextDocumentSyncKind.Full)
        self.documents = Documents()
        self.positions = Positions(self.documents.address)
        self.waiting: dict[str, asyncio.TimerHandle] = {}

    def at(self, params: lsp.TextDocumentPositionParams) -> tuple[Analysis, int]:
        """A text as it is known, and the character that a request is about."""
        a = self.documents.analysis(params.text_document.uri)
        return a, self.positions.offset(a.source, params.position)

    def check_soon(self, name: str) -> None:
        """When nothing has been typed for a moment."""
        if name in self.waiting:
            self.waiting[name].cancel()
        self.waiting[name] = asyncio.get_running_loop().call_later(PAUSE, self.check, name)

    def check(self, name: str) -> None:
        """Tells what is wrong in a text, and in those that are open and import it."""
        self.waiting.pop(name, None)
        for source in list(self.documents.open.values()):
            if source.name == name or self._follows(source, name):
                self.tell(source)

    def _follows(self, source: Source, name: str) -> bool:
        known = self.documents.known.get(source.name)
        return known is not None and Path(name) in known.analysis.loaded.files[1:]

    def tell(self, source: Source) -> None:
        uri = self.documents.address(source)
        a = self.documents.analysis(uri)
        found = [self.positions.diagnostic(d, a.source) for d in a.found]
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, found))


# --- texts ----------------------------------------------------------------------------------------------


def initialized(ls: Server, params: lsp.InitializedParams) -> None:
    """The folders that are open, and how the client counts; what is needed first is loaded."""
    folders = ls.workspace.folders.values()
    ls.documents.folders = [path for folder in folders if (path := file_of(folder.uri))]
    if not ls.documents.folders and (root := file_of(ls.workspace.root_uri or "")):
        ls.documents.folders = [root]
    ls.positions = Positions(ls.documents.address, ls.workspace.position_encoding.value)


def did_open(ls: Server, params: lsp.DidOpenTextDocumentParams) -> None:
    ls.documents.put(params.text_document.uri, params.text_document.text)
    ls.check(name_of(params.text_document.uri))


def did_change(ls: Server, params: lsp.DidChangeTextDocumentParams) -> None:
    for change in params.content_changes:
        ls.documents.put(params.text_document.uri, change.text)
    ls.check_soon(name_of(params.text_document.uri))


def did_save(ls: Server, params: lsp.DidSaveTextDocumentParams) -> None:
    ls.check(name_of(params.text_document.uri))


def did_close(ls: Server, params: lsp.DidCloseTextDocumentParams) -> None:
    """What was told of it is taken back; those that import it have the text on disk now."""
    uri = params.text_document.uri
    ls.documents.close(uri)
    ls.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, []))
    ls.check(name_of(uri))


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
    if params.kind in (lsp.CompletionItemKind.Function, lsp.CompletionItemKind.Class) and (told := about_word(params.label)):
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
    every = list(_everywhere(ls, found.symbol))
    home = {name for other in ls.documents.naming(found.symbol.name) for name in beside(found.symbol, occurrences(other))}
    if reason := refusal(found.symbol, new, home):
        raise JsonRpcInvalidParams(reason)
    return ls.positions.edits((o.span, new) for o in every)


# --- the whole text ---------------------------------------------------------------------------------------


def on_symbols(ls: Server, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
    return [ls.positions.symbol(entry) for entry in outline(ls.documents.analysis(params.text_document.uri))]


def on_workspace_symbols(ls: Server, params: lsp.WorkspaceSymbolParams) -> list[lsp.WorkspaceSymbol]:
    """Definitions of the workspace, then those of the library."""
    asked = params.query.lower()
    here = [(d.name, d.kind, d.name_span, d.span.source.name) for s in ls.documents.sources() for d in definitions_of(s)]
    there = [(d.name, d.kind, d.name_span, "library") for d in library().values()]
    found = [one for one in (*here, *there) if asked in one[0].lower()][:MOST_SYMBOLS]
    at = ls.positions.location
    return [lsp.WorkspaceSymbol(at(span), name, SYMBOLS[kind], container_name=where) for name, kind, span, where in found]


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
        lsp.CodeLens(ls.positions.range(d.name_span), lsp.Command(cost, "rnngraph.compare", arguments=[a.source.name, d.name]))
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


# --- all of them ------------------------------------------------------------------------------------------


def serve() -> None:
    """Answers on standard output what is asked on standard input, until the client says `exit` or is gone."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # what a client is told is not told to a terminal too
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb") as asked, os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answered:
        server().start_io(asked, answered)


def server() -> Server:
    """A server with all features."""
    made = Server()
    for name, feature in FEATURES.items():
        made.feature(name, _OPTIONS.get(name))(feature)
    made.feature(lsp.TEXT_DOCUMENT_CODE_LENS)(made.thread()(on_lens))
    return made


FEATURES: dict[str, Any] = {
    lsp.INITIALIZED: initialized,
    lsp.TEXT_DOCUMENT_DID_OPEN: did_open,
    lsp.TEXT_DOCUMENT_DID_CHANGE: did_change,
    lsp.TEXT_DOCUMENT_DID_SAVE: did_save,
    lsp.TEXT_DOCUMENT_DID_CLOSE: did_close,
    lsp.TEXT_DOCUMENT_HOVER: on_hover,
    lsp.TEXT_DOCUMENT_COMPLETION: on_completion,
    lsp.COMPLETION_ITEM_RESOLVE: on_resolve,
    lsp.TEXT_DOCUMENT_DEFINITION: on_definition,
    lsp.TEXT_DOCUMENT_REFERENCES: on_references,
    lsp.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT: on_highlight,
    lsp.TEXT_DOCUMENT_PREPARE_RENAME: on_prepare_rename,
    lsp.TEXT_DOCUMENT_RENAME: on_rename,
    lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL: on_symbols,
    lsp.WORKSPACE_SYMBOL: on_workspace_symbols,
    lsp.TEXT_DOCUMENT_FORMATTING: on_formatting,
    lsp.TEXT_DOCUMENT_FOLDING_RANGE: on_folding,
    lsp.TEXT_DOCUMENT_INLAY_HINT: on_hints,
    lsp.TEXT_DOCUMENT_CODE_ACTION: on_actions,
    lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL: on_tokens,
}
_OPTIONS: dict[str, Any] = {
    lsp.TEXT_DOCUMENT_COMPLETION: lsp.CompletionOptions(trigger_characters=[".", "~", '"', "'"], resolve_provider=True),
    lsp.TEXT_DOCUMENT_CODE_ACTION: lsp.CodeActionOptions([lsp.CodeActionKind.QuickFix]),
    lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL: lsp.SemanticTokensLegend([_LEGEND.get(c, c) for c in COLOURS], []),
}
