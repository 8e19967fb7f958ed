"""The ways to run a model that are set side by side, and the proof that they agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import Struct, field

from rnngraph.analysis.results import Difference
from rnngraph.analysis.synthetic_data import Steps, cotangents_for, synthetic
from rnngraph.compiled import Arrays, CompiledProgram
from rnngraph.model import Model
from rnngraph.runtime.backend import Backend


class Asked(Struct, frozen=True):
    """What to compare: modes as for `--unroll`, numbers of steps, and how often to time."""

    modes: tuple[str | int, ...] = ("static", "dynamic")
    steps: tuple[int, ...] = (2, 10, 50, 100, 200, 500, 1000)
    """Of all axes that are not `beside`."""
    batch: int = 32
    dtype: str = "float32"
    repeats: int = 9
    seed: int = 0
    schedules: tuple[str, ...] = ()
    """Further rows for each mode: "every:100", "within 512MB", "truncate 50"."""
    in_full: bool = True
    """Whether the bytes of graphs and programs are traced, and laws found of how bytes grow: that takes longer than all
    the rest."""
    beside: Mapping[str, int] = field(default_factory=dict)
    """Steps of the axes that have their own, whatever those of the others."""

    @classmethod
    def steps_of(cls, model: Model, told: Iterable[int | Mapping[str, int]]) -> dict[str, Any]:
        """`steps` and `beside`, of numbers of steps and of numbers for axes; where each axis has its own, `steps` are
        those of the first. UserError where the data have no such axis."""
        found = tuple(told)
        beside = {axis: n for one in found if isinstance(one, Mapping) for axis, n in one.items()}
        steps, known = tuple(one for one in found if not isinstance(one, Mapping)), model.steps_by_axis(1)
        model.steps_by_axis({**(known if steps else {}), **beside})
        if not steps and beside:
            steps = (beside.pop(next(iter(known))),)
        return {"steps": steps, "beside": beside}

    def at(self, model: Model, steps: int) -> Steps:
        """The steps of every axis, where those not `beside` have so many."""
        return {axis: self.beside.get(axis, steps) for axis in model.steps_by_axis(1)} if self.beside else steps

    @property
    def ways(self) -> tuple[str, ...]:
        """Every row's name: the modes, then each with each schedule."""
        modes = tuple(map(str, self.modes))
        return (*modes, *(f"{mode}, {schedule}" for mode in modes for schedule in self.schedules))

    @property
    def exact(self) -> tuple[str, ...]:
        """The ways whose gradients are the gradients."""
        return tuple(way for way in self.ways if TRUNCATE not in way)


TRUNCATE, WITHIN = "truncate", "within"


# --- equality ----------------------------------------------------------------------------------------------------


def everything(program: CompiledProgram, data: Arrays, weights: Arrays, cotangents: Arrays | None) -> Arrays:
    """All results and all gradients by name."""
    results = program.run(data, weights)
    if not program.schedule.gradient:
        return results
    loss, grads = program.gradients(data, weights, cotangents)
    return {**results, "loss": np.asarray(loss), **{f"gradient of {n}": g for n, g in grads.items()}}


def differences(first: Arrays, second: Arrays) -> Iterator[Difference]:
    """For each result whether the two are the same bits, and how far apart they are."""
    for name in first:
        a, b = np.asarray(first[name]), np.asarray(second[name])
        same = a.shape == b.shape and a.tobytes() == b.tobytes()
        apart = 0.0 if same or not a.size else float(np.max(np.abs(a.astype(float) - b.astype(float))))
        yield Difference(name, apart, same)


def prove(model: Model, backend: Backend, asked: Asked) -> tuple[Difference, ...]:
    """Runs every mode on the same data, whole and padded, at batch 1 and as asked; the largest difference per name."""
    worst: dict[str, Difference] = {}
    steps = asked.at(model, min(asked.steps))
    for batch, padded in ((asked.batch, False), (1, False), (asked.batch, True)):
        data = synthetic(model, steps, batch, asked.seed, padded)
        for found in _between_modes(model, backend, asked, steps, batch, data):
            keep_worst(worst, found)
    return tuple(worst.values())


def _between_modes(
    model: Model, backend: Backend, asked: Asked, steps: Steps, batch: int, data: Arrays
) -> Iterator[Difference]:
    weights = model.init(asked.seed, asked.dtype)
    cotangents = cotangents_for(model, steps, batch)
    gradient = cotangents is None or bool(cotangents)
    results = [
        everything(compiled_for(model, backend, asked, way, steps, gradient=gradient), data, weights, cotangents)
        for way in asked.exact
    ]
    for other in results[1:]:
        yield from differences(results[0], other)


def keep_worst(worst: dict[str, Difference], found: Difference) -> None:
    known = worst.get(found.name)
    if known is None or found.max_abs > known.max_abs or (known.equal and not found.equal):
        worst[found.name] = found


def compiled_for(
    model: Model, backend: Backend, asked: Asked, way: str, steps: Steps, **what: Any
) -> CompiledProgram:
    """The program of one row, named as in `Asked.ways`; `what` is asked of it beside the way."""
    mode, _, schedule = way.partition(", ")
    word, _, value = schedule.partition(" ")
    options: dict[str, dict[str, Any]] = {WITHIN: {"memory_limit": value}, TRUNCATE: {"truncate": value}}
    more = options.get(word, {"keep": schedule or "all"})
    length = steps if mode == "static" else None
    program = model.compile(mode, length, backend, asked.dtype, **more, **what)
    program.made_up = True
    return program


def step_for(model: Model, backend: Backend, asked: Asked, way: str, steps: Steps) -> CompiledProgram:
    """What a step of training runs, of one row; a forward run, where nothing has a gradient."""
    return compiled_for(model, backend, asked, way, steps, **(model.training_step if model.differentiated else {}))


def machine(backend: Backend) -> str:
    """What the figures were measured on, in a few words."""
    import os
    import platform

    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {backend.runs_on}"
