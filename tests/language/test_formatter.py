"""The formatter: canonical, idempotent, and never a change of meaning or a lost comment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from rnngraph.diagnostics.source import Source, Span
from rnngraph.language.syntax.formatter import format
from rnngraph.language.syntax.line_breaks import WIDTH
from rnngraph.language.syntax.parser import comments_of, parse
from tests.support.paths import ROOT


def formatted(text: str) -> str:
    return format(parse(Source("f.rnn", text)))


def meaning(form: Any) -> Any:
    """A tree without its places."""
    if isinstance(form, tuple):
        return tuple(meaning(part) for part in form)
    if isinstance(form, (Span, Source)):
        return None
    if isinstance(form, Struct):
        return type(form).__name__, *(meaning(getattr(form, name)) for name in form.__struct_fields__)
    return form


def check_round_trip(text: str) -> str:
    once = formatted(text)
    assert formatted(once) == once
    assert meaning(parse(Source("f.rnn", once))) == meaning(parse(Source("f.rnn", text)))
    assert said(once) == said(text)
    return once


def said(text: str) -> list[str]:
    return [span.text.rstrip() for span in comments_of(Source("f.rnn", text))]


MESSY = """

# head


# about the import
import "cells.rnn" # trailing
# about RNN
cell RNN(units, activation = tanh, # inner
   b = 3,) { # open

  input x: [n,3,] float   # x


  input q: float   input r: [] input s: seq @ time [3] int
  frozen param k:[n]~uniform( -0.1,1e-4 )

  y = f(a,   # one
     # two
     b)      # three
  if (a) { # c1
   b = 1_000
   # before the end
  } # odd
  else # odd too
  if c { # c2
    d = ((((a+b)))*c) >> g
  }
  else {
    # only
  }
  for k in 1 .. depth { w = k  v = x [ : , k ] . 0 }
  if a { } else { if b { c = 1 } }
  z = 1 h' = 2 # both

  # last
} # end
cell B{}
model C() { output (unroll f over x reversed with m=e for 3 from s), y
 train { batch 32 optimizer adam ( rate=.001e0 ) }
}
schedule{unroll 4}
# the end"""

NEAT = """# head

# about the import
import "cells.rnn"  # trailing
# about RNN
# inner
cell RNN(units, activation = tanh, b = 3) {  # open
  input x: [n, 3] float  # x

  input q: float
  input r: []
  input s: seq@time[3] int
  frozen param k: [n] ~ uniform(-0.1, 1e-4)

  # one
  # two
  y = f(a, b)  # three
  if a {  # c1
    b = 1_000
    # before the end
    # odd
    # odd too
  } else if c {  # c2
    d = (a + b) * c >> g
  } else {
    # only
  }
  for k in 1..depth {
    w = k
    v = x[:, k].0
  }
  if a {
  } else {
    if b { c = 1 }
  }
  z = 1
  h' = 2  # both

  # last
}  # end

cell B {
}

model C {
  output (unroll f over x reversed with m = e for 3 from s), y
  train {
    batch 32
    optimizer adam(rate = 0.001e0)
  }
}

schedule {
  unroll 4
}
# the end
"""


def test_canonical_text() -> None:
    assert check_round_trip(MESSY.replace("=.001", "=0.001")) == NEAT


def test_a_block_of_one_statement_stays_in_its_line() -> None:
    for short in (
        "if a { param p, q: [n] = 0 }", "if a { b = 1 } else { output c, d }", "for k in 1..n { y = [y, f(k)] }",
    ):  # fmt: skip
        assert f"  {short}\n" in check_round_trip(f"cell A {{ {short} }}")
    for long in (
        "if a { b = 1 c = 2 }", "if a {\nb = 1 }", "if a { b = 1 } else { }",
        "if a { } else { b = 1 }", "if a { b = 1 # c\n }",
        "if a { b = 1 } else if c { d = 1 }", "for k in 1..n { if a { b = 1 } }",
        f"if a {{ b = {LONG * 5} }}",
    ):  # fmt: skip
        assert " {\n" in check_round_trip(f"cell A {{\n {long} }}").partition("\n")[2]


