"""Backends by name."""

from __future__ import annotations

import os

from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.runtime.backend import Backend

NAMES = ("numpy", "cupy")


KERNELS = ("native", "numpy")


def backend_named(name: str, kernels: str | None = None) -> Backend:
    """The backend; UserError for an unknown name, CannotDo where its device is not usable.

    `kernels` is "native" or "numpy"; None takes compiled ones where they can be had, or what `RNNGRAPH_KERNELS` says.
    """
    wanted = known_kernels(kernels or os.environ.get("RNNGRAPH_KERNELS") or None)
    if known_backend(name) == "numpy":
        return _numpy(wanted)
    if kernels is not None:
        raise UserError(f"--kernels {kernels} goes with the backend numpy", "E609", "leave one of the two out")
    from rnngraph.runtime.cupy import CupyBackend

    return CupyBackend()


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


def known_kernels(name: str | None) -> str | None:
    """The name itself; UserError where no kernels are called so."""
    if name is not None and name not in KERNELS:
        help = did_you_mean(name, KERNELS) or "choose native or numpy"
        raise UserError(f"there are no kernels `{name}`", "E609", help)
    return name


def known_backend(name: str) -> str:
    """The name itself; UserError where no backend is called so."""
    if name not in NAMES:
        raise UserError(f"there is no backend `{name}`", "E608", did_you_mean(name, NAMES) or "choose numpy or cupy")
    return name
