"""Texts without measure, and texts with a slip in them: an answer in words, soon, and nothing else."""

from __future__ import annotations

import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.check import check
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.excerpt import render
from rnngraph.training.config import FitConfig
from tests.support.paths import ROOT

SECONDS = 2.0
"""What a text may take that has a slip in it; a text without measure is given five times that, on a busy machine."""


def told(path: Path, text: str) -> list[Diagnostic]:
    """What is said of a text, each with its place inside of it and its picture drawn."""
    path.write_text(text, encoding="utf-8")
    found = check(str(path))
    for diagnostic in found:
        assert diagnostic.code != "E999"
        render(diagnostic)
        for span in (diagnostic.span, *(label.span for label in diagnostic.labels)):
            assert span is None or 0 <= span.start <= span.end <= len(span.source.text)
    return found


# --- slips -------------------------------------------------------------------------------------------------------

ODD = [
    "і", "а", "\u200b", "\u202e", "\u00ad", "\u0301", "٣", "²", "ﬁ", "ß", "İ", "\U0001f600", "\ud7ff", "\ufeff",
    "\u2028", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "'", '"', "`", "´", "\t", "\\", "@", "~", "..", "**", "//", ">>",
    "0x1", "1e400", "1e300", "9" * 30, "9" * 5000, "0", "-1", "-", "not ", "nan", "inf", "none", "x" * 300,
]  # fmt: skip
WORDS = [
    "cell", "layer", "model", "input", "state", "param", "output", "for", "in", "if", "else", "unroll", "over", "with",
    "from", "reversed", "seq", "int", "bool", "stop", "loss", "metric", "train", "schedule", "import", "as", "frozen",
    "true", "training", "t", "batch", "time", "_", "h'", "x", "h", "units", "n", "RNN(4)", "LSTM", "tanh", "mean", "[",
    "]", "(", ")", "{", "}", "=", "~ normal", "~ uniform(1, 0)", ":", ",", ".", "@", "and", "or", "==", "<", "+", "*",
]  # fmt: skip


def pieces(text: str) -> list[str]:
    """A text as words, signs and what lies between."""
    found, word = [], ""
    for character in text:
        if word and (word[-1].isalnum() != character.isalnum() or not character.isalnum()):
            found.append(word)
            word = ""
        word += character
    return [*found, word]


