"""The programs of one model for the calls of a framework: with gradients or without, for training or not."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from rnngraph.api import Model, load
from rnngraph.compilation.schedule import Gradient
from rnngraph.compiled import CompiledProgram
from rnngraph.diagnostics.errors import UserError, told_of
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.graph import INPUT, ordered
from rnngraph.ir.types import BATCH
from rnngraph.language.syntax.ast import File

OPTIONS = ("unroll", "steps", "kernels", "keep", "memory_limit", "truncate", "swap", "outputs", "states")
"""The options of `Model.compile` that are passed on."""


class Wanted(NamedTuple):
    """What a call asks of its program."""

    gradient: Gradient
    training: bool
    dtype: str
    outputs: tuple[str, ...] | None


class Programs:
    """The programs of a model, each compiled when it is first asked for."""

    def __init__(self, model: Model, options: Mapping[str, Any]) -> None:
        for name in options:
            if name not in OPTIONS:
                known = did_you_mean(name, OPTIONS) or f"there are {', '.join(OPTIONS)}"
                raise UserError(f"there is no option `{name}`", "E748", known)
        self.model, self.options = model, dict(options)
        self._made: dict[Wanted, CompiledProgram] = {}
        self._random: dict[bool, bool] = {}

    def __deepcopy__(self, memo: Any) -> Programs:
        return Programs(self.model, self.options)  # a model never changes; programs have arrays

    def __reduce__(self) -> Any:
        model = self.model
        return _restored, (model.file, model.settings, model.name, self.options)

    def program(self, wanted: Wanted) -> CompiledProgram:
        if wanted not in self._made:
            self._made[wanted] = self.model.compile(**{**self.options, **wanted._asdict()})
        return self._made[wanted]

    def outputs(self, given: Collection[str]) -> tuple[str, ...] | None:
        """What is computed of such data, None for all: a loss and metrics where their inputs are given."""
        if self.options.get("outputs") is not None:
            return tuple(self.options["outputs"])
        told = [n for n, needs in self._needs.items() if not _is_beside(n) or needs <= set(given)]
        return None if len(told) == len(self._needs) else tuple(told)

    @cached_property
    def _needs(self) -> dict[str, set[str]]:
        """Of each output the inputs that it cannot do without."""
        asked = {i.name for i in self.model.inputs if i.default is None}
        outputs = self.model.graph.outputs
        return {name: asked & _read(value.node) for name, value in outputs.items()}

    def is_random(self, training: bool) -> bool:
        """Whether a call needs a seed."""
        if training not in self._random:
            graph = self.model.for_training.graph if training else self.model.graph
            self._random[training] = any(n.attrs["kind"] == "seed" for n in graph.nodes() if n.op is INPUT)
        return self._random[training]

    def along(self, axis: str) -> list[str]:
        """The outputs that have a step for each of this axis, behind the batch."""
        return [name for name, order in self.model.made.orders.items() if order[:2] == (BATCH, axis)]

    @property
    def recomputes(self) -> bool:
        """Whether the backward pass computes the forward pass again, instead of keeping everything."""
        return any(self.options.get(n) not in (None, "", "all") for n in ("keep", "memory_limit", "truncate", "swap"))


def _restored(file: File, settings: Mapping[str, Any], name: str | None, options: Mapping[str, Any]) -> Programs:
    return Programs(Model(file, settings, name), options)


def _is_beside(name: str) -> bool:
    return name == "loss" or name.startswith("metric.")


def _read(node: Any) -> set[str]:
    return {n.attrs["name"] for n in ordered((node,)) if n.op is INPUT}


def model_of(given: object, settings: Mapping[str, Any]) -> Model:
    """The model itself, or that of a file with these settings."""
    if isinstance(given, str) and "\n" in given:
        raise UserError("a text of the language was given where a path is taken", "E749", "give `rnngraph.parse(text)`")
    if isinstance(given, (str, os.PathLike)):
        return load(given, **settings)
    if not isinstance(given, Model):
        told = f"a model is a path of a `.rnn` file or what `rnngraph.load` gives, not {told_of(given)}"
        raise UserError(told, "E749")
    if settings:
        raise UserError(
            f"the model has its settings already, and was given `{next(iter(settings))}`",
            "E748",
            "give them to `rnngraph.load`, or the path of the file here",
        )
    return given
