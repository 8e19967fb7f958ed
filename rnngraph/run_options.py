"""How a model is run: flags over the options of its `schedule` block over what holds where nobody says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict

from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.suggestions import did_you_mean

if TYPE_CHECKING:
    from rnngraph.compiled import CompiledProgram
    from rnngraph.model import Model


class RunOptions(Struct, frozen=True):
    """How a model is run: the options of a `schedule` block, of the flags and of `Model.compile`."""

    unroll: str = "dynamic"
    backend: str = "numpy"
    dtype: str = "float64"
    kernels: str = ""
    keep: str = "all"
    memory_limit: str = ""
    truncate: str = ""
    swap: str = ""
    products: str = ""

    def compiled(self, model: Model, steps: int | Mapping[str, int] | None = None, **more: Any) -> CompiledProgram:
        """The model compiled so; `steps` are those of a static program."""
        steps = steps if self.unroll == "static" else None
        settings = {
            "backend": self.backend,
            "kernels": self.kernels or None,
            "keep": self.keep,
            "memory_limit": self.memory_limit or None,
            "truncate": self.truncate or None,
            "swap": self.swap,
            "products": self.products,
        }
        return model.compile(self.unroll, steps, dtype=self.dtype, **{**settings, **more})

    def training_step(
        self, model: Model, steps: int | Mapping[str, int] | None = None, states: bool = False, **more: Any
    ) -> CompiledProgram:
        """What a step of training runs; with `states` it also gives those that it ends with."""
        return self.compiled(model, steps, **{**model.training_step, "states": states, **more})

    def planned(self, gradient: bool) -> Callable[..., CompiledProgram]:
        """`training_step`, or `compiled`, of what is not run: it needs no device."""
        from rnngraph.runtime.choose_backend import planner_named

        backend = planner_named(self.backend, self.kernels or None, self.products)
        return partial(self.training_step if gradient else self.compiled, backend=backend, products="")


SCHEDULE: Mapping[str, str] = asdict(RunOptions())
"""What holds where neither flag nor `schedule` block says; no kernels: the best that can be had;
no products: those of the number type."""


def run_options(model: Model, **flags: str | None) -> RunOptions:
    """How to run: flags over the model's `schedule` block over the defaults; `x_default` is a verb's own of `x`."""
    return RunOptions(**over_defaults(model.made.schedule, **flags))


def over_defaults(block: Mapping[str, Any], **flags: str | None) -> dict[str, str]:
    """Flags over the options of a block over the defaults; UserError for an option that there is not."""
    for name in block:
        if name not in SCHEDULE:
            hint = did_you_mean(name, SCHEDULE) or f"there are {', '.join(SCHEDULE)}"
            raise UserError(f"`{name}` is not an option of a `schedule` block", "E612", hint)
    own = {name.removesuffix("_default"): value for name, value in flags.items() if name.endswith("_default")}
    asked = [name for name in flags if not name.endswith("_default")]
    return {name: str(flags[name] or block.get(name) or own.get(name) or SCHEDULE[name]) for name in asked}
