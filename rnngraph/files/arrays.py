"""What other libraries call an array, as one of NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.diagnostics.errors import UserError


def host_array(name: str, given: Any) -> NDArray[Any]:
    """What is given as an array of NumPy. UserError where its library does not hand out its numbers; ValueError where
    rows differ in length."""
    try:
        return np.asarray(given)
    except (TypeError, RuntimeError) as error:
        raise UserError(*_refused(name, given, str(error).strip().partition("\n")[0])) from None


def host_arrays(given: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    return {name: host_array(name, array) for name, array in given.items()}


def on_device(array: Any) -> bool:
    """Whether it is an array of a GPU that can be read there."""
    return not getattr(array, "requires_grad", False) and hasattr(array, "__cuda_array_interface__")


def _refused(name: str, given: Any, why: str) -> tuple[str, str, str]:
    if getattr(given, "requires_grad", False):
        told = f"`{name}` is a tensor of PyTorch that requires gradients, which are not computed through this call"
        return told, "E547", "give `tensor.detach()`, or train inside PyTorch with a module of `rnngraph.torch`"
    if type(given).__module__.partition(".")[0] in ("jax", "jaxlib"):
        told = f"`{name}` is traced by JAX and has no numbers yet"
        return told, "E547", "call this outside of `jit` and `grad`, or use a function of `rnngraph.jax` inside"
    return f"`{name}` cannot be read as an array: {why}", "E547", "give an array of NumPy"
