"""A model as a function for JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from tests.support.models import over
from tests.support.running import same_bits

jax = pytest.importorskip("jax")

from rnngraph.jax import function  # noqa: E402

LENGTHS = np.array([3, 5, 1], np.int32)


def given(text: str) -> tuple[Any, Any, Any, Any]:
    model = rg.parse(text)
    weights = {name: jax.numpy.asarray(a) for name, a in model.init(1, "float32").items()}
    return model, function(model), weights, jax.random.normal(jax.random.key(0), (3, 5, 3))


def host(arrays: Any) -> dict[str, Any]:
    return {name: np.asarray(array) for name, array in arrays.items()}


def test_results_and_gradients_are_those_of_the_program() -> None:
    model, apply, weights, x = given(over("LSTM(4) >> GRU(3)"))

    def loss(weights: Any, x: Any) -> Any:
        results = apply(weights, {"x": x, "x.lengths": LENGTHS})
        return results["y"].sum() + 3 * results["loss"]

    program = model.compile(gradient=True, dtype="float32")
    data, there = {"x": np.asarray(x), "x.lengths": LENGTHS}, host(weights)
    assert same_bits(host(jax.jit(apply)(weights, data)), program.run(data, there))
    of_weights, of_x = jax.jit(jax.grad(loss, argnums=(0, 1)))(weights, x)
    cotangents = {"y": np.ones((3, 5, 3), np.float32), "loss": np.float32(3)}
    zeros = {n: np.zeros((3, a), np.float32) for n, a in {"final.0.c": 4, "final.0.h": 4, "final.1.h": 3}.items()}
    _, wanted = program.gradients(data, there, {**cotangents, **zeros})
    assert same_bits({**host(of_weights), "x": np.asarray(of_x)}, {n: wanted[n] for n in (*weights, "x")})


def test_each_row_on_its_own() -> None:
    _, apply, weights, x = given(over("GRU(3)"))
    found = jax.vmap(lambda x: apply(weights, {"x": x})["y"])(jax.numpy.stack([x, -x]))
    assert np.array_equal(found[1], apply(weights, {"x": -x})["y"])


def test_double_numbers() -> None:
    model, apply, _, x = given(over("GRU(3)"))
    with jax.enable_x64(True):
        double = {n: jax.numpy.asarray(a) for n, a in model.init(1).items()}
        found = apply(double, {"x": np.asarray(x, np.float64)})
        assert found["y"].dtype == np.float64
        assert same_bits(host(found), model.compile().run({"x": np.asarray(x, np.float64)}, model.init(1)))


def test_what_does_not_fit_is_said_when_it_is_traced() -> None:
    model, apply, weights, x = given(over("GRU(3) >> Dropout(0.5)"))
    for text, call in {
        "`x` has 2 values": lambda: jax.jit(apply)(weights, {"x": x[:, :, :2]}),
        "no `x`": lambda: apply(weights, {}),
        "no value is given for the weight": lambda: apply({}, {"x": x}),
        "`x` holds 1e\\+39 at": lambda: apply(weights, {"x": np.full(x.shape, 1e39)}),
        "`final.h` holds 4294967296 at": lambda: apply(weights, {"x": x, "final.h": np.array([1, 2**32])}),
        "no `seed`": lambda: function(model, training=True)(weights, {"x": x}),
    }.items():
        with pytest.raises(rg.UserError, match=text):
            call()
    one, other = (function(model, training=True)(weights, {"x": x, "seed": s})["y"] for s in (1, 2))
    assert not np.array_equal(one, other)
