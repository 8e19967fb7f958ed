"""Texts that are not finished: what is wrong elsewhere is told, and nothing that only follows from the gap."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rnngraph.check import check, check_source
from rnngraph.diagnostics.source import Source
from rnngraph.language.syntax.parser import expected_at, parse, parse_around, read_source
from tests.support.paths import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.rnn"))
SOUND = """\
cell Gate(units, act = tanh) {
  input x: [n]
  state h: [units] = 0
  param kernel: [n + units, units]
  if units > 2 {
    q = x
  } else {
    q = 2 * x
  }
  h' = act([q, h] @ kernel)
  output h'
}

model Small(deep = true) {
  input x: seq[3]
  y, final = unroll Gate(4) over x
  for k in 1..2 {
    y = Dense(3)(y)
  }
  output y, final
  loss mean(y)
  train {
    epochs 3
    batch 8
  }
}
"""


def codes(text: str) -> list[str]:
    return [d.code for d in check_source(Source("a.rnn", text)).found]


def test_the_text_is_sound() -> None:
    assert codes(SOUND) == []


@pytest.mark.parametrize(
    ("was", "typed"),
    [
        ("input x: [n]", "input x: [n"),
        ("input x: [n]", "input x:"),
        ("input x: [n]", "input"),
        ("state h: [units] = 0", "state h: [units] = "),
        ("param kernel: [n + units, units]", "param kernel: [n +"),
        ("if units > 2 {", "if units > {"),
        ("q = 2 * x", "q = 2 *"),
        ("h' = act([q, h] @ kernel)", "h' = act([q, h] @"),
        ("h' = act([q, h] @ kernel)", "h'"),
        ("output h'", "outp"),
        ("output h'", "output"),
        ("cell Gate(units, act = tanh) {", "cell Gate(units, act = ) {"),
        ("cell Gate(units, act = tanh) {", "cell Gate(units, act = tanh {"),
        ("y, final = unroll Gate(4) over x", "y, final = unroll Gate(4) over"),
        ("y, final = unroll Gate(4) over x", "y, final ="),
        ("for k in 1..2 {", "for k in 1.. {"),
        ("y = Dense(3)(y)", "y = Dense("),
        ("output y, final", "output y,"),
        ("loss mean(y)", "loss"),
        ("epochs 3", "epochs ="),
        ("model Small(deep = true) {", "model Small(deep = ) {"),
    ],
)
def test_a_gap_has_its_error_and_no_echo(was: str, typed: str) -> None:
    assert was in SOUND
    found = check_source(Source("a.rnn", SOUND.replace(was, typed, 1))).found
    line = SOUND[: SOUND.index(was)].count("\n") + 1
    assert {d.code for d in found} <= {"E001", "E002", "E003"}
    assert found and all(d.span and line <= d.span.line <= line + 1 for d in found), [str(d.span) for d in found]


def test_every_other_mistake_is_told() -> None:
    text = SOUND.replace("q = 2 * x", "q = 2 *").replace("Dense(3)", "Dence(3)").replace("mean(y)", "meen(y)")
    assert codes(text) == ["E001", "E101", "E101"]


def test_what_a_broken_statement_defines_is_known() -> None:
    file = parse_around(Source("a.rnn", "model M {\n  input x: [2]\n  a, b = split(x,\n  output a + b\n}")).file
    assert [type(s).__name__ for s in file.items[0].body] == ["Input", "Assign", "Output"]  # type: ignore[union-attr]


def test_an_import_that_fails_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.rnn").write_text('import "b.rnn"\n' + SOUND.replace("Gate(4)", "Gate(4, tanh, 5)"))
    assert [d.code for d in check(str(tmp_path / "a.rnn"))] == ["E313", "E303"]


def test_a_sound_text_is_read_as_ever() -> None:
    for path in EXAMPLES:
        source = read_source(path)
        found = parse_around(source)
        assert not found.errors and not found.broken and found.file == parse(source)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_any_text_is_read(path: Path) -> None:
    """Words are left out, and put elsewhere, by chance."""
    text, chance = path.read_text(encoding="utf-8"), random.Random(path.stem)
    words = text.split(" ")
    for _ in range(4):
        some = [w for w in words if chance.random() > 0.05]
        at, to = chance.randrange(len(some)), chance.randrange(len(some))
        some.insert(to, some.pop(at))
        source = Source("a.rnn", " ".join(some))
        check_source(source)
        expected_at(source, chance.randrange(len(source.text)))


def test_a_text_of_many_mistakes_is_checked_quickly() -> None:
    """A thousand broken lines are not read a thousand times."""
    found = check_source(Source("a.rnn", "model M {\n" + "  a = (\n  b ] 3\n" * 500 + "}\n")).found
    assert len(found) > 20
