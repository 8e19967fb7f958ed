"""Text to tree: every form, exact places, and no text that the parser answers with a traceback."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.source import Source, Span
from rnngraph.language.syntax import ast, parser


def parse(text: str) -> ast.File:
    return parser.parse(Source("test.rnn", text))


def body(text: str) -> tuple[ast.Statement, ...]:
    (definition,) = parse(f"cell C {{\n{text}\n}}").items
    assert isinstance(definition, ast.Definition)
    return definition.body


def value(text: str) -> ast.Expr:
    (statement,) = body(f"y = {text}")
    assert isinstance(statement, ast.Assign)
    return statement.value


def shown(form: Any) -> str:
    """A tree with all operations in parentheses."""
    match form:
        case ast.Number(value):
            return str(value)
        case ast.Bool(value):
            return str(value).lower()
        case ast.Text(value):
            return f'"{value}"'
        case ast.Name(name, primed):
            return name + "'" * primed
        case ast.Field(record, name):
            return f"{shown(record)}.{name}"
        case ast.Argument(name, value):
            return f"{name}={shown(value)}" if name else shown(value)
        case ast.Call(function, arguments):
            return f"{shown(function)}({', '.join(map(shown, arguments))})"
        case ast.Range(start, stop):
            return f"{shown(start) if start else ''}:{shown(stop) if stop else ''}"
        case ast.Index(value, indices):
            return f"{shown(value)}[{', '.join(map(shown, indices))}]"
        case ast.Unary(operator, operand):
            return f"({operator} {shown(operand)})"
        case ast.Binary(operator, left, right):
            return f"({shown(left)} {operator} {shown(right)})"
        case ast.Pipe(parts):
            return f"({' >> '.join(map(shown, parts))})"
        case ast.Join(parts):
            return f"[{', '.join(map(shown, parts))}]"
        case ast.Unroll():
            constants = [f"{b.name}={shown(b.value)}" for b in form.constants]
            return (
                f"unroll({shown(form.cell)}; {', '.join(map(shown, form.over))}; {form.reversed}; "
                f"{', '.join(constants)}; {form.steps and shown(form.steps)}; "
                f"{form.initial and shown(form.initial)})"
            )
    raise AssertionError(form)


EXPRESSIONS = {
    "1_000": "1000",
    "0.5": "0.5",
    "1e-4": "0.0001",
    "2.5E3": "2500.0",
    "true": "true",
    '"a b"': '"a b"',
    "h'": "h'",
    "a + b - c": "((a + b) - c)",
    "a - (b - c)": "(a - (b - c))",
    "a + b * c": "(a + (b * c))",
    "a / b // c % d @ e": "((((a / b) // c) % d) @ e)",
    "-a ** 2": "(- (a ** 2))",
    "2 ** -a ** b": "(2 ** (- (a ** b)))",
    "-a @ b": "((- a) @ b)",
    "- -a": "(- (- a))",
    "not a == b": "(not (a == b))",
    "a < b + 1 and not c or d": "(((a < (b + 1)) and (not c)) or d)",
    "a or b and c": "(a or (b and c))",
    "a >= b": "(a >= b)",
    "a >> b + c >> d": "(a >> (b + c) >> d)",
    "(a >> b) >> c": "((a >> b) >> c)",
    "f()": "f()",
    "f(a, k = b + 1,)": "f(a, k=(b + 1))",
    "LSTM(4)(x).h[0]": "LSTM(4)(x).h[0]",
    "x[1:3, :, -1, a:]": "x[1:3, :, (- 1), a:]",
    "[x, h'] @ kernel + b": "(([x, h'] @ kernel) + b)",
    "[x,]": "[x]",
    "final.0.c": "final.0.c",
    "final.0.1": "final.0.1",
    "final.state": "final.state",
    "t + n + seq + int + stop": "((((t + n) + seq) + int) + stop)",
    "reversed(x)": "reversed(x)",
    "a\n  + b": "(a + b)",
    "a # why\n + b": "(a + b)",
    "σ(x)": "σ(x)",
    "unroll f over x": "unroll(f; x; False; ; None; None)",
    "unroll f >> g(2) over x, dx reversed": "unroll((f >> g(2)); x, dx; True; ; None; None)",
    "unroll f over reversed(x)": "unroll(f; reversed(x); False; ; None; None)",
    "unroll f for 50 from thought": "unroll(f; ; False; ; 50; thought)",
    "unroll f over x reversed with m = e, k = a + b for n * 2 from s.h": (
        "unroll(f; x; True; m=e, k=(a + b); (n * 2); s.h)"
    ),
    "f((unroll g over x), 1)": "f(unroll(g; x; False; ; None; None), 1)",
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expression(text: str) -> None:
    assert shown(value(text)) == EXPRESSIONS[text]


TYPES = {
    "[n, 3]": ((), ["n", "3"], "float"),
    "[]": ((), [], "float"),
    "float": ((), [], "float"),
    "int": ((), [], "int"),
    "bool": ((), [], "bool"),
    "[3] int": ((), ["3"], "int"),
    "seq": (("",), [], "float"),
    "seq int": (("",), [], "int"),
    "seq[3]": (("",), ["3"], "float"),
    "seq[2 * n, 3,] bool": (("",), ["(2 * n)", "3"], "bool"),
    "seq@source[3]": (("source",), ["3"], "float"),
    "seq@source int": (("source",), [], "int"),
    "seq@row@column[3]": (("row", "column"), ["3"], "float"),
    "seq@row@column bool": (("row", "column"), [], "bool"),
}


@pytest.mark.parametrize("text", TYPES)
def test_type(text: str) -> None:
    statement, _ = body(f"input x: {text}\noutput x")
    assert isinstance(statement, ast.Input)
    axis, sizes, dtype = TYPES[text]
    assert (statement.type.axes, list(map(shown, statement.type.sizes)), statement.type.dtype) == (
        axis,
        sizes,
        dtype,
    )
    assert statement.type.span.text == text


def test_declarations() -> None:
    plain, given, state, drawn, frozen, bare = body(
        """input x: [n]
        input y: [n] = 0
        state token: int = start
        param kernel: [n, u] ~ uniform(-0.1, 0.1)
        frozen param b: [u] = 0
        param w: [u]"""
    )
    assert isinstance(plain, ast.Input) and plain.default is None
    assert isinstance(given, ast.Input) and given.default is not None and shown(given.default) == "0"
    assert isinstance(state, ast.State) and state.initial is not None and shown(state.initial) == "start"
    assert isinstance(drawn, ast.Param) and drawn.drawn and not drawn.frozen
    assert drawn.initial is not None and shown(drawn.initial) == "uniform((- 0.1), 0.1)"
    assert isinstance(frozen, ast.Param) and frozen.frozen and not frozen.drawn
    assert isinstance(bare, ast.Param) and bare.initial is None
    assert [s.name_span.text for s in (plain, state, drawn)] == ["x", "token", "kernel"]


def test_statements_that_hand_on() -> None:
    outputs, loss, metric, named, stop = body(
        """output a, h', f(x) as b
        loss cross_entropy(a, b)
        metric accuracy(a, b)
        metric mean(y) as level
        stop token' == end"""
    )
    assert isinstance(outputs, ast.Output) and [item.name for item in outputs.items] == [None, None, "b"]
    assert [shown(item.value) for item in outputs.items] == ["a", "h'", "f(x)"]
    assert isinstance(loss, ast.Loss) and shown(loss.value) == "cross_entropy(a, b)"
    assert isinstance(metric, ast.Metric) and metric.name is None
    assert isinstance(named, ast.Metric) and named.name == "level"
    assert isinstance(stop, ast.Stop) and shown(stop.value) == "(token' == end)"


