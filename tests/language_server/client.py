"""A client that speaks the language server protocol over pipes, written from its specification."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

PATIENCE = 60.0
"""Seconds after which an answer counts as missing."""


class Client:
    """One server in a process of its own. `told` are the notifications that came while an answer was awaited."""

    def __init__(self, *folders: Path, encoding: str = "utf-16", begin: bool = True) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "rnngraph", "lsp", "--stdio"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env)
        self.came: queue.Queue[dict[str, Any]] = queue.Queue()
        self.told: list[dict[str, Any]] = []
        self.count = 0
        threading.Thread(target=self._listen, daemon=True).start()
        if begin:
            self.begin(folders, encoding)

    def begin(self, folders: tuple[Path, ...] = (), encoding: str = "utf-16") -> None:
        named = [{"uri": folder.as_uri(), "name": folder.name} for folder in folders]
        can = {"general": {"positionEncodings": [encoding]}}
        asked = {"processId": None, "rootUri": None, "capabilities": can, "workspaceFolders": named}
        found = self.ask("initialize", asked)
        self.note("initialized", {})
        self.can: dict[str, Any] = found["result"]["capabilities"]

    def _listen(self) -> None:
        stream = self.process.stdout
        assert stream
        while header := stream.readline():
            length = 0
            while header.strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                header = stream.readline()
            self.came.put(json.loads(stream.read(length)))

    def raw(self, body: bytes) -> None:
        stream = self.process.stdin
        assert stream
        stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        stream.flush()

    def send(self, message: dict[str, Any]) -> None:
        self.raw(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def note(self, method: str, params: Any) -> None:
        self.send({"method": method, "params": params})

    def begin_asking(self, method: str, params: Any) -> int:
        self.count += 1
        self.send({"id": self.count, "method": method, "params": params})
        return self.count

    def answer(self, number: int) -> dict[str, Any]:
        """The whole answer: with `result`, or with `error`."""
        return self.wait_for(lambda message: message.get("id") == number)

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first message that is wanted; the others are told when they are asked for."""
        for message in self.told:
            if wanted(message):
                self.told.remove(message)
                return message
        while not wanted(message := self.came.get(timeout=PATIENCE)):
            self.told.append(message)
        return message

    def ask(self, method: str, params: Any) -> dict[str, Any]:
        return self.answer(self.begin_asking(method, params))

    def about(self, feature: str, uri: str, **params: Any) -> Any:
        """The result of a request of `textDocument/`."""
        found = self.ask(f"textDocument/{feature}", {"textDocument": {"uri": uri}, **params})
        assert "error" not in found, found
        return found["result"]

    def open(self, uri: str, text: str) -> list[dict[str, Any]]:
        """What is told of a text that is opened."""
        self.note(
            "textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": "rnn", "version": 1, "text": text}}
        )
        return self.diagnostics(uri)

    def change(self, uri: str, text: str) -> list[dict[str, Any]]:
        self.note(
            "textDocument/didChange", {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": text}]}
        )
        return self.diagnostics(uri)

    def diagnostics(self, uri: str) -> list[dict[str, Any]]:
        """The next that are told of a text."""
        publish = "textDocument/publishDiagnostics"
        found = self.wait_for(lambda m: m.get("method") == publish and m["params"]["uri"] == uri)
        told: list[dict[str, Any]] = found["params"]["diagnostics"]
        return told

    def end(self) -> int:
        """The exit code, after the client has said goodbye."""
        assert self.ask("shutdown", None)["result"] is None
        self.note("exit", None)
        return self.leave()

    def leave(self) -> int:
        """The exit code once nothing more can be asked: a client that is gone without a word ends the server too."""
        assert self.process.stdin
        self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream
            stream.close()
        return code


def place(text: str, piece: str, further: int = 0) -> dict[str, int]:
    """Where a piece of a text begins, so many characters further."""
    offset = text.index(piece) + further
    line = text.count("\n", 0, offset)
    return {"line": line, "character": offset - (text.rfind("\n", 0, offset) + 1)}


def applied(text: str, edits: list[dict[str, Any]]) -> str:
    """The text after edits, as an editor makes them."""
    lines = text.split("\n")

    def offset(position: dict[str, int]) -> int:
        before = lines[: position["line"]]
        return sum(len(line) + 1 for line in before) + position["character"]

    for edit in sorted(edits, key=lambda e: offset(e["range"]["start"]), reverse=True):
        begin, end = offset(edit["range"]["start"]), offset(edit["range"]["end"])
        text = text[:begin] + edit["newText"] + text[end:]
    return text