def slipped(text: str, chance: random.Random) -> str:
    """The text with one to three slips: of characters, of words, of lines, of brackets."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        apart: Callable[[str], list[str]] = chance.choice((list, pieces, lambda t: t.splitlines(keepends=True)))
        parts = apart(text) or [""]
        at, other = chance.randrange(len(parts)), chance.randrange(len(parts))
        match chance.randrange(7):
            case 0:
                del parts[at]
            case 1:
                parts.insert(at, parts[at])
            case 2:
                parts[at], parts[other] = parts[other], parts[at]
            case 3:
                parts.insert(at, chance.choice(ODD))
            case 4:
                parts[at] = f" {chance.choice(WORDS)} "
            case 5:
                del parts[at : at + chance.randrange(1, 20)]
            case 6:
                parts[at:at] = parts[other : other + chance.randrange(1, 20)]
        text = "".join(parts)
    return text


def texts() -> Iterator[str]:
    """Every example and every file of the library."""
    for folder in ("examples", "rnngraph/language/library"):
        for path in sorted((ROOT / folder).rglob("*.rnn")):
            yield path.read_text(encoding="utf-8")


def slips(number: int, seed: int) -> Iterator[str]:
    chance, known = random.Random(seed), list(texts())
    for _ in range(number):
        yield slipped(chance.choice(known), chance)


def test_a_slip_is_answered_in_words(tmp_path: Path) -> None:
    for text in slips(500, 1):
        begun = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            told(tmp_path / "m.rnn", text)
        assert time.process_time() - begun < SECONDS, text


# --- texts without measure -----------------------------------------------------------------------------------------


def model(body: str, settings: str = "") -> str:
    return f"model M{settings} {{\n  input x: [4]\n{body}\n}}\n"


def doubling(body: str) -> str:
    """Forty layers, of which each uses the one before twice."""
    first = "layer L0(k = 3) {\n  input x: [4]\n  output x + k\n}\n"
    begin = "  input x: [4]\n  y = x\n"
    return first + "".join(
        f"layer L{i}(k = 3) {{\n{begin}{body.format(i - 1)}\n  output y\n}}\n" for i in range(1, 40)
    )


USED = "model M {\n  input x: [4]\n  output L39(9)(x) as y\n}\n"
LOOPS = "".join(f"for k{i} in 1..n {{" for i in range(9))
TOO_MUCH = {
    "each layer twice": doubling("  y = L{0}(3)(L{0}(3)(y))") + USED,
    "with no model": doubling("  y = L{0}(3)(L{0}(3)(y))"),
    "with other settings each time": doubling("  y = L{0}(2 * k)(y)\n  y = L{0}(2 * k + 1)(y)") + USED,
    "by name": doubling("  inner = L{0}(k)\n  y = inner(y)\n  y = inner(y)") + USED,
    "in a pipe": doubling("  inner = L{0}(k) >> L{0}(k)\n  y = inner(y)") + USED,
    "in a loop": doubling("  for j in 1..k {{ y = L{0}(k)(y) }}") + USED,
    "where a setting says so": doubling("  if k > 2 {{ y = L{0}(k)(L{0}(k)(y)) }}") + USED,
    "in training": doubling("  if training {{ y = L{0}(k)(L{0}(k)(y)) }}") + USED,
    "loops in loops": model(f"  y = x\n{LOOPS} y = y + 1 {'}' * 9}\n  output y", "(n = 9)"),
    "a million turns": model("  y = x\n  for k in 1..1000000 { y = y + k }\n  output y"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_has_no_end_is_refused_soon(tmp_path: Path, name: str) -> None:
    begun = time.process_time()
    found = [d for d in told(tmp_path / "m.rnn", TOO_MUCH[name]) if d.severity == "error"]
    assert time.process_time() - begun < 5 * SECONDS
    assert [d.code for d in found] == ["E310"]
    assert "more than 200,000 statements" in found[0].message or "repeats 1,000,000 times" in found[0].message


def test_doubling_pipes_joins_and_numbers_are_refused(tmp_path: Path) -> None:
    def doubled(first: str, rule: str) -> str:
        lines = "".join(f"  p{i + 1} = {rule.format(f'p{i}')}\n" for i in range(40))
        return model(f"  p0 = {first}\n{lines}  output p40 as y")

    for first, rule, code in (
        ("tanh", "{0} >> {0}", "E310"), ("x", "[{0}, {0}]", "E203"), ("[1, 2]", "[{0}, {0}]", "E203")
    ):  # fmt: skip
        assert code in {d.code for d in told(tmp_path / "m.rnn", doubled(first, rule))}


def test_what_fits_is_not_refused(tmp_path: Path) -> None:
    """A bound that is not known to be passed does not count."""
    body = "  y = x\n  if x_is {\n    for k in 1..9999 { for l in 1..9999 { y = y + 1 } }\n  }\n  output y"
    assert not told(tmp_path / "m.rnn", model(body, "(x_is = false)"))
    assert not told(tmp_path / "m.rnn", model("  y = x\n  for k in 1..5000 { y = y + 1 }\n  output y"))


DEEP = {
    "parentheses": f"  output {'(' * 20_000}x{')' * 20_000} as y",
    "brackets": f"  output {'[' * 20_000}x{']' * 20_000} as y",
    "signs": f"  output {'-' * 20_000}x as y",
    "powers": f"  output {'x ** ' * 5000}2 as y",
    "calls": f"  output {'tanh(' * 240}x{')' * 240} as y",
    "parts": f"  output x{'.a' * 20_000} as y",
    "branches": "  y = x\n" + "if true {\n" * 240 + "y = y + 1\n" + "}\n" * 240 + "output y",
    "a name": f"  output {'y' * 900_000}",
    "a number": f"  output {'9' * 5000} * x as y",
    "a text": f'  y = "{"a" * 900_000}"\n  output x',
    "a line": f"  output {'z + ' * 200}{' ' * 900_000} w as y",
    "sizes": f"  param w: [{', '.join(['2'] * 5000)}] = 0\n  output x",
}


@pytest.mark.parametrize("name", DEEP)
def test_what_is_deep_or_long_is_told_in_few_words(tmp_path: Path, name: str) -> None:
    begun = time.process_time()
    for diagnostic in told(tmp_path / "m.rnn", model(DEEP[name])):
        assert len(render(diagnostic)) < 3000 and len(str(diagnostic.as_json())) < 3000
    assert time.process_time() - begun < 5 * SECONDS


SHAPES: dict[str, Callable[[int], str]] = {
    "layers": lambda n: model("  y = x\n" + "  y = Dense(4)(y)\n" * n + "  output y"),
    "layers in a for": lambda n: model(f"  y = x\n  for k in 1..{n} {{ y = Dense(4)(y) }}\n  output y"),
    "named layers": lambda n: model(f"  y = x\n  for k in 1..{n} {{ d = Dense(4)\n y = d(y) }}\n  output y"),
    "unknown names": lambda n: model("".join(f"  y{i} = z{i}\n" for i in range(n)) + "  output x"),
    "wrong sizes": lambda n: model("  input z: [5]\n" + "  y = x + z\n" * n + "  output x"),
    "outputs": lambda n: model("  output " + ", ".join(["x + 1"] * n)),
    "params": lambda n: model("".join(f"  param w{i}: [4] = 0\n" for i in range(n)) + "  output x"),
    "models": lambda n: "".join(f"model M{i} {{\n  input x: [4]\n  output x\n}}\n" for i in range(n)),
    "cells": lambda n: "".join(f"cell C{i} {{\n  input x: [4]\n  output x\n}}\n" for i in range(n)),
    "states": lambda n: "cell C {\n  input x: [4]\n  y = x\n" + "  y = RNN(4)(y)\n" * n + "  output y\n}\n",
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_work_grows_with_the_text_not_with_its_square(tmp_path: Path, name: str) -> None:
    """Counted in calls: four times the text takes hardly more than four times as many."""
    check(str(ROOT / "examples/lstm4.rnn"))
    few, many = (_calls(lambda n=n: told(tmp_path / "m.rnn", SHAPES[name](n))) for n in (60, 240))  # type: ignore[misc]
    assert many < 4.6 * few


def test_a_model_is_elaborated_for_training_too_only_where_that_is_another(tmp_path: Path) -> None:
    body = "  y = x\n" + "  y = Dense(4)(y)\n" * 60
    once, twice = (
        _calls(lambda out=out: told(tmp_path / "m.rnn", model(f"{body}  output {out}")))  # type: ignore[misc]
        for out in ("y", "Dropout(0.5)(y)")
    )
    assert once < 0.75 * twice
    wrong = "  input z: [5]\n  y = x\n  if training { y = x + z }\n  output y"
    assert [d.code for d in told(tmp_path / "m.rnn", model(wrong)) if d.severity == "error"] == ["E201"]


def _calls(work: Callable[[], object]) -> int:
    count = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


# --- signs that deceive ----------------------------------------------------------------------------------------------


def test_letters_that_look_alike_are_told_by_their_number(tmp_path: Path) -> None:
    text = "cell C {\n  input bias: [4]\n  state h: [4]\n  һ' = bias\n  output bіas, ｂias\n}\n"
    helps = [d.help for d in told(tmp_path / "m.rnn", text)]
    assert helps == [
        "`һ` has `һ` (U+04BB, CYRILLIC SMALL LETTER SHHA) instead of `h`",
        "`bіas` has `і` (U+0456, CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I) instead of `i`",
        "`ｂias` has `ｂ` (U+FF42, FULLWIDTH LATIN SMALL LETTER B) instead of `b`",
    ]


@pytest.mark.parametrize("sign", ["\u202a", "\u202e", "\u2066", "\u2069", "\x1b", "\x9b"])
@pytest.mark.parametrize("text", ["# a{0}b\n", 'import "a{0}.rnn"\n', "cell A{0} {{\n  input x: [3]\n  output x\n}}\n"])
def test_signs_that_change_what_is_shown_are_refused(tmp_path: Path, sign: str, text: str) -> None:
    found = told(tmp_path / "m.rnn", text.format(sign))
    assert found[0].code == "E003" and f"U+{ord(sign):04X}" in found[0].message
    assert all(sign not in render(d) for d in found)


# --- what Python gives ---------------------------------------------------------------------------------------------


SIZED = "model M(units = 3) {\n  input x: [4]\n  param w: [4, units] = units\n  output x @ w as y\n}\n"


@pytest.mark.parametrize(
    "given",
    [float("nan"), float("inf"), 10**5000, -(10**30), None, "x", [1], (), {}, 1j, b"x", np.array([1, 2]), "x" * 10**6],
    ids=lambda given: type(given).__name__,
)
def test_a_setting_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match="the setting `units` cannot be") as refused:
        rg.parse(SIZED, units=given)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("given", [np.int64(3), np.float32(3), np.array(3), 3.0])
def test_a_number_of_another_kind_is_one(given: Any) -> None:
    assert rg.parse(SIZED, units=given).weights[0].shape == (4, 3)


ODD_VALUES = [None, True, -1, 2.5, float("nan"), "", "²", [1], {}, np.array([1, 2]), 10**5000, b"x", ("adam", None)]


@pytest.mark.parametrize("name", ["optimizer", "batch", "epochs", "clip_norm", "rate_decay", "split", "patience", "x"])
def test_an_option_of_training_of_any_kind(name: str) -> None:
    for value in [*ODD_VALUES, 32, ("adam", {"rate": "x"}), ("adam", {None: 1}), ("adam", {"rate": 10**5000})]:
        try:
            FitConfig.from_recipe({name: value})
        except UserError as refused:
            assert len(str(refused)) < 1000


@pytest.mark.parametrize("name", ["unroll", "dtype", "backend", "kernels", "keep", "memory_limit", "truncate"])
def test_an_option_of_a_schedule_of_any_kind(name: str) -> None:
    for value in [*ODD_VALUES, "mixed:101", "every:0", "revolve:0", "every:²", "every:" + "9" * 5000]:
        try:
            rg.parse(SIZED).compile(**{name: value})
        except UserError as refused:
            assert len(str(refused)) < 1000


@pytest.mark.parametrize("value", ["32", "true", "adam(0.1)", "nosuch(a = 1)", "[1, 2]", '""', "-1", "f(x)(y)"])
def test_an_option_in_a_text_of_any_kind(tmp_path: Path, value: str) -> None:
    train = ("optimizer", "batch", "epochs", "clip_norm", "rate_decay", "validation", "split", "patience", "seed")
    for block, names in (("train", train), ("schedule", ("unroll", "dtype", "keep", "memory_limit", "truncate"))):
        for option in names:
            told(tmp_path / "m.rnn", model(f"  loss mean(x)\n  {block} {{ {option} {value} }}"))


# --- numbers of single precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body, code",
    [
        ("  output 1e300 * x as y", "E629"),
        ("  output x - [1, 2, 3, 1e39] as y", "E629"),
        ("  input s: [] = 1e300\n  output x * s as y", "E629"),
        ("  output log(relu(x - 1) + 1e-60) as y", "E629"),
        ("  output x - [1, 2, 3, 1e-60] as y", "E629"),
        ("  input s: [] = 1e-60\n  output x * s as y", "E629"),
        ("  param w: [4] = 1e-60\n  output x * w as y", "E653"),
        ("  param w: [4] = 1e300\n  output x * w as y", "E653"),
        ("  param w: [4] ~ normal(0, 1e300)\n  output x * w as y", "E653"),
        ("  param a: [4] = 1e30\n  param w: [4] = a * a\n  output x * w as y", "E653"),
    ],
)
def test_a_number_that_single_precision_cannot_hold(body: str, code: str, tmp_path: Path) -> None:
    made = rg.parse(model(body))
    data = {"x": np.ones((2, 4))}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(made.compile().run(data, made.init())["y"]).all()
        with pytest.raises(UserError, match=code) as refused:
            made.compile(dtype="float32").run(data, made.init(dtype="float32"))
    assert refused.value.diagnostics[0].span is not None
    if code == "E629":
        with pytest.raises(UserError, match=code):
            made.export(tmp_path / "m.py", made.init(), dtype="float32")


def test_a_formula_may_be_0_in_single_precision_here_and_there() -> None:
    text = "  param d: [4] = exp(-100 * square(range(4)))\n  param b: [4] = 1e-40\n  output x * d + b as y"
    first = rg.parse(model(text)).init(dtype="float32")
    assert first["d"].tolist() == [1, np.float32(np.exp(-100)), 0, 0] and (first["b"] > 0).all()


@pytest.mark.parametrize("kernels", ["native", "numpy"])
def test_weights_and_cotangents_that_single_precision_cannot_hold(kernels: str) -> None:
    made = rg.parse(model("  param w: [4] = 1\n  output x * w as y"))
    data, fine = {"x": np.ones((2, 4))}, {"w": np.ones(4)}
    wide = {"w": np.array([1, 2, 3e38, -1e39])}
    program = made.compile(dtype="float32", gradient=True, kernels=kernels)
    for _ in range(2):  # the second time what is known of such data is not looked at again
        with pytest.raises(UserError, match=r"the weight `w` holds -1e\+39 at \(3,\), which is infinite in float32"):
            program.run(data, wide)
        with pytest.raises(UserError, match=r"the cotangent of `y` holds 1e\+39 at \(0, 0\)"):
            program.gradients(data, fine, {"y": np.full((2, 4), 1e39)})
        with pytest.raises(UserError, match=r"holds -1e\+39 at \(3,\), which is infinite in float32"):
            program.jvp(data, fine, wide)
        assert np.isfinite(program.run(data, fine)["y"]).all()
    double = made.compile(gradient=True, kernels=kernels)
    assert double.run(data, wide)["y"][0, 3] == -1e39


def test_a_seed_of_64_bits_without_a_sign() -> None:
    program = rg.parse(model("  output Dropout(0.5)(x) as y")).compile(training=True)
    with pytest.raises(UserError, match="`seed` holds 9223372036854775808, which 64 bits with a sign do not hold"):
        program.run({"x": np.ones((2, 4)), "seed": 2**63}, {})


# --- imports ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["a" * 5000, "a/" * 3000 + "b.rnn", "folder", "loop.rnn", "", ".", "/dev/zero", " "])
def test_an_import_that_leads_nowhere(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop.rnn").symlink_to("loop.rnn")
    found = told(tmp_path / "m.rnn", f'import "{path}"\n' + model("  output x"))
    assert [d.code for d in found] == ["E313"]


def test_imports_in_a_long_chain(tmp_path: Path) -> None:
    for i in range(400):
        (tmp_path / f"c{i}.rnn").write_text(f'import "c{i + 1}.rnn"\n' if i < 399 else "", encoding="utf-8")
    found = told(tmp_path / "m.rnn", 'import "c0.rnn"\n' + model("  output x"))
    assert [d.code for d in found] == ["E313"] and "more than 200 others" in found[0].message
