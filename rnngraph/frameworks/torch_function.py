"""One call of a program as a function that PyTorch differentiates through our backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from msgspec import Struct

from rnngraph.compilation.pending import Pending
from rnngraph.compiled import CompiledProgram
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.frameworks.torch_tensors import array_of, tensors_of

Arrays = Mapping[str, Any]


class Asked(Struct, frozen=True):
    """What is computed of tensors of these names: first data, then weights.

    `beside` are data that are no tensors. `forward` is there where the forward pass is to keep nothing: then the
    backward pass, by the schedule of `program`, computes again what it needs.
    """

    program: CompiledProgram
    names: tuple[str, ...]
    weights: Arrays
    beside: Arrays
    forward: CompiledProgram | None
    shown: list[str]
    """Where the names of the results are written to."""

    def data(self, tensors: tuple[torch.Tensor, ...]) -> Arrays:
        """The data once more, over the memory of the tensors."""
        given = zip(self.names, tensors, strict=True)
        return {**self.beside, **{n: array_of(n, t) for n, t in given if n not in self.weights}}

    def begun(self, data: Arrays) -> tuple[Arrays, Pending | None]:
        """The results, and what waits for its backward pass."""
        if self.forward is not None:
            return self.forward.run(data, self.weights), None
        pending = self.program.begin(data, self.weights)
        return pending.results, pending

    def gradients(
        self,
        pending: Pending | None,
        tensors: tuple[torch.Tensor, ...],
        cotangents: Arrays,
        wanted: frozenset[str],
    ) -> Arrays:
        if self.forward is not None:
            return self.program.gradients(self.data(tensors), self.weights, cotangents)[1]
        if pending is None:  # a graph that was retained, whose arrays were given back after the first time
            pending = self.program.begin(self.data(tensors), self.weights)
        return pending.gradients(cotangents, wanted)


class Called(torch.autograd.Function):
    """The results of a program; backward goes on from what the forward pass saved."""

    @staticmethod
    def forward(ctx: Any, asked: Asked, data: Arrays, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found, ctx.pending = asked.begun(data)
        asked.shown[:] = found
        results = tensors_of(found)
        ctx.asked = asked
        ctx.save_for_backward(*tensors)
        smooth = asked.program.differentiable
        ctx.mark_non_differentiable(*(t for n, t in zip(found, results, strict=True) if n not in smooth))
        ctx.set_materialize_grads(False)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise CannotDo(
                "gradients of gradients are not to be had: `create_graph=True` is refused", "E744", "leave it out"
            )
        asked: Asked = ctx.asked
        tensors = ctx.saved_tensors  # PyTorch looks whether anybody has changed them since
        pending, ctx.pending = ctx.pending, None
        given = {n: array_of(n, c) for n, c in zip(asked.shown, cotangents, strict=True) if c is not None}
        needed = zip(asked.names, ctx.needs_input_grad[2:], strict=True)
        wanted = frozenset(name for name, needs in needed if needs)
        found = asked.gradients(pending, tensors, given, wanted)
        return (None, None, *(torch.from_numpy(found[n]) if n in found and n in wanted else None for n in asked.names))