def test_targets() -> None:
    (statement,) = body("a, _, h' = f(x)")
    assert isinstance(statement, ast.Assign)
    assert [(t.name, t.primed) for t in statement.targets] == [("a", False), ("_", False), ("h", True)]
    assert [t.span.text for t in statement.targets] == ["a", "_", "h'"]


def test_soft_words_are_names_where_nothing_else_fits() -> None:
    statements = body("stop = 3\nreversed = stop\ny = unroll f over x\nstop stop\nt = 1")
    assert [type(s).__name__ for s in statements] == ["Assign", "Assign", "Assign", "Stop", "Assign"]


def test_for_is_a_clause_or_a_statement() -> None:
    unrolled, loop = body("y = unroll f over x\nfor k in 1..depth { z = k }")
    assert isinstance(unrolled, ast.Assign) and isinstance(unrolled.value, ast.Unroll)
    assert unrolled.value.steps is None
    assert isinstance(loop, ast.For) and (loop.name, shown(loop.first), shown(loop.last)) == (
        "k",
        "1",
        "depth",
    )
    assert len(loop.body) == 1


def test_if_chain() -> None:
    (choice,) = body("if a > 1 { x = 1 } else if b { x = 2 } else { x = 3 y = 4 }")
    assert isinstance(choice, ast.If) and shown(choice.condition) == "(a > 1)" and len(choice.body) == 1
    (second,) = choice.orelse
    assert isinstance(second, ast.If) and len(second.orelse) == 2


