"""Nothing lies over anything else: measured in the svg of every example and of every cell of the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rnngraph.viz.write import svg
from tests.support.models import CELLS, EXAMPLES, loaded, parsed
from tests.support.overlaps import overlaps


@pytest.mark.parametrize("style", [{}, {"gradient": True, "steps": 3}], ids=["loop", "steps and gradient"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_nothing_lies_over_anything_in_the_pictures_of_an_example(path: Path, style: dict[str, Any]) -> None:
    assert overlaps(svg(loaded(path).render(**style))) == []


@pytest.mark.parametrize("name", CELLS)
def test_nothing_lies_over_anything_in_the_steps_of_a_cell(name: str) -> None:
    assert overlaps(svg(parsed(name).render(unroll="static", level=3, steps=2))) == []


def test_the_measure_finds_what_lies_over_something() -> None:
    def group(kind: str, name: str, inside: str) -> str:
        return f'<g class="{kind}"><title>{name}</title>{inside}</g>'

    box = '<polygon points="0,0 40,0 40,20 0,20"/><text x="9" y="14" font-size="9" textLength="5">1</text>'
    box += '<text x="30" y="18" font-size="9" textLength="30">wide</text>'
    title = '<text x="60" y="14" font-size="11" textLength="32">a title</text>'
    edge = '<path d="M-20,10C0,10 100,10 200,10"/>'
    edge += '<text x="20" y="12" font-size="9" text-anchor="middle" textLength="5">h</text>'
    parts = group("node", "one", box) + group("cluster", "frame", title) + group("edge", "two->three", edge)
    assert overlaps(f'<svg xmlns="http://www.w3.org/2000/svg">{parts}</svg>') == [
        "label `h` of two->three over box one",
        "`wide` out of one",
        "edge two->three through title `a title`",
        "edge two->three through one",
    ]
