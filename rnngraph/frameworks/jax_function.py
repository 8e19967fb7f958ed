"""A model as a pure function for JAX: forward and backward pass are calls back from its programs to ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from rnngraph.api import Model
from rnngraph.compilation.calls import known_as
from rnngraph.compiled import CompiledProgram, refuse_unnamed
from rnngraph.data.checks import check_data
from rnngraph.data.lengths import LENGTHS
from rnngraph.data.shape_checks import SEED, target
from rnngraph.diagnostics.argument_kinds import kinds_checked
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.precision import cast, overflow
from rnngraph.frameworks.programs import OPTIONS, Programs, Wanted, model_of
from rnngraph.ir.types import size_of
from rnngraph.weights.checks import check_weights, shape_text

Arrays = Mapping[str, Any]


@kinds_checked
def function(
    model: str | os.PathLike[str] | Model, *, training: bool = False, **settings: Any
) -> Callable[[Arrays, Arrays], dict[str, Any]]:
    """`apply(weights, data)`: every output, final state, loss and metric by name, for `jit`, `grad` and `vmap`.

    `weights` and `data` are dicts by our names: `{"x": ..., "x.lengths": ..., "final.h": ..., "seed": 3}`. `model` and
    `settings` are as for `rnngraph.torch.Module`; with `training` dropout is on, by the `seed`. Numbers are float64
    where the weights are, else float32. Gradients are those of floats: of weights, inputs and initial states; the
    backward pass computes the forward pass again. What does not fit is told when the function is traced (UserError),
    what is wrong in the contents of the data when it runs.
    """
    options = {name: settings.pop(name) for name in OPTIONS if name in settings}
    programs = Programs(model_of(model, settings), options)
    call = jax.custom_vjp(partial(_forward, programs, training))
    call.defvjp(partial(_forward_kept, programs, training), partial(_backward, programs, training))

    def apply(weights: Arrays, data: Arrays) -> dict[str, Any]:
        refuse_unnamed(data=data, weights=weights)
        found: dict[str, Any] = call(_taken(weights), _taken(data))
        return found

    return apply


def _taken(given: Arrays) -> Arrays:
    """As arrays of JAX. UserError where its types, of 32 bits unless it is told otherwise, do not hold a number."""
    for name, array in given.items():
        if not isinstance(array, jax.Array):
            _refuse_unheld(name, np.asarray(array))
    return {name: jax.numpy.asarray(array) for name, array in given.items()}


def _refuse_unheld(name: str, array: np.ndarray[Any, Any]) -> None:
    dtype = str(jax.dtypes.canonicalize_dtype(array.dtype))
    if (at := overflow(array, cast(array, dtype))) is not None:
        what = f"`{name}` holds {array[at]} at {shape_text(at)}, which {dtype} does not hold"
        raise UserError(what, "E513", 'JAX has 64 bits after `jax.config.update("jax_enable_x64", True)`')


def _forward(programs: Programs, training: bool, weights: Arrays, data: Arrays) -> dict[str, Any]:
    program = _program(programs, training, weights, data, False)
    shapes = _shapes(program, weights, data)

    def run(weights: Arrays, data: Arrays) -> dict[str, Any]:
        results = program.run(_host(data), _host(weights))
        return {name: results[name].astype(like.dtype) for name, like in shapes.items()}

    found: dict[str, Any] = jax.pure_callback(run, shapes, weights, data, vmap_method="sequential")
    return found


def _forward_kept(programs: Programs, training: bool, weights: Arrays, data: Arrays) -> tuple[dict[str, Any], Any]:
    return _forward(programs, training, weights, data), (weights, data)


def _backward(programs: Programs, training: bool, given: tuple[Arrays, Arrays], cotangents: Arrays) -> tuple[Any, Any]:
    weights, data = given
    program = _program(programs, training, weights, data, True)
    told = {name: cotangents[name] for name in program.differentiable}
    shapes = {n: jax.ShapeDtypeStruct(a.shape, a.dtype) for n, a in {**weights, **data}.items() if _is_float(a)}

    def run(weights: Arrays, data: Arrays, cotangents: Arrays) -> dict[str, Any]:
        _, found = program.gradients(_host(data), _host(weights), _host(cotangents))
        return {n: found[n].astype(s.dtype) if n in found else np.zeros(s.shape, s.dtype) for n, s in shapes.items()}

    found = jax.pure_callback(run, shapes, weights, data, told, vmap_method="sequential")
    none = {n: np.zeros(a.shape, jax.dtypes.float0) for n, a in data.items() if n not in shapes}
    return {n: found[n] for n in weights}, {n: none[n] if n in none else found[n] for n in data}


def _program(
    programs: Programs, training: bool, weights: Arrays, data: Arrays, gradient: bool
) -> CompiledProgram:
    if training and programs.is_random(True) and SEED not in data:
        raise UserError("something is random in training, and the data has no `seed`", "E511", "add `seed` to the data")
    double = any(a.dtype == np.float64 for a in weights.values())
    return programs.program(
        Wanted(gradient, training, "float64" if double else "float32", programs.outputs(data))
    )


def _shapes(program: CompiledProgram, weights: Arrays, data: Arrays) -> dict[str, jax.ShapeDtypeStruct]:
    """Of each result its shape and type; UserError where shapes or types of what is given do not fit."""
    made, dtype = program.made, program.schedule.dtype
    check_weights(made.weights, {n: np.zeros(a.shape, a.dtype) for n, a in weights.items()}, dtype)
    stand_ins = {n: (np.ones if n.endswith(LENGTHS) else np.zeros)(a.shape, a.dtype) for n, a in data.items()}
    sizes = check_data(
        made.inputs,
        made.states,
        stand_ins,
        steps=_steps(program),
        need=program.needed,
        over=program.over,
        dtype=dtype,
    ).sizes
    orders, found = made.orders, {}
    for name, value in made.graph.outputs.items():
        axes = (size_of(axis, sizes.__getitem__) for axis in orders[name])
        type = jax.dtypes.canonicalize_dtype(target(value.type.dtype, dtype))
        found[known_as(name, made.graph.outputs)] = jax.ShapeDtypeStruct((*axes, *value.type.shape), type)
    return found


def _steps(program: CompiledProgram) -> Any:
    return program.schedule.steps if program.schedule.static else None


def _host(arrays: Arrays) -> dict[str, Any]:
    return {name: np.asarray(array) for name, array in arrays.items()}


def _is_float(array: Any) -> bool:
    return bool(jax.numpy.issubdtype(array.dtype, jax.numpy.floating))
