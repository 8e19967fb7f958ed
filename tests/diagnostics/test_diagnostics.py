"""What a broken text is answered with, and how a diagnostic looks."""

from __future__ import annotations

import re

import pytest

from rnngraph.diagnostics.diagnostic import Diagnostic, Label
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.excerpt import WIDEST, render
from rnngraph.diagnostics.source import Source, Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.language.syntax.parser import parse

# --- broken texts -----------------------------------------------------------------------------------


def told(text: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        parse(Source("f.rnn", text))
    assert caught.value.exit_code == 2
    return [render(d) for d in caught.value.diagnostics]


IN_A_CELL = {
    "ouput y": ["`ouput` begins no statement", "f.rnn:2:3 [E001]", "did you mean `output`?"],
    "y = unrol f(4) over x": ["unexpected `unrol`", "f.rnn:2:7", "did you mean `unroll`?"],
    "y = Unroll f over x": ["unexpected `Unroll`", "did you mean `unroll`?"],
    "y = unroll f ovre x": ["unexpected `ovre`", "did you mean `over`?"],
    "y = unroll f over x wiht m = m": ["unexpected `wiht`", "did you mean `with`?"],
    "y = unroll f fro 50": ["unexpected `fro`", "did you mean `for`?"],
    "y = unroll f over x fro s": ["unexpected `fro`", "did you mean `from`?"],
    "output y sa z": ["unexpected `sa`", "did you mean `as`?"],
    "fro k in 1..3 { a = k }": ["`fro` begins no statement", "did you mean `for`?"],
    "if n > 1 { a = 1 } esle { a = 2 }": ["`esle` begins no statement", "did you mean `else`?"],
    "if n > 1 nad n < 3 { a = 1 }": ["unexpected `nad`", "did you mean `and`?"],
    "input z: sqe[3]": ["unexpected `sqe`", "did you mean `seq`?"],
    "y = a +": ["expected an expression after `+`", "f.rnn:2:10"],
    "y = ( )": ["expected an expression after `(`"],
    "y = f(a, b": ["this `(` is not closed", "f.rnn:2:8 [E002]", "------ still open here"],
    "y = [a, b)": ["`[` is closed by `)`", "- this should be `]`"],
    "y = f([a, b)": ["this `[` is not closed", "f.rnn:2:9"],
    "y = f(a\n  z = b": ["this `(` is not closed", "- still open here"],
    "y = f(a\n  h' = b": ["this `(` is not closed"],
    "y = a)": ["this `)` closes nothing"],
    "y = )": ["this `)` closes nothing"],
    "y = f(a b)": ["expected `,` or `)` after `a`"],
    "y = x[1:2:3]": ["expected `,` or `]` after `2`"],
    "y = a b": ["unexpected `b`", "an operator is missing before it"],
    "y = 3 4": ["unexpected `4` after `3`", "an operator is missing"],
    "y = a.": ["expected a name after `.`"],
    "y == 3": ["unexpected `==` after `y`", "`=` gives a value a name"],
    "tanh(x)": ["expected `=` after `tanh`", "or is an output, `output ...`"],
    "y = a < b < c": ["unexpected `<` after `b`", "write `a < b and b < c`"],
    "y = a if b else c": ["unexpected `else`", "`where(condition, a, b)`"],
    "y": ["expected `=` after `y`"],
    "loss = x": ["expected an expression after `loss`", "`loss` is written without `=`"],
    "input z [n]": ["expected `:` after `z`"],
    "input z: foo": ["expected a type after `:`", "`seq[3]`"],
    "input state: [n]": ["expected a name after `input`", "`state` is a keyword"],
    "param w [n]": ["expected `:` after `w`"],
    "param w = 0.5": ["expected `:` after `w`", "`w: []` of a single number"],
    "input": ["expected a name after `input`"],
    "for k = 1..3 { a = 1 }": ["unexpected `for`", "`for k in 1..depth { ... }`"],
    "for k in 1 { a = 1 }": ["expected `..` after `1`"],
    "else { }": ["unexpected `else`", "follows the block of an `if`"],
    'import "a.rnn"': ["unexpected `import`", "imports go outside"],
    "  cell B { }": ["unexpected `cell`", "cannot be nested"],
    "y = unroll f": ["this `unroll` does not say over which sequence", "^^^^^^^^"],
    "y = unroll f over": ["expected an expression after `over`"],
    "output unroll f over x, unroll g over x": ["expected an expression after `,`", "in parentheses"],
    "train { epochs }": ["expected an expression after `epochs`"],
    "train { epochs 20 = 3 }": ["unexpected `=` after `20`", "such as `epochs 20`"],
    "y = 4units": ["`4units` is not a number", "written `4 * units`"],
    "y = 1.": ["`1.` is not a number", "write `1.0`"],
    "y = 1_": ["`1_` is not a number"],
    "y = 1__0": ["`1__0` is not a number"],
    "y = ٣": ["`٣` means nothing here"],
    "y = .5": ["expected an expression after `=`", "write `0.5`"],
    "y = 1e999": ["`1e999` is larger than any number"],
    "y = " + "1" * 50: ["a number has at most 40 characters"],
    'y = "abc': ["this string is not closed", "^^^^"],
    "y = “": ["`“` means nothing here", 'write a plain `"`'],
    "h’ = 1": ["`’` means nothing here", "write a plain `'`"],
    "y = a − b": ["`−` means nothing here", "write a plain `-`"],
    "y = !a": ["`!` means nothing here", "write `not`"],
    "y = a; z = b": ["`;` means nothing here", "only white space separates"],
    "h'' = 3": ["`'` means nothing here"],
    "y = a \a b": ["U+0007 means nothing here"],
}


@pytest.mark.parametrize("statement", IN_A_CELL)
def test_broken_statement(statement: str) -> None:
    (text,) = told(f"cell A {{\n  {statement}\n  output x\n}}\n")
    for fragment in IN_A_CELL[statement]:
        assert fragment in text


OUTSIDE = {
    "modle A {\n input x: [n]\n}": ["`modle` begins no definition", "did you mean `model`?"],
    "x": ["`x` begins no definition", "expected `cell`, `layer`, `model`"],
    "= 3": ["expected `cell`, `layer`, `model`"],
    "input x: [n]": ["`input` is outside every cell, layer and model"],
    "cell {}": ["expected a name after `cell`"],
    "cell A": ["expected `{` or `(` after `A`"],
    "cell A(3) {}": ["expected `)` or a name after `(`"],
    "cell A(a": ["this `(` is not closed", "- still open at the end of the file"],
    "cell A {\n  x = 1\n": ["this `{` is not closed", "f.rnn:1:8", "still open at the end of the file"],
    "cell A {\n  x = 1\ncell B {\n}": ["this `{` is not closed", "f.rnn:1:8", "---- still open here"],
    "cell A {\n  if x {\n    a = 1\n}\ncell B {\n}": ["f.rnn:2:8", "closes it, but is indented less"],
    "}": ["this `}` closes nothing"],
    "import cells": ["expected a string in double quotes after `import`"],
    "import 'cells.rnn'": ["`'` means nothing here", "double quotes"],
}  # fmt: skip


@pytest.mark.parametrize("text", OUTSIDE)
def test_broken_definition(text: str) -> None:
    first = told(text)[0]
    for fragment in OUTSIDE[text]:
        assert fragment in first


def test_independent_errors_are_told_in_one_go() -> None:
    texts = told(
        """modle A {
  input x [n]
  y = a +
  output y
}
cell B {
  if a { z = } else { param w: }
  y = f(1
  output “y
}
cell C { train { batch } output y }
"""
    )
    assert [re.search(r"f.rnn:(\d+)", text)[1] for text in texts] == [  # type: ignore[index]
        "1", "2", "3", "7", "7", "8", "9", "11",
    ]  # fmt: skip


def test_a_mistake_is_told_once() -> None:
    assert len(told("cell A {\n  y = f(a, “b”, ]\n}\n")) == 3
    assert len(told("cell A {\n  y = ) ) + * 3\n}\n")) == 2


def test_errors_are_bounded() -> None:
    assert len(told("cell A {\n" + "  y = +\n" * 1000 + "}\n")) <= 30
    assert len(told("$ ? " * 1000)) <= 30


def test_did_you_mean() -> None:
    assert did_you_mean("kernal", ["kernel", "bias"]) == "did you mean `kernel`?"
    assert did_you_mean("zzz", ["kernel", "bias"]) == ""


# --- how it looks ---------------------------------------------------------------------------------------

LSTM = """cell LSTM(units, forget_bias = 1.0) {
  input x: [n]
  state c: [units] = 0
  state h: [units] = 0
  param kernel: [7, 4 * units] ~ glorot_uniform
  param bias:   [4 * units] = 0

  i, j, f, o = split([x, h] @ kernel + bias, 4)
  c' = sigmoid(f + forget_bias) * c
}
"""


def span(source: Source, text: str, at: int = 0) -> Span:
    start = source.text.index(text, at)
    return Span(source, start, start + len(text))


def example(**changes: object) -> Diagnostic:
    source = Source("lstm.rnn", LSTM)
    parts: dict[str, object] = {
        "code": "E101",
        "message": "`[x, h] @ kernel` joins 8 values but `kernel` has 7 rows",
        "span": span(source, "[x, h] @ kernel"),
        "note": "x has 3 values, h has 5",
        "labels": (Label(span(source, "7"), "7 rows, declared here"),),
        "help": "declare it as `[n + units, 4 * units]`",
    }
    return Diagnostic(**(parts | changes))  # type: ignore[arg-type]


def test_the_look() -> None:
    assert render(example()) == (
        """error: `[x, h] @ kernel` joins 8 values but `kernel` has 7 rows
  --> lstm.rnn:8:22 [E101]
   |
 5 |   param kernel: [7, 4 * units] ~ glorot_uniform
   |                  - 7 rows, declared here
 8 |   i, j, f, o = split([x, h] @ kernel + bias, 4)
   |                      ^^^^^^^^^^^^^^^ x has 3 values, h has 5
  help: declare it as `[n + units, 4 * units]`"""
    )


def test_distant_lines_warning_and_two_marks_in_a_line() -> None:
    source = Source("lstm.rnn", LSTM)
    labels = (Label(span(source, "[n]"), "here"), Label(span(source, "bias,"), "and here"))
    assert render(example(severity="warning", labels=labels, help="", note="")) == (
        """warning: `[x, h] @ kernel` joins 8 values but `kernel` has 7 rows
  --> lstm.rnn:8:22 [E101]
   |
 2 |   input x: [n]
   |            --- here
   ...
 8 |   i, j, f, o = split([x, h] @ kernel + bias, 4)
   |                      ^^^^^^^^^^^^^^^
   |                                        ----- and here"""
    )


def test_a_place_in_another_file() -> None:
    other = Source("cells.rnn", "cell A {\n}\n")
    assert render(example(labels=(Label(span(other, "A"), "declared here"),), help="")).split("\n")[-4:] == [
        "  --> cells.rnn:1:6",
        "   |",
        " 1 | cell A {",
        "   |      - declared here",
    ]


def test_several_lines_are_marked_in_the_first() -> None:
    source = Source("a.rnn", "y = f(\n  a)\n")
    text = render(Diagnostic("E1", "wrong", Span(source, 4, 10), "so"))
    assert text.split("\n")[3:] == [" 1 | y = f(", "   |     ^^ so"]


@pytest.mark.parametrize(
    ("text", "start", "lines"),
    [
        ("", 0, [" 1 |", "   | ^"]),
        ("abc", 3, [" 1 | abc", "   |    ^"]),
        ("abc\n", 4, [" 2 |", "   | ^"]),
        ("\tab", 1, [" 1 |     ab", "   |     ^"]),
        ("日本 x", 3, [" 1 | 日本 x", "   |      ^"]),
        ("\x1b[2Jx", 4, [" 1 | \N{REPLACEMENT CHARACTER}[2Jx", "   |     ^"]),
    ],
)
def test_unusual_places(text: str, start: int, lines: list[str]) -> None:
    source = Source("a.rnn", text)
    drawn = render(Diagnostic("E1", "wrong", Span(source, start, min(start + 1, len(text)))))
    assert drawn.split("\n")[3:] == lines


@pytest.mark.parametrize("start", [0, 60, 500, 995])
def test_wide_lines_are_cut_around_the_caret(start: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(1000))
    source = Source("a.rnn", text)
    label = Label(Span(source, 900, 903), "there")
    drawn = render(Diagnostic("E1", "wrong", Span(source, start, start + 3), "here", (label,))).split("\n")
    assert max(map(len, drawn)) <= WIDEST + 20
    for begin, sign in ((start, "^^^"), (900, "---")):
        row = next(i for i, line in enumerate(drawn) if sign in line and "-->" not in line)
        column = drawn[row].index(sign)
        assert drawn[row - 1][column : column + 3] == text[begin : begin + 3]


def test_without_a_place() -> None:
    assert render(Diagnostic("E007", "there is no file `a`", note="looked here", help="give one")) == (
        "error: there is no file `a` [E007]\n  note: looked here\n  help: give one"
    )


def test_colours_add_nothing_but_colour() -> None:
    coloured = render(example(), colour=True)
    assert "\x1b[1;31m" in coloured and "\x1b[36m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == render(example())
