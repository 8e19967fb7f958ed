"""The tour at the beginning of the reference: its files as they stand."""

from __future__ import annotations

import re

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.diagnostics.source import Source
from rnngraph.language.syntax.formatter import format
from rnngraph.language.syntax.parser import parse
from tests.support.paths import ROOT
from tests.support.running import same_bits

TOUR = (ROOT / "grammar" / "README.md").read_text(encoding="utf-8").partition("## A tour")[2].partition("\n## ")[0]
FILES = re.findall(r"```rnn\n(.*?)```", TOUR, re.DOTALL)


@pytest.mark.parametrize("text", FILES, ids=lambda text: text.split("model ")[1].split()[0])
def test_a_file_of_the_tour_runs(text: str) -> None:
    model = rg.parse(text)
    assert format(parse(Source("tour.rnn", text))) == text and not model.warnings
    weights, data = model.init(0), synthetic(model, 4, 3, 0, padded=True)
    found = model.compile().run(data, weights)
    assert found and same_bits(found, model.compile(unroll="static", steps=4).run(data, weights))


def test_the_last_file_of_the_tour_learns_from_rows_of_different_lengths() -> None:
    """Two classes whose steps differ in their mean; behind the end of a row are no numbers."""
    rng = np.random.default_rng(0)
    digit, lengths = rng.integers(0, 2, 96), rng.integers(3, 7, 96)
    x = rng.normal(size=(96, 6, 8)) + digit[:, None, None]
    x[np.arange(6) >= lengths[:, None]] = np.nan
    data = {"image": x, "image.lengths": lengths, "digit": digit}
    model = rg.parse(FILES[-1], units=6)
    fitted = model.fit(data, epochs=20, seed=0)
    assert model.evaluate(data, fitted.weights)["accuracy"] > 0.95
