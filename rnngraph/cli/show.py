"""`show`: the graph after any stage, or its kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from rnngraph.cli.arguments import Verb, Whole
from rnngraph.cli.options import BACKEND, MODEL, PRODUCTS, UNROLL, dtype_option, read
from rnngraph.cli.terminal import say, show_all, warn

if TYPE_CHECKING:
    from rnngraph.kernels.listing import Listed
    from rnngraph.model import Model
    from rnngraph.planning.program import Program
    from rnngraph.run_options import RunOptions


@click.command(cls=Verb)
@MODEL
@click.option("--after", default="unroll", show_default=True, help="The stage to print: elaborate, split, ... unroll.")
@UNROLL
@click.option("--steps", type=Whole(0), help="Steps of a static graph.")
@click.option("--gradient", is_flag=True, help="With the backward pass.")
@click.option("--lengths", is_flag=True, help="For data whose rows have lengths.")
@click.option("--kernels", is_flag=True, help="The compiled kernels, and what the array library runs and why.")
@BACKEND
@PRODUCTS
@dtype_option("float64")
@click.option("--batch", type=Whole(1), default=32, show_default=True, help="Rows, for kernels of a GPU.")
def show(
    file: str,
    name: str | None,
    settings: Sequence[str],
    after: str,
    unroll: str | None,
    steps: int | None,
    gradient: bool,
    lengths: bool,
    kernels: bool,
    backend: str | None,
    products: str | None,
    dtype: str | None,
    batch: int,
) -> None:
    """Print the graph as text after a stage of compilation, or the kernels that run it."""
    from rnngraph.cli.tables import kernel_table
    from rnngraph.ir.text import show as graph_text
    from rnngraph.run_options import run_options

    model = read(file, name, settings)
    options = run_options(model, unroll=unroll, backend=backend, dtype=dtype, products=products)
    warn(model.unrolling_warning(options.unroll, steps, gradient))
    if kernels:
        if options.backend == "cupy":
            show_all(kernel_table(_gpu_kernels(model, options, steps, gradient, lengths, batch), "CuPy"))
        else:
            show_all(kernel_table(_kernels(model, options, steps, gradient, lengths)))
        return
    say(graph_text(model.stage(after, options.unroll, steps, gradient, lengths)))


def _kernels(model: Model, options: RunOptions, steps: int | None, gradient: bool, padded: bool) -> list[Listed]:
    """The compiled kernels of a model's program, and what is left to NumPy."""
    from rnngraph.kernels.cpu.listing import kernels_of
    from rnngraph.kernels.cpu.modules import target

    program = _program(model, replace(options, backend="numpy", kernels="native"), steps, gradient, padded)
    return kernels_of(program, target(options.dtype))


def _gpu_kernels(
    model: Model, options: RunOptions, steps: int | None, gradient: bool, padded: bool, batch: int
) -> list[Listed]:
    """The kernels on a GPU; on an H100 where there is none here."""
    from rnngraph.ir.types import BATCH
    from rnngraph.kernels.gpu.listing import listed_on_gpu
    from rnngraph.kernels.gpu.modules import Module
    from rnngraph.runtime.choose_backend import planner_named, refuse_products

    refuse_products(options.products, options.dtype)
    backend = planner_named("cupy", "native", options.products)
    program = _program(model, options, steps, gradient, padded, backend=backend, products="")
    sizes = {axis: batch if axis == BATCH else steps or 100 for axis in program.axes}
    return listed_on_gpu(Module(program, sizes, backend.target(options.dtype)))  # type: ignore[attr-defined]


def _program(
    model: Model, options: RunOptions, steps: int | None, gradient: bool, padded: bool, **more: Any
) -> Program:
    from rnngraph.compilation.variant import Signature

    program = options.compiled(model, steps, gradient=gradient, **more)
    signature = Signature(padded, cotangents=model.differentiated if gradient else None)
    return program.variant(signature).program
