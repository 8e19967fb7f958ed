"""The server of one editor: its texts, and when they are checked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from typing import Protocol as Shape

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol

from rnngraph import __version__
from rnngraph.diagnostics.source import Source
from rnngraph.editor.analysis import Analysis
from rnngraph.language_server.conversion import UTF16, Positions
from rnngraph.language_server.documents import Documents, file_of, name_of

PAUSE = 0.03
"""Seconds without a change after which a text is checked: of what is typed in one go, only the last is."""


class AtPlace(Shape):
    """What a request about a place of a text has."""

    @property
    def text_document(self) -> lsp.TextDocumentIdentifier: ...

    @property
    def position(self) -> lsp.Position: ...


class Protocol(LanguageServerProtocol):
    """pygls's, which answers a request too whose parameters are none."""

    def structure_message(self, data: dict[str, Any]) -> Any:
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            if isinstance(data.get("id"), (int, str)) and "method" in data:
                self._send_response(data["id"], error=error.to_response_error())
            raise


class Server(LanguageServer):
    """The server of one editor. A text is sent whole when it changes: it is small, and no edit can be misread."""

    def __init__(self) -> None:
        whole = lsp.TextDocumentSyncKind.Full
        super().__init__("rnngraph", __version__, text_document_sync_kind=whole, protocol_cls=Protocol)
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
        every = self.documents.open
        users = [source for source in every.values() if source.name != name and self._follows(source, name)]
        for source in (*([every[name]] if name in every else []), *users):
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