def test_definitions_settings_and_options() -> None:
    file = parse(
        """import "cells.rnn"
        cell A(units, activation = tanh,) { }
        layer B() { }
        model C { train { optimizer adam(rate = 0.1) epochs 20 stop 3 unroll static for -1 } }
        schedule { unroll 4 }"""
    )
    path, a, b, c, schedule = file.items
    assert isinstance(path, ast.Import) and path.path == "cells.rnn"
    assert isinstance(a, ast.Definition) and (a.kind, a.name) == ("cell", "A")
    assert [(s.name, s.default and shown(s.default)) for s in a.settings] == [
        ("units", None),
        ("activation", "tanh"),
    ]
    assert isinstance(b, ast.Definition) and b.kind == "layer" and b.settings == ()
    assert isinstance(c, ast.Definition) and c.kind == "model"
    (train,) = c.body
    assert isinstance(train, ast.Options) and train.kind == "train"
    assert [(o.name, shown(o.value)) for o in train.options] == [
        ("optimizer", "adam(rate=0.1)"),
        ("epochs", "20"),
        ("stop", "3"),
        ("unroll", "static"),
        ("for", "(- 1)"),
    ]
    assert isinstance(schedule, ast.Options) and schedule.kind == "schedule"


def test_empty_text() -> None:
    assert parse("").items == parse("  \n# nothing\n").items == ()


def forms(form: Any) -> list[Any]:
    """A form and all forms in it."""
    if isinstance(form, tuple):
        return [found for part in form for found in forms(part)]
    if not isinstance(form, Struct) or isinstance(form, (Span, Source)):
        return []
    parts = [getattr(form, name) for name in form.__struct_fields__]
    return [form, *(found for part in parts for found in forms(part))]


def test_spans_are_exact() -> None:
    text = "cell C(a, b = 1) {\n  y, z' = (a + b) * f(k = c)[1:2].d # s\n  if a { stop (b) } }\n"
    texts = {(type(f).__name__, f.span.text) for f in forms(parse(text)) if hasattr(f, "span")}
    assert {
        ("Definition", text.rstrip()),
        ("Setting", "b = 1"),
        ("Assign", "y, z' = (a + b) * f(k = c)[1:2].d"),
        ("Target", "z'"),
        ("Binary", "(a + b) * f(k = c)[1:2].d"),
        ("Binary", "a + b"),
        ("Field", "f(k = c)[1:2].d"),
        ("Index", "f(k = c)[1:2]"),
        ("Call", "f(k = c)"),
        ("Argument", "k = c"),
        ("Range", "1:2"),
        ("If", "if a { stop (b) }"),
        ("Stop", "stop (b)"),
        ("Name", "c"),
    } <= texts


