"""A model as a module of PyTorch: weights are parameters, gradients come from our own backward pass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from rnngraph.api import Model
from rnngraph.compilation.schedule import Gradient
from rnngraph.compiled import CompiledProgram
from rnngraph.data.lengths import LENGTHS
from rnngraph.data.shape_checks import SEED
from rnngraph.diagnostics.errors import UserError
from rnngraph.frameworks.programs import OPTIONS, Programs, Wanted, model_of
from rnngraph.frameworks.results import Results
from rnngraph.frameworks.torch_function import Asked, Called
from rnngraph.frameworks.torch_tensors import (
    DTYPES,
    array_of,
    as_tensor,
    dtype_of,
    float_array,
    packed,
    tensors_of,
    unpacked,
)
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import DataInput, StateInput

Tensors = dict[str, torch.Tensor]
LARGEST_SEED = 2**63 - 1


class Module(torch.nn.Module):
    """A model with weights. Calls take its inputs, batch first, and give its outputs by name."""

    def __init__(
        self,
        model: str | os.PathLike[str] | Model,
        *,
        seed: int | None = None,
        dtype: torch.dtype | None = None,
        **settings: Any,
    ) -> None:
        """`model` is a `.rnn` file, which takes `settings`, or a model.

        The weights begin as `model.init(seed)`; without a seed, one is drawn from PyTorch's generator. `dtype` is
        float32 or float64, PyTorch's default where it is not given. Beside settings these options of `Model.compile`
        are known: unroll, steps, kernels, keep, memory_limit, truncate, swap, outputs, states. A weight is a parameter
        under its own name (`encoder.kernel`), a frozen one a buffer.
        """
        super().__init__()
        options = {name: settings.pop(name) for name in OPTIONS if name in settings}
        self._programs = Programs(model_of(model, settings), options)
        self._arrays: dict[str, tuple[Any, Any]] = {}
        items: tuple[DataInput | StateInput, ...] = (*self.model.inputs, *self.model.states)
        self._floats = frozenset(item.name for item in items if item.type.dtype == "float")
        self._frozen = frozenset(w.name for w in self.model.weights if w.frozen)
        dtype = dtype or torch.get_default_dtype()
        if dtype not in DTYPES:
            raise UserError(f"`{dtype}` is not a number type to compute with", "E607", "choose float32 or float64")
        initial = self.model.init(_drawn() if seed is None else seed, DTYPES[dtype])
        homes: dict[tuple[str, ...], torch.nn.Module] = {(): self}
        self._homes = {name: self._registered(name, np.array(array), homes) for name, array in initial.items()}

    def _registered(
        self, name: str, array: Any, homes: dict[tuple[str, ...], torch.nn.Module]
    ) -> tuple[torch.nn.Module, str]:
        """Registers a weight; the module that has it, and its name there. `homes` are those that are there by path."""
        *path, last = name.split(".")
        for i in range(len(path)):
            outer, here = homes[tuple(path[:i])], tuple(path[: i + 1])
            if here not in homes:
                homes[here] = torch.nn.Module()
                outer.add_module(_free(outer, path[i]), homes[here])
        home = homes[tuple(path)]
        last, tensor = _free(home, last), torch.from_numpy(array)
        if name in self._frozen:
            home.register_buffer(last, tensor)
        else:
            home.register_parameter(last, torch.nn.Parameter(tensor))
        return home, last

    @property
    def model(self) -> Model:
        return self._programs.model

    def weights(self) -> Tensors:
        """The weights by the names that the model gives them."""
        return {name: getattr(home, own) for name, (home, own) in self._homes.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_arrays": {}}

    def extra_repr(self) -> str:
        return repr(self.model)

    # --- a call ---

    def forward(self, *inputs: Any, lengths: Any = None, **named: Any) -> Any:
        """The results by name; of a model that has only one, that tensor itself.

        Inputs come in the order in which the model declares them, or by name; a `PackedSequence` is one with lengths,
        and then what is handed out along its axis is packed too. `lengths` (batch,) are those of the first sequence,
        (batch, 2) where it runs over two axes; of others they go by `**{"label.lengths": ...}`. States that are given,
        `final=results.final` or `**{"final.h": h}`, take the place of the first ones. Where something is random its
        `seed` is drawn from PyTorch's generator.
        """
        if torch.compiler.is_compiling():
            return torch.compiler.disable(self._computed)(inputs, lengths, named)
        return self._computed(inputs, lengths, named)

    def _computed(self, inputs: tuple[Any, ...], lengths: Any, named: dict[str, Any]) -> Any:
        told = self._named(inputs, lengths, named)
        given, weights = unpacked(told), self.weights()
        dtype = dtype_of(weights, torch.get_default_dtype())
        tensors = {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}
        data = self._data(given, dtype)
        results = self._results(data, tensors, weights, dtype)
        packs = self._packs(told, given, results)
        return next(iter(packs.values())) if len(packs) == 1 else Results(packs)

    def _named(self, inputs: tuple[Any, ...], lengths: Any, named: dict[str, Any]) -> dict[str, Any]:
        """Everything that is given by its full name."""
        known = [i.name for i in self.model.inputs]
        if len(inputs) > len(known):
            told = f"the model was given {len(inputs)} inputs, and takes {len(known)}"
            raise UserError(told, "E745", f"it takes {', '.join(f'`{n}`' for n in known) or 'none'}")
        found = dict(zip(known, inputs, strict=False))
        for name, value in named.items():
            parts = {f"{name}.{n}": v for n, v in value.items()} if isinstance(value, Mapping) else {name: value}
            if twice := found.keys() & parts.keys():
                raise UserError(f"`{min(twice)}` is given twice, by its place and by its name", "E745", "leave one out")
            found |= parts
        if lengths is not None:
            found[self._named_lengths(known)] = lengths
        return {name: value for name, value in found.items() if value is not None}

    def _named_lengths(self, known: list[str]) -> str:
        """What the lengths of the main sequence are for."""
        if "lengths" in known:
            return "lengths"
        for item in self.model.inputs:
            if item.axes and BATCH in item.type.axes:
                return item.name + LENGTHS
        raise UserError("the model takes no sequence that could have `lengths`", "E745", "leave them out")

    def _data(self, given: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
        floats = self._floats
        data = {}
        for name, value in given.items():
            tensor = as_tensor(name, value)
            if name in floats and isinstance(value, list | tuple | float | int):  # which have no type of their own
                tensor = tensor.to(dtype)
            data[name] = float_array(name, tensor, dtype) if name in floats else array_of(name, tensor)
        return data

    def _results(self, data: dict[str, Any], tensors: Tensors, weights: Tensors, dtype: torch.dtype) -> Tensors:
        """The results as tensors, through which gradients flow where they are asked for."""
        graded = torch.is_grad_enabled()
        of_data = graded and any(t.requires_grad for t in tensors.values())
        of_weights = graded and any(t.requires_grad for t in weights.values())
        arrays = {name: self._array(name, tensor) for name, tensor in weights.items()}
        if SEED not in data and self._programs.is_random(self.training):
            data[SEED] = np.asarray(_drawn())
        if not (of_data or of_weights):
            results = self._program(False, dtype, data).run(data, arrays)
            return dict(zip(results, tensors_of(results), strict=True))
        self._refuse_trained(weights)
        differentiated = self._program(True if of_data else "weights", dtype, data)
        forward = self._program(False, dtype, data) if self._programs.recomputes else None
        together = {**tensors, **weights}
        beside = {name: array for name, array in data.items() if name not in tensors}
        asked = Asked(differentiated, tuple(together), arrays, beside, forward, [])
        found = Called.apply(asked, data, *together.values())
        return dict(zip(asked.shown, found, strict=True))

    def _program(self, gradient: Gradient, dtype: torch.dtype, data: Mapping[str, Any]) -> CompiledProgram:
        outputs = self._programs.outputs(data)
        return self._programs.program(Wanted(gradient, self.training, DTYPES[dtype], outputs))

    def _array(self, name: str, tensor: torch.Tensor) -> Any:
        """The array over a weight's memory, the same object as long as the weight stays where it is."""
        place = tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
        known = self._arrays.get(name)
        if known is None or known[0] != place or not tensor.is_cpu:
            self._arrays[name] = known = place, array_of(name, tensor)
        return known[1]

    def _refuse_trained(self, weights: Tensors) -> None:
        for name in self._frozen:
            if weights[name].requires_grad:
                told = f"`{name}` is frozen in the model, so that there is no gradient of it"
                raise UserError(told, "E746", "leave out `frozen` in the model, or its `requires_grad`")

    def _packs(self, told: Mapping[str, Any], given: Mapping[str, Any], results: Tensors) -> Mapping[str, Any]:
        """The results, packed where a sequence of the same axis was."""
        found: Mapping[str, Any] = results
        for item in self.model.inputs:
            sequence = told.get(item.name)
            if isinstance(sequence, PackedSequence):
                along = [n for n in self._programs.along(item.axes[0]) if isinstance(found.get(n), torch.Tensor)]
                found = packed(found, along, sequence, given[item.name + LENGTHS])
        return found


def _free(home: torch.nn.Module, name: str) -> str:
    """The name, with a line behind it where a module has something else of that name."""
    while hasattr(home, name):
        name += "_"
    return name


def _drawn() -> int:
    """A seed from PyTorch's generator."""
    return int(torch.randint(LARGEST_SEED, ()))
