"""Times that are told: medians with what they lie between, of contestants in turns; and the peak of the cores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis import timing
from rnngraph.analysis.compare import Contest
from rnngraph.analysis.equality import Asked
from rnngraph.analysis.timing import in_turns, spread
from rnngraph.runtime.choose_backend import backend_named


@pytest.mark.parametrize(("count", "low"), [(3, 1), (5, 1), (6, 1), (9, 2), (15, 4), (25, 8), (100, 40)])
def test_the_interval_of_a_median(count: int, low: int) -> None:
    """By the ranks that tables of the binomial distribution give for 95 %."""
    times = np.random.default_rng(0).permutation(np.arange(1.0, count + 1)).tolist()
    found = spread(times)
    assert (found.middle, found.low, found.high) == ((count + 1) / 2, low, count + 1 - low)


def test_a_tiny_program_is_timed_hundreds_of_thousands_of_times() -> None:
    """By the normal distribution that the binomial one comes to."""
    found = spread([float(i) for i in range(400_000)])
    assert found.low == pytest.approx(200_000 - 0.98 * 400_000**0.5, abs=2)


class Clock:
    """A machine that grows slower and slower: everything takes as long as is told, times a load that rises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.ran = 0.0, list[str]()
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def run(self, name: str, takes: float) -> Callable[[], None]:
        def ran() -> None:
            self.ran.append(name)
            self.now += takes * (1 + len(self.ran) / 20)

        return ran


def test_contestants_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a load that rises while they run is no difference between two that are the same, and hides none."""
    clock = Clock(monkeypatch)
    found = in_turns({"a": clock.run("a", 1.0), "b": clock.run("b", 1.0)}, 9)
    assert "".join(clock.ran) == "ab" + "baab" * 4 + "ba"
    assert found["a"].meets(found["b"])
    found = in_turns({"a": clock.run("a", 1.0), "b": clock.run("b", 2.0)}, 9)
    assert not found["a"].meets(found["b"]) and found["a"].middle < found["b"].middle


def test_no_row_holds_what_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kernel of any row is compiled before a row is timed."""
    from rnngraph.kernels.cpu import machine_code

    made = list[str]()
    compiled = machine_code.Module.__init__

    def watched(self: machine_code.Module, text: str, often: bool = False) -> None:
        made.append(text)
        compiled(self, text, often)

    monkeypatch.setattr(machine_code.Module, "__init__", watched)
    model = rg.parse("model M { input x: seq[3]\n y, f = unroll RNN(23) over tanh(x)\n output y\n loss mean(y * y) }")
    asked = Asked(modes=("static", "dynamic"), steps=(1, 2, 4, 9), batch=5, repeats=1)
    contest = Contest(model, backend_named("numpy", "native"), asked, lambda text: None)
    contest.warm_up()
    before = len(made)
    rounds = [contest.round(steps) for steps in asked.steps]
    assert 0 < before == len(made)
    assert [row.steps for one in rounds for row in one.rows] == [1, 1, 2, 2, 4, 4, 9, 9]


def test_the_peak_is_that_of_the_registers() -> None:
    """Twice as many floats of 32 bits as of 64 go into a vector: seen at once, or when the core keeps its speed."""
    from rnngraph.kernels.cpu.peak_speed import peak

    pairs = ((peak("float32", 1), peak("float64", 1)) for _ in range(20))
    assert any(double > 1e9 and single == pytest.approx(2 * double, rel=0.25) for single, double in pairs)
