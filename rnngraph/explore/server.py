"""The page from a server of this machine: nobody is answered who does not know the token in its address."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from rnngraph.diagnostics.errors import CannotDo
from rnngraph.explore.page import page
from rnngraph.explore.session import Session

LARGEST = 4 << 20
"""Bytes of a question."""
PARTS = ("model", "costs", "way", "memory", "values")
LOOPBACK = ("127.0.0.1", "localhost")
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


_SLOW = Lock()
"""What takes seconds is done one after the other; the errors of a text that is being written do not wait for it."""


class Server(ThreadingHTTPServer):
    """Serves one session. `address` is what a browser is given; CannotDo where the port cannot be had."""

    daemon_threads = True

    def __init__(self, session: Session, host: str = LOOPBACK[0], port: int = 0) -> None:
        self.session, self.token = session, secrets.token_urlsafe(24)
        self.turns = {part: Lock() if part == "model" else _SLOW for part in PARTS}
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            told = f"cannot listen on {host}, port {port}: {error.strerror or error}"
            raise CannotDo(told, "E670", "leave --port out, or choose another one") from None
        self.names = {f"{name}:{self.server_port}" for name in (host, *LOOPBACK)}

    @property
    def address(self) -> str:
        return f"http://{self.server_name if self.open_to_all else self.host}:{self.server_port}/{self.token}/"

    @property
    def host(self) -> str:
        return str(self.server_address[0])

    @property
    def open_to_all(self) -> bool:
        return self.host in ("0.0.0.0", "::")  # told to be heard from everywhere

    def knows(self, host: str) -> bool:
        """Whether a browser meant this server: a page elsewhere may have had its name turned to this machine's."""
        return self.open_to_all or host in self.names

    def answer(self, question: Any) -> dict[str, Any] | None:
        """What is told of a question, one at a time; None where it is none."""
        if not isinstance(question, dict):
            return None
        part, text, number = question.get("part"), question.get("text"), question.get("number", 0)
        if part not in PARTS or not isinstance(text, str) or type(number) is not int or not 0 <= number < 2**31:
            return None
        with self.turns[part]:
            return self.session.part(part, text, number)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "rnngraph", ""
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal is for the user's own."""

    def do_GET(self) -> None:
        if self.refused("/"):
            return
        self.say(200, "text/html; charset=utf-8", page(self.server.session.opened(served=True)))

    def do_POST(self) -> None:
        if self.refused("/api"):
            return
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Content-Type") != "application/json" or not length.isdecimal() or int(length) > LARGEST:
            self.say(400, "text/plain", "not a question")
            return
        try:
            found = self.server.answer(json.loads(self.rfile.read(int(length))))
        except (ValueError, RecursionError):
            found = None
        if found is None:
            self.say(400, "text/plain", "not a question")
        else:
            self.say(200, "application/json", json.dumps(found))

    def refused(self, place: str) -> bool:
        """Whether the token, the name of the server or the page that asks is another one; then it was told so."""
        path = urlsplit(self.path).path
        right = hmac.compare_digest(path.encode(), f"/{self.server.token}{place}".encode())
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if right and self.server.knows(host) and origin in (None, f"http://{host}"):
            return False
        self.say(404, "text/plain", "nothing here")
        return True

    def say(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
