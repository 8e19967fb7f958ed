"""Backends by name."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.runtime.backend import Backend

NAMES = ("numpy", "cupy")


KERNELS = {"numpy": ("native", "numpy"), "cupy": ("native", "cupy")}
"""Of each backend what can do the arithmetic: kernels that are compiled here, or the array library's own."""


def backend_named(name: str, kernels: str | None = None) -> Backend:
    """The backend; UserError for an unknown name, CannotDo where its device is not usable.

    `kernels` is one of `KERNELS`; None takes compiled ones where they can be had, or what `RNNGRAPH_KERNELS` says.
    """
    known = KERNELS[known_backend(name)]
    wanted = known_kernels(name, kernels or _from_environment(known))
    if name == "numpy":
        return _numpy(wanted)
    from rnngraph.runtime.cupy import CupyBackend, GeneratedBackend

    return CupyBackend() if wanted == known[1] else GeneratedBackend()


def _from_environment(known: Sequence[str]) -> str | None:
    """What `RNNGRAPH_KERNELS` says, unless it speaks of another backend."""
    told = os.environ.get("RNNGRAPH_KERNELS") or None
    others = {kernels for some in KERNELS.values() for kernels in some} - set(known)
    return None if told in others else told


def _numpy(wanted: str | None) -> Backend:
    from rnngraph.runtime.numpy import NumpyBackend

    if wanted == "numpy":
        return NumpyBackend()
    try:
        from rnngraph.runtime.native import NativeBackend

        return NativeBackend()
    except (ImportError, OSError, RuntimeError) as error:
        if wanted == "native":
            raise CannotDo(f"kernels cannot be compiled here: {error}", "E502", "use `--kernels numpy`") from error
        return NumpyBackend()


def known_kernels(backend: str, name: str | None) -> str | None:
    """The name itself; UserError where the backend has no kernels that are called so."""
    names = KERNELS[backend]
    if name is not None and name not in names:
        help = did_you_mean(name, names) or f"choose {' or '.join(names)}"
        raise UserError(f"the backend {backend} has no kernels `{name}`", "E609", help)
    return name


def known_backend(name: str) -> str:
    """The name itself; UserError where no backend is called so."""
    if name not in NAMES:
        raise UserError(f"there is no backend `{name}`", "E608", did_you_mean(name, NAMES) or "choose numpy or cupy")
    return name
