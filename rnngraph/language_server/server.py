"""All features of the server by their names in the protocol, and its beginning and end."""

from __future__ import annotations

import logging
import sys
from typing import Any

from lsprotocol import types as lsp

from rnngraph.language_server import features, session

LEGEND = {"state": "property", "name": "variable"}
"""What editors call what has another name here."""

FEATURES: dict[str, Any] = {
    lsp.INITIALIZED: session.initialized,
    lsp.TEXT_DOCUMENT_DID_OPEN: session.did_open,
    lsp.TEXT_DOCUMENT_DID_CHANGE: session.did_change,
    lsp.TEXT_DOCUMENT_DID_SAVE: session.did_save,
    lsp.TEXT_DOCUMENT_DID_CLOSE: session.did_close,
    lsp.TEXT_DOCUMENT_HOVER: features.on_hover,
    lsp.TEXT_DOCUMENT_COMPLETION: features.on_completion,
    lsp.COMPLETION_ITEM_RESOLVE: features.on_resolve,
    lsp.TEXT_DOCUMENT_DEFINITION: features.on_definition,
    lsp.TEXT_DOCUMENT_REFERENCES: features.on_references,
    lsp.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT: features.on_highlight,
    lsp.TEXT_DOCUMENT_PREPARE_RENAME: features.on_prepare_rename,
    lsp.TEXT_DOCUMENT_RENAME: features.on_rename,
    lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL: features.on_symbols,
    lsp.WORKSPACE_SYMBOL: features.on_workspace_symbols,
    lsp.TEXT_DOCUMENT_FORMATTING: features.on_formatting,
    lsp.TEXT_DOCUMENT_FOLDING_RANGE: features.on_folding,
    lsp.TEXT_DOCUMENT_INLAY_HINT: features.on_hints,
    lsp.TEXT_DOCUMENT_CODE_ACTION: features.on_actions,
    lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL: features.on_tokens,
}
_OPTIONS: dict[str, Any] = {
    lsp.TEXT_DOCUMENT_COMPLETION: lsp.CompletionOptions(trigger_characters=[".", "~", '"', "'"], resolve_provider=True),
    lsp.TEXT_DOCUMENT_CODE_ACTION: lsp.CodeActionOptions([lsp.CodeActionKind.QuickFix]),
    lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL: lsp.SemanticTokensLegend([LEGEND.get(c, c) for c in features.COLOURS], []),
}


def serve() -> None:
    """Answers on standard output what is asked on standard input, until the client says `exit` or is gone."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # what a client is told is not told to a terminal too
    server().start_io(sys.stdin.buffer, _Open())  # type: ignore[arg-type]


class _Open:
    """Standard output, which is not pygls's to close."""

    def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)

    def flush(self) -> None:
        sys.stdout.buffer.flush()

    def close(self) -> None:
        self.flush()


def server() -> session.Server:
    """A server with all features."""
    made = session.Server()
    for name, feature in FEATURES.items():
        made.feature(name, _OPTIONS.get(name))(feature)
    made.feature(lsp.TEXT_DOCUMENT_CODE_LENS)(features.on_lens)
    made.thread()(features.on_lens)  # the only one that takes longer than a keystroke: others are answered meanwhile
    return made
