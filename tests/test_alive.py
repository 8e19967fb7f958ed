"""What the picture of memory shows is what a run holds."""

from __future__ import annotations

from pathlib import Path

import pytest

import rnngraph as rg
from rnngraph.alive import panels
from rnngraph.cli import exit_code
from rnngraph.costs import Asked
from rnngraph.viz.memory import Panel
from tests.models import ALL, EXAMPLES

ASKED = Asked(steps=(3, 12), batch=4)
LSTM4 = str(next(path for path in EXAMPLES if path.stem == "lstm4"))


def alive(panel: Panel, ran: int) -> int:
    """The bytes that a panel shows while the kernel runs before which `ran` others have run."""
    at = max(i for i, start in enumerate(panel.starts) if start <= ran)
    return sum(panel.bytes[at])


@pytest.mark.parametrize("name", ["lstm", "tagger", "bidirectional", "attention"])
def test_measured_points_lie_on_the_line(name: str) -> None:
    for panel in panels(rg.parse(ALL[name]), ASKED):
        assert len(panel.measured) > 8
        for ran, bytes in panel.measured:
            assert bytes == alive(panel, ran), (panel.title, ran)
        assert max(bytes for _, bytes in panel.measured) == panel.peak[1] <= panel.allocated
        assert panel.backward and 0 < panel.backward < panel.end


def test_a_model_without_a_loss_is_drawn_with_the_gradients_of_its_outputs() -> None:
    (panel,) = panels(rg.load(LSTM4), Asked(modes=("dynamic",), steps=(5,), batch=2))
    assert panel.title == "dynamic" and panel.backward


def test_compare_draws_memory(tmp_path: Path) -> None:
    out = tmp_path / "memory.svg"
    assert exit_code(["compare", LSTM4, "--steps", "2,4", "--repeats", "1", "--memory", str(out)]) == 0
    assert "LSTM4: bytes alive, 4 steps, batch 32, float32" in out.read_text()


def test_a_picture_of_another_kind_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["compare", LSTM4, "--memory", "memory.txt"]) == 2
    assert "end its name with .svg, .png or .pdf" in capsys.readouterr().err
