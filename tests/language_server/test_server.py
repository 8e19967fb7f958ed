"""The language server through pipes: every feature on every example, cut texts, and clients that misbehave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pygls")

from lsprotocol import types as lsp

from rnngraph.diagnostics.source import Source
from rnngraph.language_server.conversion import Positions
from tests.language_server.client import Client, applied, place
from tests.support.paths import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.rnn"))
MODEL = """\
cell Gate(units, act = tanh) {
  input x: [n]
  state h: [units] = 0
  param kernel: [n + units, units] ~ glorot_uniform
  h' = act([x, h] @ kernel)
  output h'
}

model Small {
  input x: seq[3]
  y, final = unroll Gate(4) over x
  z = Dense(2)(y)
  output z, final.h as last
}
"""
START = {"line": 0, "character": 0}
ALL = {"start": START, "end": {"line": 10_000, "character": 0}}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def shared(workspace: Path) -> Iterator[Client]:
    """One server for nearly all tests: whatever one of them did to it, the next is answered."""
    client = Client(workspace)
    yield client
    assert client.end() == 0


@pytest.fixture
def folder(workspace: Path, request: pytest.FixtureRequest) -> Path:
    """A part of the workspace for one test."""
    found = workspace / request.node.name
    found.mkdir()
    return found


def small(client: Client, name: str = "small.rnn", text: str = MODEL) -> str:
    uri = f"untitled:{name}"
    client.open(uri, text)
    return uri


def features(client: Client, uri: str, position: dict[str, int]) -> dict[str, Any]:
    """Everything that an editor asks of a text and a place."""
    given = {"position": position}
    asked: dict[str, dict[str, Any]] = {
        "hover": given,
        "completion": given,
        "definition": given,
        "references": {**given, "context": {"includeDeclaration": True}},
        "documentHighlight": given,
        "prepareRename": given,
        "documentSymbol": {},
        "formatting": {"options": {"tabSize": 2, "insertSpaces": True}},
        "foldingRange": {},
        "inlayHint": {"range": ALL},
        "codeAction": {"range": {"start": position, "end": position}, "context": {"diagnostics": []}},
        "semanticTokens/full": {},
    }
    return {feature: client.about(feature, uri, **params) for feature, params in asked.items()}


# --- every example --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_answered_for(shared: Client, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert shared.open(path.as_uri(), text) == []
    found = features(shared, path.as_uri(), place(text, "unroll" if "unroll" in text else "output"))
    assert found["documentSymbol"] and found["foldingRange"] and found["completion"]
    assert len(found["semanticTokens/full"]["data"]) > 5 * 10
    assert found["formatting"] == []  # the examples are in canonical form
    lens = shared.about("codeLens", path.as_uri())
    assert len(lens) == text.count("\nmodel ") + text.startswith("model ")
    assert all(one["command"]["title"].endswith(" nodes") for one in lens)


@pytest.mark.parametrize("path", EXAMPLES[:: 3 if "EVERY" not in os.environ else 1], ids=lambda path: path.stem)
def test_texts_that_are_cut_anywhere_are_answered_for(shared: Client, path: Path) -> None:
    """At some characters; at every one, with every feature, where the variable EVERY is set (half an hour)."""
    text = path.read_text(encoding="utf-8")
    step = 1 if "EVERY" in os.environ else max(1, len(text) // 6)
    uri = f"untitled:{path.name}"
    shared.open(uri, "")
    for end in range(1, len(text), step):
        shared.change(uri, text[:end])
        features(shared, uri, place(text, text[:end], end))


# --- single features --------------------------------------------------------------------------------------


def test_hover_tells_shape_and_equation(shared: Client) -> None:
    uri = small(shared)
    hover = shared.about("hover", uri, position=place(MODEL, "kernel"))["contents"]["value"]
    assert "param kernel: [n + units, units] ~ glorot_uniform" in hover and "`[7, 4]`" in hover
    state = shared.about("hover", uri, position=place(MODEL, "h' ="))["contents"]["value"]
    assert "state h: [units] = 0" in state and "h' = act([x, h] @ kernel)" in state
    library = shared.about("hover", uri, position=place(MODEL, "Dense"))["contents"]["value"]
    assert "layer Dense(units, activation = identity)" in library
    assert "float" in shared.about("hover", uri, position=place(MODEL, "tanh"))["contents"]["value"]


def test_a_library_cell_is_hovered_with_its_paper(shared: Client) -> None:
    uri = small(shared, "gru.rnn", text := MODEL.replace("Gate(4) over", "GRU(4) over"))
    assert "K. Cho" in shared.about("hover", uri, position=place(text, "GRU"))["contents"]["value"]


@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("  q = |", {"x", "y", "final", "z", "Gate", "LSTM", "tanh", "unroll"}, {"kernel", "input", "h"}),
        ("  q = Gate(|", {"units", "act"}, {"epochs"}),
        ("  q = final.|", {"h"}, {"tanh", "x"}),
        ("  |", {"output", "input", "train"}, {"over", "cell", "epochs"}),
        ("  train { |", {"epochs", "optimizer", "batch"}, {"tanh", "output"}),
        ("  train { optimizer |", {"adam", "sgd"}, {"epochs"}),
        ("  param k: [2] ~ |", {"glorot_uniform", "zeros"}, {"tanh"}),
        ("  input k: |", {"seq", "int", "bool"}, {"tanh", "x"}),
        ("  q = unroll Gate(4) |", {"over", "with"}, {"adam"}),
    ],
)
def test_completions_are_what_fits(shared: Client, line: str, wanted: set[str], unwanted: set[str]) -> None:
    text = MODEL.rstrip("}\n") + f"\n{line}\n}}\n"
    position = place(text, "|")
    uri = small(shared, "completion.rnn", text.replace("|", ""))
    labels = {item["label"] for item in shared.about("completion", uri, position=position)}
    assert wanted <= labels and not unwanted & labels


def test_a_completion_is_explained_when_it_is_looked_at(shared: Client) -> None:
    found = shared.ask("completionItem/resolve", {"label": "clip", "kind": 3})["result"]
    assert "clip(x, low, high)" in found["documentation"]["value"]


def test_names_are_found_where_they_are_declared(shared: Client) -> None:
    uri = small(shared)

    def target(piece: str, further: int = 0) -> tuple[str, int]:
        found = shared.about("definition", uri, position=place(MODEL, piece, further))
        return found["uri"], found["range"]["start"]["line"]

    assert target("Gate(4)") == (uri, 0)
    assert target("kernel)") == (uri, 3)
    assert target("final.h", 6) == (uri, 2)  # the state that the part of the record is
    assert target("units] =") == (uri, 0)
    library, line = target("Dense")
    assert library == (ROOT / "rnngraph" / "language" / "library" / "dense.rnn").as_uri() and line > 0


def test_renaming_changes_every_place_and_nothing_of_the_meaning(shared: Client) -> None:
    uri = small(shared)
    for piece, new in [("h: [", "memory"), ("units,", "width"), ("Gate(units", "Cell"), ("y, final", "w"), ("n]", "m")]:
        edit = shared.about("rename", uri, position=place(MODEL, piece), newName=new)
        renamed = applied(MODEL, edit["changes"][uri])
        assert new in renamed and shared.change(uri, renamed) == [], renamed
        shared.change(uri, MODEL)


@pytest.mark.parametrize(
    ("piece", "new", "told"),
    [
        ("h: [", "x", "already a name"),
        ("h: [", "output", "keyword"),
        ("h: [", "1st", "not a name"),
        ("Dense", "Thin", "belongs to the library"),
    ],
)
def test_renaming_is_refused(shared: Client, piece: str, new: str, told: str) -> None:
    given = {"textDocument": {"uri": small(shared)}, "position": place(MODEL, piece), "newName": new}
    assert told in shared.ask("textDocument/rename", given)["error"]["message"]


def test_other_files_are_renamed_in_too(shared: Client, folder: Path) -> None:
    (folder / "gate.rnn").write_text(MODEL.partition("model")[0])
    user = 'import "gate.rnn"\n' + MODEL[MODEL.index("model") :].replace("Gate(4)", "Gate(units = 4)")
    (folder / "user.rnn").write_text(user)
    home, other = (folder / "gate.rnn").as_uri(), (folder / "user.rnn").as_uri()
    assert shared.open(home, MODEL.partition("model")[0]) == []
    edit = shared.about("rename", home, position=place(MODEL, "units"), newName="width")
    assert len(edit["changes"][home]) == 4 and "Gate(width = 4)" in applied(user, edit["changes"][other])
    found = shared.about("definition", other, position=place(user, "gate.rnn"))
    assert found["uri"] == home
    names = {symbol["name"] for symbol in shared.ask("workspace/symbol", {"query": ""})["result"]}
    assert {"Gate", "Small", "LSTM"} <= names


def test_shapes_are_written_behind_names(shared: Client) -> None:
    hints = shared.about("inlayHint", small(shared), range=ALL)
    assert [(h["position"]["line"], h["label"]) for h in hints] == [(4, ": [4]"), (10, ": seq[4]"), (11, ": seq[2]")]


def test_formatting_gives_the_canonical_text(shared: Client) -> None:
    uri = small(shared, "untidy.rnn", text := MODEL.replace("  input", "      input").replace(" = 0", "=0"))
    edits = shared.about("formatting", uri, options={"tabSize": 8, "insertSpaces": False})
    assert applied(text, edits) == MODEL


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (("@ kernel", "@ kernal"), "@ kernel"),
        (("act = tanh", "act = tanhh"), "act = tanh"),
        (("x: [n]", "x [n]"), "input x: [n]"),
        (("x: [n]", "x:"), "input x: [n]"),
        (("output h'", "output = h'"), "output h'"),
        (("output h'", "stop h' = 0"), "stop h' == 0"),
        (("kernel)", "kernel"), "act([x, h] @ kernel)"),
    ],
)
def test_a_mistake_is_mended(shared: Client, wrong: tuple[str, str], right: str) -> None:
    text = MODEL.replace(*wrong, 1)
    uri = f"untitled:mended-{right}.rnn"
    told = shared.open(uri, text)
    actions = [
        action
        for one in told
        for action in shared.about("codeAction", uri, range=one["range"], context={"diagnostics": [one]})
    ]
    assert right in applied(text, actions[0]["edit"]["changes"][uri])


# --- texts that are wrong ---------------------------------------------------------------------------------


def test_a_half_written_line_hides_nothing(shared: Client) -> None:
    text = MODEL.replace("act([x, h] @ kernel)", "act([x, h] @").replace("Dense(2)", "Dence(2)")
    told = shared.open("untitled:half.rnn", text)
    assert {one["code"] for one in told} == {"E002", "E101"}


def test_columns_are_counted_as_the_client_counts_them() -> None:
    source = Source("wide", "# \U0001d54f\n  \U0001d54f = Dence")
    offset = source.text.index("Dence")
    columns = {"utf-8": 9, "utf-16": 7, "utf-32": 6}
    for encoding, column in columns.items():
        positions = Positions(lambda source: source.name, encoding)
        assert positions.position(source, offset) == lsp.Position(1, column)
        assert positions.offset(source, lsp.Position(1, column)) == offset


def test_what_is_imported_is_read_from_the_editor(shared: Client, folder: Path) -> None:
    (folder / "gate.rnn").write_text(MODEL.partition("model")[0])
    user = 'import "gate.rnn"\n' + MODEL[MODEL.index("model") :]
    home, other = (folder / "gate.rnn").as_uri(), (folder / "user.rnn").as_uri()
    assert shared.open(other, user) == []
    assert shared.open(home, MODEL.partition("model")[0].replace("Gate", "Gates")) == []
    assert [one["code"] for one in shared.diagnostics(other)] == ["E101"]


def test_an_import_that_is_not_there_is_told_and_hides_nothing(shared: Client, folder: Path) -> None:
    text = 'import "nothing.rnn"\n' + MODEL.replace("Dense(2)", "Other(Dense(unit = 2))")
    told = shared.open((folder / "a.rnn").as_uri(), text)
    assert [one["code"] for one in told] == ["E313"]
    text = text.replace("Gate(4)", "Gate(4, 5, 6)")
    assert [one["code"] for one in shared.change((folder / "a.rnn").as_uri(), text)] == ["E313", "E303"]
    (folder / "bad.rnn").write_bytes(b"cell \xff\xfe {")
    (told,) = shared.change((folder / "a.rnn").as_uri(), MODEL.replace("cell", 'import "bad.rnn"\ncell', 1))
    assert told["code"] == "E005" and "UTF-8" in told["message"]


def test_a_text_that_was_never_saved_cannot_import(shared: Client) -> None:
    (told,) = shared.open("untitled:Untitled-1", 'import "a.rnn"\n')
    assert told["code"] == "E313" and "save it" in told["message"]


def test_a_text_of_ten_megabytes_is_refused_and_the_next_one_read(shared: Client) -> None:
    uri = "untitled:large.rnn"
    (told,) = shared.open(uri, "# a\n" * 2_500_000)
    assert told["code"] == "E006"
    features(shared, uri, {"line": 77, "character": 1})
    assert shared.change(uri, MODEL) == []


def test_a_thousand_mistakes_are_told(shared: Client) -> None:
    lines = "".join(f"  y{i} = nothing{i}(x)\n" for i in range(1000))
    told = shared.open("untitled:thousand.rnn", f"model M {{\n  input x: seq[3]\n{lines}  output x\n}}\n")
    assert len(told) == 1000
    assert len(shared.open("untitled:syntax.rnn", "model M {\n" + "  input ]\n" * 1000 + "}\n")) > 10


def test_signs_that_are_none_are_answered_for(shared: Client) -> None:
    for text in ("\ud800 = 3", "model \0 {", "\ufeff" + MODEL, MODEL.replace("\n", "\r\n"), "\u2028" + MODEL):
        uri = f"untitled:{text[:3]!a}"
        shared.open(uri, text)
        features(shared, uri, {"line": 3, "character": 9})
    assert shared.change(uri, MODEL.replace("\n", "\r\n")) == []


# --- clients that misbehave -------------------------------------------------------------------------------


def test_messages_that_are_none_stop_nothing(shared: Client) -> None:
    for body in (b"\xff\xfe{", b"{", b"[]", b"7", b'{"jsonrpc": "2.0"}', b'{"jsonrpc": "2.0", "id": 5, "method": 3}'):
        shared.raw(body)
    assert shared.ask("nothing/there", {})["error"]["code"] == -32601
    assert "error" in shared.ask("textDocument/hover", {"wrong": 1})
    assert shared.open("untitled:a.rnn", MODEL) == []


def test_requests_out_of_order_are_answered(tmp_path: Path) -> None:
    client = Client(begin=False)
    early = client.ask("textDocument/hover", {"textDocument": {"uri": "untitled:a"}, "position": START})
    assert "error" in early or early["result"] is None
    client.begin()
    client.note("textDocument/didChange", {"textDocument": {"uri": "untitled:b", "version": 9}, "contentChanges": []})
    client.note("textDocument/didClose", {"textDocument": {"uri": "untitled:b"}})
    features(client, "untitled:never-opened", {"line": 5, "character": 5})
    uri = (tmp_path / "nowhere.rnn").as_uri()
    features(client, uri, {"line": 3, "character": 5})
    below = {"textDocument": {"uri": uri}, "position": {"line": -1, "character": -5}}
    assert client.ask("textDocument/hover", below)["error"]["code"] < 0
    assert client.open("untitled:a.rnn", MODEL) == []
    features(client, "untitled:a.rnn", {"line": 10**6, "character": 10**6})
    client.note("textDocument/didClose", {"textDocument": {"uri": "untitled:a.rnn"}})
    assert client.diagnostics("untitled:a.rnn") == []
    assert client.leave() == 0


def test_a_cancelled_request_is_answered_once(shared: Client) -> None:
    uri = small(shared)
    numbers = [shared.begin_asking("textDocument/codeLens", {"textDocument": {"uri": uri}}) for _ in range(20)]
    for number in numbers:
        shared.note("$/cancelRequest", {"id": number})
    answers = [shared.answer(number) for number in numbers]
    assert all(("result" in a) != ("error" in a) for a in answers)
    assert all(a["error"]["code"] == -32800 for a in answers if "error" in a)
    shared.note("$/cancelRequest", {"id": 10**6})
    assert shared.about("hover", uri, position=place(MODEL, "kernel"))


def test_many_changes_in_one_go_are_checked_once_at_the_end(shared: Client) -> None:
    uri = small(shared, "typed.rnn")
    for end in range(1, 40):
        change = {"textDocument": {"uri": uri, "version": end}, "contentChanges": [{"text": MODEL[:end]}]}
        shared.note("textDocument/didChange", change)
    change = {"textDocument": {"uri": uri, "version": 99}, "contentChanges": [{"text": MODEL}]}
    shared.note("textDocument/didChange", change)
    told = [shared.diagnostics(uri)]
    while told[-1]:
        told.append(shared.diagnostics(uri))
    assert len(told) < 10


def test_words_have_colours(shared: Client) -> None:
    data = shared.about("semanticTokens/full", small(shared))["data"]
    line = column = 0
    words = []
    for ahead, further, length, kind, _ in zip(*[iter(data)] * 5, strict=True):
        line, column = line + ahead, further + (0 if ahead else column)
        words.append((MODEL.split("\n")[line][column : column + length], kind))
    legend = shared.can["semanticTokensProvider"]["legend"]["tokenTypes"]
    kinds = {word: legend[kind] for word, kind in words}
    assert kinds["cell"] == kinds["unroll"] == "keyword" and kinds["seq"] == "type" and kinds["tanh"] == "function"
    assert kinds["Dense"] == "class" and kinds["h'"] == "property" and kinds["3"] == "number"
