"""What the picture of memory shows is what a run holds."""

from __future__ import annotations

from pathlib import Path

import pytest

import rnngraph as rg
from rnngraph.analysis.cost import cost
from rnngraph.analysis.equality import Asked
from rnngraph.analysis.memory_timeline import panels
from rnngraph.analysis.results import Panel
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.checkpointing.execution import Walker
from rnngraph.checkpointing.plan import Walking
from rnngraph.checkpointing.timeline import pieces
from rnngraph.cli.main import exit_code
from rnngraph.compilation.variant import Signature
from rnngraph.run_options import RunOptions
from tests.support.models import EXAMPLES, parsed

ASKED = Asked(steps=(3, 12), batch=4)
STEPS = 16
"""Whole chunks for `sqrt`: a shorter last one would be the only one to go back from its first computation, and `cost`,
which asks not which way a part is run, would predict a little more."""
LSTM4 = str(next(path for path in EXAMPLES if path.stem == "lstm4"))


def alive(panel: Panel, ran: int) -> int:
    """The bytes that a panel shows while the kernel runs before which `ran` others have run."""
    at = max(i for i, start in enumerate(panel.starts) if start <= ran)
    return sum(panel.bytes[at])


@pytest.mark.parametrize("name", ["lstm", "tagger", "bidirectional", "attention"])
def test_measured_points_lie_on_the_line(name: str) -> None:
    for panel in panels(parsed(name), ASKED):
        assert len(panel.measured) > 8
        for ran, bytes in panel.measured:
            assert bytes == alive(panel, ran), (panel.title, ran)
        assert max(bytes for _, bytes in panel.measured) == panel.peak[1] <= panel.allocated
        assert panel.backward and 0 < panel.backward < panel.end


def test_a_model_without_a_loss_is_drawn_with_the_gradients_of_its_outputs() -> None:
    (panel,) = panels(rg.load(LSTM4), Asked(modes=("dynamic",), steps=(5,), batch=2))
    assert panel.title == "dynamic" and panel.backward


@pytest.mark.parametrize("name", ["lstm", "tagger"])
@pytest.mark.parametrize("keep", ["sqrt", "revolve:2", "mixed:40"])
def test_a_schedule_has_a_panel_with_the_peak_that_cost_predicts(name: str, keep: str) -> None:
    model = parsed(name)
    everything, panel = panels(model, Asked(modes=("dynamic",), steps=(STEPS,), batch=32, schedules=(keep,)))
    told = cost(model, RunOptions(dtype="float32", keep=keep, kernels="numpy").training_step, STEPS, 32)
    assert panel.title == f"dynamic, {keep}" and not panel.measured
    assert panel.peak[1] == told.peak.bytes <= panel.allocated == told.total
    assert panel.peak[1] < everything.peak[1] and panel.peak_line.startswith("at ")
    assert panel.backward and 0 < panel.backward < panel.end
    assert panel.end > everything.end, "steps are computed again"


@pytest.mark.parametrize("keep", ["every:7", "revolve:2", "mixed:40"])
def test_a_schedule_is_drawn_in_the_order_in_which_it_runs(keep: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[object, ...]] = []
    whole, segment = Walker.whole, Walker.segment

    def seen_whole(self: Walker, stage: int) -> None:
        ran.append((("whole", stage), True, True))
        whole(self, stage)

    def seen_segment(self: Walker, kind: str, chunk: int, there: bool, back: bool) -> None:
        first, behind = self.walking.course.span(chunk)
        ran.append(((kind, behind - first), there, back))
        segment(self, kind, chunk, there, back)

    monkeypatch.setattr(Walker, "whole", seen_whole)
    monkeypatch.setattr(Walker, "segment", seen_segment)
    model = parsed("tagger")
    program = model.compile(gradient=True, keep=keep)
    program.gradients(synthetic(model, STEPS, 32, 0), model.init(0))
    made = program.variant(Signature(cotangents=("loss",))).plan(model.sizes(STEPS, 32))
    assert isinstance(made, Walking)
    assert ran == [(piece.key, piece.there, piece.back) for piece in pieces(made)]


def test_a_limit_that_everything_fits_is_drawn_as_keeping_everything() -> None:
    asked = Asked(modes=("dynamic",), steps=(5,), batch=2, schedules=("within 1GB",))
    everything, panel = panels(rg.load(LSTM4), asked)
    assert panel.title == "dynamic, within 1GB" and panel.bytes == everything.bytes


def test_compare_draws_memory(tmp_path: Path) -> None:
    out = tmp_path / "memory.svg"
    assert exit_code(["compare", LSTM4, "--steps", "2,4", "--repeats", "1", "--memory", str(out)]) == 0
    assert "LSTM4: bytes alive, 4 steps, batch 32, float32" in out.read_text()


def test_a_picture_of_another_kind_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["compare", LSTM4, "--memory", "memory.txt"]) == 2
    assert "end its name with .svg, .png or .pdf" in capsys.readouterr().err
