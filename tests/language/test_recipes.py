"""The cells of `examples/papers/`: against their equations in NumPy, in both modes, and their gradients."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.diagnostics.source import Source
from rnngraph.language.syntax.formatter import format
from rnngraph.language.syntax.parser import parse
from tests.support import recipe_equations, recipe_memories
from tests.support.equations import drawn
from tests.support.paths import ROOT
from tests.support.running import same_bits

PAPERS = sorted((ROOT / "examples" / "papers").glob("*.rnn"))
SMALL: dict[str, dict[str, Any]] = {
    "dnc": {"units": 3, "slots": 5, "width": 4},
    "gated_delta_net": {"keys": 3, "values": 4},
    "hyper_lstm": {"units": 4, "hyper": 2, "embed": 3},
    "linear_attention": {"units": 4, "keys": 3},
    "lmu": {"units": 4, "order": 6},
    "mamba_2": {"size": 3, "states": 4},
    "md_lstm": {"units": 3},
    "neural_stack": {"units": 3, "most": 5},
    "rg_lru": {},
    "rim": {"units": 3},
    "s4d": {"states": 4},
    "tree_lstm": {"units": 4, "most": 5},
}
"""Settings other than `units = 4`."""
OTHERWISE = {"skip_rnn": {"skipping.b": np.array(-2.0)}}
"""Weights with which both ways are gone: steps that are skipped, and others."""
STEPS, BATCH = 5, 2


def small(name: str) -> Any:
    return rg.load(ROOT / "examples" / "papers" / f"{name}.rnn", **SMALL.get(name, {"units": 4}))


def one_net(weights: dict[str, Any]) -> dict[str, Any]:
    """By their names behind the first, that of the cell."""
    return {name.partition(".")[2]: w for name, w in weights.items()}


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_a_recipe_is_formatted_and_silent(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format(parse(Source(path.name, text))) == text
    assert not rg.load(path).warnings
    assert re.search(r"\((19|20)\d\d\)", text), "its paper"


def test_the_page_of_recipes_is_that_of_the_files() -> None:
    """`python docs/recipes.py` writes it anew."""
    scope = runpy.run_path(str(ROOT / "docs" / "recipes.py"))
    assert scope["page"]() == scope["PAGE"].read_text(encoding="utf-8")
    assert {name for names in scope["GROUPS"].values() for name in names} == {path.stem for path in PAPERS}


@pytest.mark.parametrize("name", [path.stem for path in PAPERS])
def test_a_recipe_is_its_equations(name: str) -> None:
    model = small(name)
    weights, data = drawn(model) | OTHERWISE.get(name, {}), synthetic(model, STEPS, BATCH, 0)
    found = model.compile().run(data, weights)
    assert same_bits(found, model.compile(unroll="static", steps=STEPS).run(data, weights))
    equations = (vars(recipe_equations) | vars(recipe_memories))[name]
    expected = [equations(one_net(weights), *(data[i.name][row] for i in model.inputs)) for row in range(BATCH)]
    assert np.allclose(found["y"], np.stack(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["dnc", "lmu", "md_lstm", "neural_stack", "rwkv", "tree_lstm", "ttt", "unitary"])
def test_gradients_of_recipes_are_slopes(name: str) -> None:
    """Along one direction in the space of all weights, by central differences."""
    model, rng = small(name), np.random.default_rng(1)
    weights, data = drawn(model), synthetic(model, STEPS, BATCH, 0)
    program = model.compile(gradient=True)
    cotangent = {"y": rng.normal(size=program.run(data, weights)["y"].shape)}
    _, gradients = program.gradients(data, weights, cotangent)
    way = {k: rng.normal(size=w.shape) for k, w in weights.items() if k in gradients}

    def loss(step: float) -> float:
        moved = {k: w + step * way.get(k, 0) for k, w in weights.items()}
        return float((program.run(data, moved)["y"] * cotangent["y"]).sum())

    slope = sum(float((gradients[k] * way[k]).sum()) for k in way)
    assert slope == pytest.approx((loss(1e-6) - loss(-1e-6)) / 2e-6, rel=1e-6)
