"""JAX under `jit`: `lax.scan` over the steps, with the input's product before it or inside. Time-major."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from contest.problem import Prepared, Problem


class Ops:
    sigmoid = staticmethod(jax.nn.sigmoid)
    tanh = staticmethod(jnp.tanh)
    relu = staticmethod(jax.nn.relu)
    sqrt = staticmethod(jnp.sqrt)

    @staticmethod
    def mean(a: Any) -> Any:
        return a.mean(-1, keepdims=True)

    @staticmethod
    def split(a: Any, parts: int) -> Any:
        return jnp.split(a, parts, -1)


def scan(p: Problem, task: str, cell: str, hoisted: bool) -> Prepared:
    zero = jnp.zeros((p.size.batch, p.size.units), "float32")

    def network(x: Any, layers: Any) -> Any:
        for weights in layers:

            def step(states: Any, now: Any, weights: Any = weights) -> Any:
                parts = now if hoisted else p.cell.inputs(now, weights)
                states = p.cell.step(Ops, parts, states, weights)
                return states, states[-1]

            given = p.cell.inputs(x, weights) if hoisted else x
            x = jax.lax.scan(step, (zero,) * p.cell.states, given)[1]
        return x

    x, cotangent = (jnp.asarray(np.swapaxes(a, 0, 1)) for a in (p.x, p.cotangent))
    layers = jax.tree.map(jnp.asarray, p.leaves())
    if task == "infer":
        forward = jax.jit(network)
        return lambda: forward(x, layers).block_until_ready(), lambda y: {"y": np.swapaxes(y, 0, 1)}
    both = jax.jit(jax.value_and_grad(lambda *given: (network(*given) * cotangent).sum(), argnums=(0, 1)))
    return (
        lambda: jax.block_until_ready(both(x, layers))[1],
        lambda found: p.gradients(np.swapaxes(found[0], 0, 1), jax.tree.map(np.asarray, found[1])),
    )
