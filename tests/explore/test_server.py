"""The server: nobody without the token, from this machine, about this model alone."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from rnngraph.diagnostics.errors import CannotDo
from rnngraph.diagnostics.source import Source
from rnngraph.explore.server import LARGEST, Server
from rnngraph.explore.session import Session
from tests.support.paths import ROOT

TEXT = "model M {\n  input x: seq[3]\n  y, final = unroll RNN(5) over x\n  output y\n}\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(Session(Source("m.rnn", TEXT))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


def ask(server: Server, method: str, place: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    text = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    given = {"Content-Type": "application/json"} | {n.replace("_", "-"): v for n, v in headers.items()}
    connection.request(method, place, text, given)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}/{server.token}/"
    assert len(server.token) >= 32


def test_the_page_is_behind_the_token(server: Server) -> None:
    status, headers, body = ask(server, "GET", f"/{server.token}/")
    assert status == 200 and b"page-data" in body
    assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-store"
    for place in ("/", "/m.rnn", f"/{server.token[:-1]}/", f"/{server.token}/../m.rnn", f"/{server.token}/etc/passwd"):
        assert ask(server, "GET", place)[0] == 404, place


def test_another_name_or_another_page_is_refused(server: Server) -> None:
    place = f"/{server.token}/api"
    question = {"part": "model", "text": TEXT}
    assert ask(server, "POST", place, question)[0] == 200
    assert ask(server, "POST", place, question, Origin=f"http://127.0.0.1:{server.server_port}")[0] == 200
    assert ask(server, "POST", place, question, Origin="http://evil.example")[0] == 404
    assert ask(server, "POST", place, question, Host="evil.example")[0] == 404
    assert ask(server, "GET", f"/{server.token}/", Host="evil.example")[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[" * 100_000, [], {}, {"part": "model"}, {"part": "nothing", "text": TEXT},
        {"part": "model", "text": 3}, {"part": "values", "text": TEXT, "number": -1},
        {"part": "values", "text": TEXT, "number": True}, {"part": ["model"], "text": TEXT},
    ],
)  # fmt: skip
def test_what_is_no_question_is_told_so(server: Server, body: Any) -> None:
    assert ask(server, "POST", f"/{server.token}/api", body)[0] == 400


def test_a_question_has_a_size_and_a_kind(server: Server) -> None:
    place = f"/{server.token}/api"
    assert ask(server, "POST", place, b"x", Content_Length=str(LARGEST + 1))[0] == 400
    assert ask(server, "POST", place, b"{}", Content_Type="text/plain")[0] == 400


def test_every_part_is_told(server: Server) -> None:
    for part in ("model", "memory", "values", "way"):
        status, _, body = ask(server, "POST", f"/{server.token}/api", {"part": part, "text": TEXT})
        found = json.loads(body)
        assert status == 200 and found[part] and found["diagnostics"] == []
    broken = json.loads(ask(server, "POST", f"/{server.token}/api", {"part": "memory", "text": "model {"})[2])
    assert broken["memory"] is None and broken["diagnostics"][0]["severity"] == "error"


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "m.rnn").write_text(TEXT)
    command = [sys.executable, "-m", "rnngraph", "explore", str(tmp_path / "m.rnn"), "--no-browser"]
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # also where these tests are run deaf to Ctrl-C
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=listening) as running:
        assert running.stdout is not None
        address = running.stdout.readline().split()[1]
        place = urlsplit(address)
        connection = http.client.HTTPConnection(place.netloc, timeout=20)
        connection.request("GET", place.path)
        assert connection.getresponse().status == 200
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 0


def test_a_port_that_is_taken(server: Server) -> None:
    with pytest.raises(CannotDo, match="E670"):
        Server(Session(Source("m.rnn", TEXT)), port=server.server_port)