def test_spans_of_unroll() -> None:
    (statement,) = body("y = unroll f over x with m = e  # end")
    names = {type(f).__name__: f.span.text for f in forms(statement) if hasattr(f, "span")}
    assert names["Unroll"] == "unroll f over x with m = e" and names["Binding"] == "m = e"


# --- files and limits ---------------------------------------------------------------------------------


def refused(path: str | Path) -> str:
    with pytest.raises(UserError) as caught:
        parser.read_source(path)
    return str(caught.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    assert "no file" in refused(tmp_path / "none.rnn")
    assert "is a folder" in refused(tmp_path)
    path = tmp_path / "a.rnn"
    path.write_bytes(b"cell A { }\0")
    assert "[E005]" in refused(path) and str(path) in refused(path)
    path.write_bytes(b"\xff\xfe\x00")
    assert "[E005]" in refused(path)
    path.write_bytes(b" " * (parser.LARGEST + 1))
    assert "[E006]" in refused(path)
    assert "cannot be read" in refused("a\0b")


def test_a_file_is_read_with_any_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.rnn"
    path.write_bytes(b"\xef\xbb\xbfcell A {\r\n}\r")
    source = parser.read_source(path)
    assert source.text == "cell A {\n}\n" and source.name == str(path) and source.folder == tmp_path
    assert len(parser.parse(source).items) == 1


def test_unreadable_file_is_not_the_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(CannotDo, match="Permission denied"):
        parser.read_source("a.rnn")


@pytest.mark.parametrize(
    "text",
    [
        "cell A { y = " + "(" * 200_000,
        "cell A { y = " + "(" * 101 + "x" + ")" * 101 + " }",
        "cell A { y = " + "-" * 100_000 + "x }",
        "cell A { y = " + "a + " * 100_000 + "x }",
        "cell A { " + "if a { " * 101 + "}" * 102,
        "cell A { if a { } " + "else if a { } " * 50_000 + "}",
    ],
)
def test_nesting_without_bound_is_told(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert {d.code for d in caught.value.diagnostics} == {"E004"}


def test_nesting_up_to_the_bound_is_read() -> None:
    inner = value("f(" * 95 + "x" + ")" * 95)
    assert shown(inner).count("(") == 95


def test_a_large_text_is_read_in_reasonable_time() -> None:
    text = "cell A {\n" + "  y = f(a, [b, c]) @ d + e\n" * 4_000 + "}\n"
    parse("")
    start = time.process_time()
    parse(text)
    assert time.process_time() - start < 8


@given(st.text())
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    read_or_refused(text)


KEYWORDS = [t.pattern.value for t in parser.grammar().lark.terminals if t.pattern.type == "str"]
PIECES = [
    "x",
    "h'",
    "_",
    "1",
    "0.5",
    "1.",
    ".5",
    "4u",
    "1_",
    "9e",
    "1_0.0_1",
    '"a"',
    '"',
    "'",
    "“",
    "!",
    ";",
    "#",
    "\n",
    "\t",
    "\0",
    "σ",
]
WORDS = st.sampled_from(KEYWORDS + PIECES)


@given(st.lists(WORDS).map(" ".join))
@example("stop , stop")
@settings(max_examples=400, deadline=None)
def test_any_words_are_read_or_refused(text: str) -> None:
    read_or_refused(text)
    read_or_refused("cell A {\n y = f(x)\n" + text + "\n}\nmodel B { input x: [n] }\n")


def read_or_refused(text: str) -> None:
    try:
        assert isinstance(parse(text), ast.File)
    except UserError as error:
        assert error.diagnostics and all(d.code.startswith("E00") for d in error.diagnostics)
        assert all(d.span is None or 0 <= d.span.start <= d.span.end <= len(text) for d in error.diagnostics)
