"""Backends by name."""

from __future__ import annotations

from rnngraph.diagnostics import UserError, did_you_mean
from rnngraph.runtime.backend import Backend

NAMES = ("numpy", "cupy")


def backend_named(name: str) -> Backend:
    """The backend; UserError for an unknown name, CannotDo where its device is not usable."""
    if known_backend(name) == "numpy":
        from rnngraph.runtime.numpy import NumpyBackend

        return NumpyBackend()
    from rnngraph.runtime.cupy import CupyBackend

    return CupyBackend()


def known_backend(name: str) -> str:
    """The name itself; UserError where no backend is called so."""
    if name not in NAMES:
        raise UserError(f"there is no backend `{name}`", "E608", did_you_mean(name, NAMES) or "choose numpy or cupy")
    return name
