"""How large the gradient is: of each weight, and of the states by how many steps they lie back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from rnngraph.compilation.perturbations import Nudge, nudged
from rnngraph.compiled import CompiledProgram
from rnngraph.data.lengths import lengths_of
from rnngraph.data.shape_checks import steps_of
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.training.batches import row_count
from rnngraph.training.evaluation import BACK, WEIGHT, Record


class GradientNorms:
    """Measures the gradient of the loss of some rows of data, by a program of its own."""

    def __init__(self, program: CompiledProgram) -> None:
        self._nudges = nudged(program.made)[1]
        self._program = program.changed(lambda made: nudged(made)[0])

    def __call__(self, rows: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> Record:
        """`gradient.NAME` for each weight, then `back.AXIS.STEPS` for 0, 1, 2, 4, 8, ... steps: Euclidean norms of the
        gradient of the mean loss of the rows, those of states over all states of all loops along the axis."""
        count, steps = row_count(rows), steps_of(self._program.made.inputs, rows)
        zeros = self._zeros(rows)
        _, gradients = self._program.gradients({**rows, **zeros}, weights)
        lengths = lengths_of(self._program.made.inputs, rows)
        real = {n.name: _real(count, steps[n.axis], lengths.get(n.axis)) for n in self._nudges}
        if any(nudge.own for nudge in self._nudges):
            results = self._program.run({**rows, **zeros}, weights)
            real |= {n.name: results[n.own] for n in self._nudges if n.own}
        own = {f"{WEIGHT}{name}": float(np.linalg.norm(gradients[name])) for name in weights if name in gradients}
        return own | dict(self._states(real, gradients))

    def _zeros(self, rows: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """What is added to each state of these rows."""
        count, steps = row_count(rows), steps_of(self._program.made.inputs, rows)
        return {n.name: np.zeros((count, steps[n.axis], *n.shape), self._program.schedule.dtype) for n in self._nudges}

    def refuse_too_large(self, rows: Mapping[str, Any]) -> None:
        """CannotDo where that takes more memory than its limit, or than what is free; nothing is run."""
        try:
            self._program.refuse_too_large({**rows, **self._zeros(rows)}, row_count(rows))
        except CannotDo as error:
            told = "the gradient's norms cannot be found"
            raise CannotDo(replace(d, message=f"{told}: {d.message}") for d in error.diagnostics) from None

    def _states(
        self, real: Mapping[str, NDArray[Any]], gradients: Mapping[str, NDArray[Any]]
    ) -> Iterator[tuple[str, float]]:
        for axis in dict.fromkeys(nudge.axis for nudge in self._nudges):
            along = [nudge for nudge in self._nudges if nudge.axis == axis]
            squares = np.sum([_squares(n, gradients[n.name], real[n.name]) for n in along], axis=0)
            for back in _doubling(len(squares)):
                yield f"{BACK}{axis}.{back}", float(np.sqrt(squares[back]))


def _real(count: int, steps: int, lengths: NDArray[Any] | None) -> NDArray[Any]:
    """(rows, steps): which steps are a row's own."""
    ends = np.full(count, steps) if lengths is None else lengths
    real: NDArray[Any] = np.arange(steps) < ends[:, None]
    return real


def _squares(nudge: Nudge, gradient: NDArray[Any], real: NDArray[Any]) -> NDArray[Any]:
    """For each number of steps back, the sum of squares over rows and units."""
    steps = gradient.shape[1]
    square = np.square(gradient, dtype=np.float64).sum(axis=tuple(range(2, gradient.ndim)))
    order = slice(None, None, 1 if nudge.reverse else -1)
    square, real = square[:, order], real[:, order]  # what ran last is in front
    back = np.cumsum(real, axis=1) - 1
    return np.bincount(back[real], square[real], minlength=steps)


def _doubling(steps: int) -> Iterator[int]:
    """0, 1, 2, 4, 8, ..., below the number of steps."""
    yield from (back for back in (0, *(1 << i for i in range(steps.bit_length()))) if back < steps)
