"""The server of one editor: its texts, and when they are checked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from rnngraph import __version__
from rnngraph.diagnostics.source import Source
from rnngraph.editor.analysis import Analysis
from rnngraph.language_server.conversion import UTF16, Positions
from rnngraph.language_server.documents import Documents, file_of, name_of

PAUSE = 0.03
"""Seconds without a change after which a text is checked: of what is typed in one go, only the last is."""


class AtPlace(Protocol):
    """What a request about a place of a text has."""

    @property
    def text_document(self) -> lsp.TextDocumentIdentifier: ...

    @property
    def position(self) -> lsp.Position: ...


class Server(LanguageServer):
    """The server of one editor."""

    def __init__(self) -> None:
        super().__init__("rnngraph", __version__, text_document_sync_kind=lsp.TextDocumentSyncKind.Full)
        self.documents = Documents()
        self.positions = Positions(self.documents.address)
        self.waiting: dict[str, asyncio.TimerHandle] = {}

    def at(self, params: AtPlace) -> tuple[Analysis, int]:
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
    ls.positions = Positions(ls.documents.address, ls.workspace.position_encoding or UTF16)


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
