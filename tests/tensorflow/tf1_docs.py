"""What the tests of the pages about TensorFlow 1 share: the formulas that stand there, and how one is run as it stands.

A page is a table of what to write for each function or cell. Every piece of code in the column of our own is a formula,
and needs a check: a function that is given the text. Expected are TensorFlow's numbers (`tests/tensorflow/golden`,
`tests/tensorflow/golden_nn`, or a few written down, of TensorFlow 2.21), or plain NumPy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import rnngraph as rg
from tests.support.paths import ROOT
from tests.tensorflow.test_golden_nn_a import case

DOCS = ROOT / "docs"
WORDS = {"int", "[n] int", "seq@label int", "frozen param", "cell", "c", "cs"}
"""What a row names beside its formula: types, and names of things."""
Arrays = dict[str, Any]
Check = Callable[[str], None]


@dataclass(frozen=True)
class Page:
    """A page of `docs`, and the check of each of its formulas."""

    name: str
    checks: dict[str, Check] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return (DOCS / f"{self.name}.md").read_text(encoding="utf-8")

    @property
    def formulas(self) -> list[str]:
        found = [span for row in self.rows() for span in re.findall(r"`([^`]+)`", row[1])]
        return [span for span in dict.fromkeys(found) if span not in WORDS]

    def rows(self) -> Iterator[list[str]]:
        """The cells of each row of its tables, but for the heads."""
        for line in self.text.splitlines():
            if line.startswith("| ") and not line.startswith("| TensorFlow 1"):
                yield [cell.strip() for cell in line.strip("| ").split(" | ")]

    def blocks(self, language: str) -> list[str]:
        return re.findall(rf"```{language}\n(.*?)```", self.text, re.DOTALL)

    def shows(self, *formulas: str) -> Callable[[Check], Check]:
        """The check of these formulas."""

        def add(check: Check) -> Check:
            self.checks.update(dict.fromkeys(formulas, check))
            return check

        return add


# --- running a formula ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seq:
    """A sequence: (batch, steps, ...), the lengths of its rows, the name of its axis."""

    array: Any
    lengths: Any = None
    axis: str = ""

    @property
    def declared(self) -> str:
        sizes = f"[{', '.join(map(str, self.array.shape[2:]))}]" if self.array.ndim > 2 else ""
        return f"seq{'@' * bool(self.axis)}{self.axis}{sizes}{kind(self.array)}"


@dataclass(frozen=True)
class Param:
    array: Any


def kind(array: Any) -> str:
    return " int" if array.dtype.kind == "i" else ""


def model_text(formula: str, given: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[str, list[str]]:
    """A model of one formula, and the names of its results."""
    names, sign, _ = formula.partition(" = ")
    named = bool(sign) and re.fullmatch(r"\w+(, \w+)*", names) is not None
    line = formula if named else f"y = {formula}"
    declared = []
    for name, item in given.items():
        if isinstance(item, Param):
            declared.append(f"param {name}: [{', '.join(map(str, item.array.shape))}]")
        else:
            sizes = f"[{', '.join(map(str, np.shape(item)[1:]))}]" if not isinstance(item, Seq) else ""
            declared.append(f"input {name}: {item.declared if isinstance(item, Seq) else sizes + kind(item)}")
    told = ", ".join(f"{name} = {value}" for name, value in settings.items())
    outputs = names.split(", ") if named else ["y"]
    handed = ", ".join(f"{name} as out_{i}" for i, name in enumerate(outputs))
    head = f"model Doc({told}) {{" if told else "model Doc {"
    return "\n  ".join([head, *declared, line, f"output {handed}"]) + "\n}\n", outputs


def run(formula: str, given: Mapping[str, Any], seed: int = 0, **settings: Any) -> list[Any]:
    """The results of a formula over arrays: batch-first examples, `Seq`s and `Param`s."""
    text, outputs = model_text(formula, given, settings)
    data: dict[str, Any] = {}
    for name, item in given.items():
        if isinstance(item, Seq):
            data[name] = item.array
            data |= {f"{name}.lengths": item.lengths} if item.lengths is not None else {}
        elif not isinstance(item, Param):
            data[name] = item
    model = rg.parse(text)
    if model.graph.inputs.get("seed"):
        data["seed"] = seed
    weights = model.init(0) | {name: item.array for name, item in given.items() if isinstance(item, Param)}
    results = model.compile(kernels="numpy").run(data, weights)
    return [results[f"out_{i}"] for i in range(len(outputs))]


def close(got: Any, want: Any, tolerance: float = 1e-9) -> None:
    assert np.shape(got) == np.shape(want)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def gradients(
    text: str, data: Mapping[str, Any], name: str, cot: Any, model: str | None = None
) -> tuple[Any, dict[str, Any]]:
    """The value of an output, and the gradients of its sum with a cotangent."""
    program = rg.parse(text, model).compile(gradient=True, kernels="numpy")
    return program.run(data, {})[name], program.gradients(data, {}, {name: cot})[1]


def check_reversed(formula: str) -> None:
    """Each row's own steps backwards, 0 behind them."""
    _, a = case("reverse_sequence__batch_major")
    x, lengths = a["in_input"], a["in_seq_lengths"]
    (y,) = run(formula, {"x": Seq(x, lengths)})
    own = np.arange(x.shape[1])[:, None] < lengths[:, None, None]
    close(y, np.where(own, a["out_y"], 0))