def test_nothing() -> None:
    assert formatted("") == formatted("\n\n") == ""
    assert check_round_trip("\n# one\n\n\n# two") == "# one\n\n# two\n"


LONG = "name_of_some_length"


def test_long_lines_are_broken_at_commas() -> None:
    text = f"cell A {{ y = f({LONG}, [{', '.join([LONG] * 5)}], k = {LONG}) + g({LONG}, {LONG})[0, 1] # c\n}}"
    assert check_round_trip(text) == (
        f"""cell A {{
  y = f(
    {LONG},
    [
      {LONG},
      {LONG},
      {LONG},
      {LONG},
      {LONG},
    ],
    k = {LONG},
  ) + g({LONG}, {LONG})[0, 1]  # c
}}
"""
    )


def test_long_settings_and_types() -> None:
    names = [f"{LONG}_{i}" for i in range(6)]
    text = check_round_trip(f"cell A({', '.join(names)}) {{ param p: [{', '.join(names)}] = 0 }}")
    assert "cell A(\n  name" in text and ",\n) {\n  param p: [\n    name" in text and ",\n  ] = 0\n" in text


PARENTHESES = [
    "a - (b - c)",
    "(a - b) - c",
    "-(a ** b) ** c",
    "(-a) ** -b",
    "a ** (b ** c)",
    "(a ** b) ** c",
    "not (not a)",
    "(not a) == b",
    "not (a == b)",
    "(a == b) == c",
    "(a or b) and c",
    "a or b and c",
    "(a >> b)(x)",
    "(a + b)[0].c",
    "[(a >> b), (unroll f over x)]",
    "f(k = (unroll f over x))",
    "(1).x",
    "(2.5).x",
    "x.0.1",
    "-(-a)",
    "-(a @ b)",
    "(-a) @ b",
    "unroll (unroll f over x) >> g over (a >> b), c with m = (a >> b) for (a >> b) from (a >> b)",
    "x[(a >> b):(c >> d), (unroll f over x), a]",
    "(a >> b) >> c",
    "a + (b >> c)",
    "(unroll f over x).final",
    "not (unroll f for 3)",
    "(a < b) + (c < d)",
    '("a")',
    "f(())".replace("()", "(a)"),
]


@pytest.mark.parametrize("text", PARENTHESES)
def test_parentheses_are_kept_where_needed(text: str) -> None:
    check_round_trip(
        f"cell A(s = ({text})) {{ y = {text} output ({text}), b for k in ({text})..({text}) {{ }} }}"
    )


CLEAR = {
    "(r * h) @ u": "(r * h) @ u",
    "r * h @ u": "(r * h) @ u",
    "r * (h @ u)": "r * (h @ u)",
    "a / b @ c": "(a / b) @ c",
    "a @ b * c": "(a @ b) * c",
    "a % b * c": "(a % b) * c",
    "a * b // c": "(a * b) // c",
    "(a * b) / c": "a * b / c",
    "(a @ b) @ c": "a @ b @ c",
    "(a % b) % c": "a % b % c",
    "(-a) % b": "(-a) % b",
    "-a // b": "(-a) // b",
    "-(a ** b)": "-(a ** b)",
    "-a ** b": "-(a ** b)",
    "a ** (b ** c)": "a ** (b ** c)",
    "not (a == b)": "not (a == b)",
    "not a < b": "not (a < b)",
    "(a and b) or c": "(a and b) or c",
    "a or b and c": "a or (b and c)",
    "(a == b) and c": "a == b and c",
    "(a * b) + (c ** d)": "a * b + c ** d",
}


@pytest.mark.parametrize("text", CLEAR)
def test_parentheses_stand_where_people_read_otherwise(text: str) -> None:
    """The text may not come to mean another thing to a reader, whatever the parser knows of the order of binding."""
    assert f"  y = {CLEAR[text]}\n" in check_round_trip(f"cell A {{ y = {text} }}")


