"""The cases in tests/language/cases: a file in, what `check` (and elaboration) say of it out.

`python -m tests.language.test_errors` writes what is said now into the cases; read the difference before you keep it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.excerpt import render
from rnngraph.diagnostics.source import Source
from rnngraph.language.checking.check import check
from rnngraph.language.elaboration.elaborate import elaborate
from rnngraph.language.syntax.parser import parse

FOLDER = Path(__file__).parent / "cases"
CASE = re.compile(r"## (?P<title>[^\n]+)\n\n```rnn\n(?P<text>.*?)```\n\n```text\n(?P<said>.*?)```\n", re.DOTALL)


@dataclass(frozen=True)
class Case:
    file: Path
    title: str
    text: str
    said: str

    def __str__(self) -> str:
        return f"{self.file.stem}: {self.title}"


def cases() -> list[Case]:
    return [
        Case(file, m["title"], m["text"], m["said"])
        for file in sorted(FOLDER.glob("*.md"))
        for m in CASE.finditer(file.read_text(encoding="utf-8"))
    ]


def said_of(text: str) -> str:
    return "\n\n".join(render(d) for d in check(parse(Source("case.rnn", text)))) + "\n"


def test_there_are_cases() -> None:
    assert len(cases()) > 35


@pytest.mark.parametrize("case", cases(), ids=str)
def test_what_is_said(case: Case) -> None:
    assert said_of(case.text).strip() == case.said.strip()


@pytest.mark.parametrize("case", [c for c in cases() if "\nmodel " in "\n" + c.text], ids=str)
def test_a_model_is_refused_for_every_error_that_is_told(case: Case) -> None:
    """Elaboration stops at errors that `check` knows, and at no others."""
    errors = {(d.code, d.message) for d in check(parse(Source("case.rnn", case.text))) if d.severity == "error"}
    if errors:
        assert errors >= {d for d in told(case.text) if d[0] != "E315"} != set()
    else:
        elaborate(parse(Source("case.rnn", case.text)))


def told(text: str) -> set[tuple[str, str]]:
    with pytest.raises(UserError) as refused:
        elaborate(parse(Source("case.rnn", text)), model=None)
    return {(d.code, d.message) for d in refused.value.diagnostics}


@pytest.mark.parametrize("case", cases(), ids=str)
def test_every_message_has_a_code_and_a_place(case: Case) -> None:
    for diagnostic in check(parse(Source("case.rnn", case.text))):
        assert re.fullmatch(r"[EW]\d{3}", diagnostic.code)
        assert diagnostic.span is not None
        assert_within(diagnostic, case.text)


def assert_within(diagnostic: Diagnostic, text: str) -> None:
    spans = [diagnostic.span, *(label.span for label in diagnostic.labels)]
    for span in spans:
        assert span is not None and 0 <= span.start <= span.end <= len(span.source.text)


def accept() -> None:
    """Writes what is said now into the cases."""
    for file in FOLDER.glob("*.md"):
        old = file.read_text(encoding="utf-8")
        new = CASE.sub(
            lambda m: f"## {m['title']}\n\n```rnn\n{m['text']}```\n\n```text\n{said_of(m['text'])}```\n", old
        )
        file.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    accept()


@pytest.mark.parametrize(
    "statement, help",
    [
        ("y = BasicLSTMCell(8)(x)", "here that is `LSTM(units)`"),
        ("y = unroll MultiRNNCell(LSTM(8)) over x", "here that is `A >> B`"),
        ("y = static_rnn(LSTM(8), x)", "here that is `unroll CELL over x`"),
        ("y = unroll LSTM(8, num_proj = 4) over x", "here that is `projection`"),
        ("y = unroll [LSTM(8), LSTM(8)] over x", "a stack is written `LSTM(8) >> LSTM(8)`"),
        ("net = LSTM(8)  y = net(8)", "settings are given where an instance is made"),
        ("y = x * w", "a product with a matrix is `x @ w`"),
        ("// a comment", "a comment begins with `#`"),
        ("return x", "results are handed out by `output`"),
        ("y = reverse(x)", "here that is `reversed(x)`"),
        ("y = mse(x, x)", "here that is `squared_error(a, b)`"),
        ("if true { y = x } elif false { y = x }", "write `else if`"),
        ("while true { y = x }", "it ends early by `stop`"),
        ("y = x @ w'", "the transpose of a matrix is `w.T`"),
        ("cell = LSTM(3)", "`cell` is a keyword and cannot be a name"),
        ("state = x", "`state` is a keyword and cannot be a name"),
        ("y = unroll LSTM(3) for 3 with x = x", "the parts of an `unroll` have an order"),
        ("y, h, c = unroll LSTM(3) over x", "name it `final`, its parts are `final.c` and `final.h`"),
        ("y = tf.tanh(x)", "functions and cells have no prefix"),
        ("y += x", "write `y = y + ...`"),
        ("y = x.shape", "a length is `size(x, axis = 0)`"),
        ("y = x * pi", "here that is `3.141592653589793`"),
        ("y = max(x, -inf)", "numbers are finite: take a large one, `1e30`"),
        ("a, b = tanh(x), x", "each value has a line of its own: `a = x`, then `b = y`"),
        ("y = unroll LSTM(3) over x from (c = x)", "values with names are a record: `record(c = x, h = y)`"),
        ("h[0] = x", "only the next value of a state is written row by row: `h'[i] = ...`"),
        ("y = 2i * x", "numbers are real: a complex value is two"),
        ("y = 0x10 * x", "numbers are written in decimal digits"),
        ("y = 1.5f * x", "write `1.5`"),
        ("y = 2(x)", "a product is written `2 * (...)`"),
        ("y = sum(x, axis = steps)", "write `axis = time`"),
        ("y = w[:, argmax(w)]", "put that dimension first: `m.T[i].T`"),
        ("y = w[argmax(w), 0]", "write two indices: `m[i][0]`"),
    ],
)
def test_what_people_type_is_answered_with_how_it_is_written(statement: str, help: str) -> None:
    """At their own line, and nowhere else."""
    text = f"model M {{\n  input x: seq[3]\n  param w: [3, 4]\n  {statement}\n  output x @ w\n}}\n"
    found = diagnostics_of(text)
    assert help in "\n".join(render(d) for d in found)
    assert all(d.span is not None and d.span.source.name == "case.rnn" for d in found)


def diagnostics_of(text: str) -> list[Diagnostic]:
    source = Source("case.rnn", text)
    try:
        return check(parse(source))
    except UserError as error:
        return list(error.diagnostics)


HEADS = """
cell Heads(heads, size) {
  input x: [n]
  state s: [heads, size] = 0
  param w: [n, n]
  s' = s + reshape(x @ w, [heads, size])
  output s'
}
"""
JOINED = """
cell Joined(a, b) {
  input x: [n]
  state h: [a + b] = 0
  h' = tanh(x + h)
  output h'
}
"""
LAYER = """
model Layer(units, heads) {
  input x: seq[units]
  output reshape(x, [heads, units // heads]) as parts
}
"""


@pytest.mark.parametrize("text", [HEADS, JOINED, LAYER])
def test_sizes_that_nobody_has_chosen_are_no_error_where_some_fit(text: str) -> None:
    assert diagnostics_of(text) == []


@pytest.mark.parametrize("text", [HEADS.replace("x @ w, [heads", "x @ w, [2 * heads"), LAYER.replace("//", "+")])
def test_sizes_that_nobody_has_chosen_are_an_error_where_none_fit(text: str) -> None:
    assert [d.code for d in diagnostics_of(text)] == ["E201"]
