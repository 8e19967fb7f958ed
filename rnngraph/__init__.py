"""A small language for recurrent networks, and a compiler that unrolls them statically or as a loop.

import rnngraph as rg
model = rg.load("textbook.rnn", units=5)
program = model.compile(unroll="static", steps=2, gradient=True)
results = program.run({"x": x}, model.init(seed=1))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnngraph.compiled import CompiledProgram
    from rnngraph.diagnostics.diagnostic import Diagnostic
    from rnngraph.diagnostics.errors import CannotDo, UserError
    from rnngraph.model import Model, load, parse
    from rnngraph.weights.save_load import load_weights, save_weights

_LATER = {
    "CannotDo": "rnngraph.diagnostics.errors",
    "Diagnostic": "rnngraph.diagnostics.errors",
    "UserError": "rnngraph.diagnostics.errors",
    "CompiledProgram": "rnngraph.compiled",
    "Model": "rnngraph.model",
    "load": "rnngraph.model",
    "parse": "rnngraph.model",
    "load_weights": "rnngraph.weights.save_load",
    "save_weights": "rnngraph.weights.save_load",
}

__all__ = [
    "CannotDo",
    "CompiledProgram",
    "Diagnostic",
    "Model",
    "UserError",
    "load",
    "load_weights",
    "parse",
    "save_weights",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """What is heavy to import is imported when it is asked for."""
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'rnngraph' has no attribute '{name}'")