def test_parentheses_are_dropped_where_not_needed() -> None:
    assert "  y = a * b + f(c)[d]\n" in formatted("cell A { y = ((a * b) + (f)((c))[(d)]) }")


def expressions() -> st.SearchStrategy[str]:
    names = st.sampled_from(["x", "h'", "3", "0.5", "1e-4", "true", "stop", "seq", '"t"', "σ"])
    operators = ["or", "and", "+", "-", "*", "/", "//", "%", "@", "**", ">>"]

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        some = st.lists(inner, min_size=1, max_size=3).map(", ".join)
        return st.one_of(
            st.tuples(inner, st.sampled_from(operators), inner).map(" ".join),
            st.tuples(inner, st.sampled_from(["==", "!=", "<", ">="]), inner)
            .map(" ".join)
            .map("({})".format),
            inner.map("({})".format),
            inner.map("(-{})".format),
            inner.map("(not {})".format),
            some.map("[{}]".format),
            some.map("f({},)".format),
            inner.map("f(k = {})".format),
            inner.map("({}).name".format),
            inner.map("({}).0".format),
            st.tuples(inner, some).map(lambda pair: f"({pair[0]})[{pair[1]}, :]"),
            st.tuples(inner, inner).map(lambda pair: f"g[({pair[0]}):({pair[1]})]"),
            st.tuples(inner, inner).map(lambda pair: f"(unroll {pair[0]} over ({pair[1]}) reversed from s)"),
            st.tuples(inner, inner).map(lambda pair: f"(unroll c with m = ({pair[0]}) for ({pair[1]}))"),
        )

    return st.recursive(names, grow, max_leaves=12)


EXPRESSIONS = expressions()
GAPS = st.sampled_from([" ", "\n", "\n\n\n", " # note\n", "\n # own line\n", "\n\n  # apart\n\n"])
STATEMENTS = st.sampled_from(
    [
        "y, _ = {}", "h' = {}", "output ({}) as b, c", "output {}", "loss {}", "metric {} as m", "stop {}",
        "input x: seq@a[({})] int = {}", "input y: float", "state z: [] = {}", "param p: [({}), 2] ~ ({})",
        "frozen param p: [3] float = {}", "if ({}) {{ y = {} }} else if a {{ }} else {{ z = 1 }}",
        "if a {{ if b {{ }} else {{ c = {} }} }}", "for k in ({})..depth {{ y = {} }}",
        "if a {{ y = {} }} else {{ output {} }}", "train {{ rate ({}) stop ({}) }}",
    ]
)  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> str:
    """Files with comments and empty lines in odd places."""
    text = draw(GAPS)
    for _ in range(draw(st.integers(0, 2))):
        text += f"cell A(a, b{draw(GAPS)} = 3) {{{draw(GAPS)}"
        for statement in draw(st.lists(STATEMENTS, max_size=4)):
            values = [draw(EXPRESSIONS) for _ in range(statement.count("{}"))]
            words = statement.format(*values).split(" ")
            place = draw(st.integers(0, len(words)))
            before = words[place - 1] if place else ""
            gap = " " if before == "for" or "k" in words[place - 1 : place + 1] else draw(GAPS)
            text += " ".join(words[:place]) + gap + " ".join(words[place:]) + draw(GAPS)
        text += "}" + draw(GAPS)
    return text


@given(files())
@settings(max_examples=200, deadline=None)
def test_round_trip_of_any_file(text: str) -> None:
    check_round_trip(text)


def corpus() -> list[Path]:
    return sorted([*(ROOT / "rnngraph" / "language" / "library").rglob("*.rnn"), *(ROOT / "examples").rglob("*.rnn")])


@pytest.mark.parametrize("path", corpus(), ids=lambda path: path.name)
def test_round_trip_of_our_own_files(path: Path) -> None:
    text = check_round_trip(path.read_text("utf-8"))
    assert max(map(len, text.splitlines())) <= WIDTH + 40
