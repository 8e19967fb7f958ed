"""A call whose backward pass comes later: what `CompiledProgram.begin` gives."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from rnngraph.compilation.calls import COTANGENT, Call
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.files.arrays import host_array
from rnngraph.files.safetensors import Arrays
from rnngraph.runtime.buffer_pool import Begun
from rnngraph.weights.checks import shape_text


class Pending:
    """A forward pass that is done, with its results; `gradients` goes on from what it saved, once."""

    def __init__(self, call: Call, begun: Begun, turn: AbstractContextManager[Any]) -> None:
        """`turn` is held while the backward pass runs."""
        self._call, self._turn = call, turn
        self._begun: Begun | None = begun
        self.results: Arrays = call.fresh(begun.results, call.shown)
        """Every output, final state, loss and metric by name."""

    def gradients(self, cotangents: Mapping[str, Any], wanted: frozenset[str] | None = None) -> Arrays:
        """The gradients of the sum of output times cotangent, by the names of weights, float inputs and states.

        `cotangents` are arrays shaped like the outputs that they are named for; the loss has one too, and what is left
        out is zero. `wanted` names the gradients, where not all are. Raises CannotDo at the second call: the arrays
        that the forward pass saved are used for the backward pass, and then for other calls. The weights must still
        hold the numbers that they had in the forward pass.
        """
        if self._begun is None:
            raise CannotDo(
                "the backward pass of this call is over, and what its forward pass saved is gone", "E741", ONCE
            )
        given = {COTANGENT + name: self._turned(self._begun, name, array) for name, array in cotangents.items()}
        given = {COTANGENT + name: None for name in self._call.cotangents} | given
        begun, self._begun = self._begun, None
        with self._turn, begun.spares.backend.here(), np.errstate(all="ignore"):
            results = begun.run_back(given)
            rows = self._call.gradients
            return self._call.fresh(results, tuple(r for r in rows if wanted is None or r[0] in wanted))

    def _turned(self, begun: Begun, name: str, given: Any) -> Any:
        """A cotangent with its axes in the program's order; UserError where it is not one."""
        known = self._call.cotangents
        if name not in known:
            raise UserError(f"no output of floats is called `{name}`", "E605", did_you_mean(name, known))
        array, axes, wanted = host_array(name, given), known[name], begun.results[name].shape
        shape = tuple(wanted[axes.index(i)] for i in range(len(axes)))
        if array.shape != shape:
            told = f"the cotangent of `{name}` should be {shape_text(shape)}, got {shape_text(array.shape)}"
            raise UserError(told, "E617")
        return array.transpose(axes)


ONCE = "begin the call anew for each backward pass"
