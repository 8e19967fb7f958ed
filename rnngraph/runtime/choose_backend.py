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


PRODUCTS = ("float32", "tf32", "bf16")
"""What operands of products can be rounded to, for float32; the latter two on the tensor cores of a GPU."""


def backend_named(name: str, kernels: str | None = None, products: str = "") -> Backend:
    """The backend; UserError for an unknown name, CannotDo where its device is not usable.

    `kernels` is one of `KERNELS`; None takes compiled ones where they can be had, or what `RNNGRAPH_KERNELS` says.
    `products` is one of `PRODUCTS`; "" for products in the type of numbers.
    """
    known = KERNELS[known_backend(name)]
    wanted = known_kernels(name, kernels or _from_environment(known))
    rounding = rounding_of(products)
    if rounding and (name != "cupy" or wanted == "cupy"):
        told = f"products in {products} are made on a GPU, by generated kernels"
        raise UserError(told, "E649", "add `--backend cupy --kernels native`, or leave `--products` out")
    if name == "numpy":
        return _numpy(wanted)
    from rnngraph.runtime.cupy import CupyBackend, GeneratedBackend

    return CupyBackend() if wanted == known[1] else GeneratedBackend(rounding)


def planner_named(name: str, kernels: str | None = None, products: str = "") -> Backend:
    """The backend for what is planned and not run: where there is no device, one that is described."""
    try:
        return backend_named(name, kernels, products)
    except CannotDo:
        if name != "cupy":
            raise
        from rnngraph.runtime.described_gpu import DescribedGpu

        return DescribedGpu(kernels or _from_environment(KERNELS[name]) or "native", rounding_of(products))


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


def rounding_of(products: str) -> str:
    """What products in one of `PRODUCTS` round their operands to, "" for nothing; UserError for other products."""
    if products and products not in PRODUCTS:
        help = did_you_mean(products, PRODUCTS) or f"choose {', '.join(PRODUCTS[:-1])} or {PRODUCTS[-1]}"
        raise UserError(f"there are no products in `{products}`", "E649", help)
    return "" if products == PRODUCTS[0] else products


HOST = "host"
"""Where `swap` keeps what there is no room for on a GPU; elsewhere it is the folder of a file."""


def refuse_swap(swap: str, backend: str) -> None:
    """UserError where this backend cannot swap to there."""
    if swap == HOST and backend == "numpy":
        told = "`--swap host` makes room on a GPU; with the backend numpy all is on the host as it is"
        raise UserError(told, "E619", "name the folder of a swap file, as in `--swap .`")
    if swap not in ("", HOST) and backend == "cupy":
        raise UserError(f"a GPU does not swap to a file in `{swap}`", "E619", "`--swap host` takes the host's memory")


def refuse_products(products: str, dtype: str) -> None:
    """UserError where numbers of this type have no such products."""
    rounding_of(products)
    if products and dtype != "float32":
        told = f"products in {products} are of numbers in float32, and these are in {dtype}"
        raise UserError(told, "E649", "add `--dtype float32`, or leave `--products` out")


def known_backend(name: str) -> str:
    """The name itself; UserError where no backend is called so."""
    if name not in NAMES:
        raise UserError(f"there is no backend `{name}`", "E608", did_you_mean(name, NAMES) or "choose numpy or cupy")
    return name
