"""A small language for recurrent networks, and a compiler that unrolls them statically or as a loop.

import rnngraph as rg
model = rg.load("textbook.rnn", units=5)
program = model.compile(unroll="static", steps=2, gradient=True)
results = program.run({"x": x}, model.init(seed=1))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rnngraph import data

if TYPE_CHECKING:
    from rnngraph.api import Model, load, parse
    from rnngraph.cli.printing import Bar
    from rnngraph.compiled import CompiledProgram
    from rnngraph.diagnostics.diagnostic import Diagnostic
    from rnngraph.diagnostics.errors import CannotDo, UserError
    from rnngraph.exchange.importing.importer import Imported, import_model
    from rnngraph.weights.save_load import Weights, load_weights, save_weights

_LATER = {
    "Bar": "rnngraph.cli.printing",
    "CannotDo": "rnngraph.diagnostics.errors",
    "Diagnostic": "rnngraph.diagnostics.errors",
    "UserError": "rnngraph.diagnostics.errors",
    "CompiledProgram": "rnngraph.compiled",
    "Model": "rnngraph.api",
    "Weights": "rnngraph.weights.save_load",
    "load": "rnngraph.api",
    "parse": "rnngraph.api",
    "Imported": "rnngraph.exchange.importing.importer",
    "import_model": "rnngraph.exchange.importing.importer",
    "load_ipython_extension": "rnngraph.ipython",
    "load_weights": "rnngraph.weights.save_load",
    "save_weights": "rnngraph.weights.save_load",
}

__all__ = [
    "Bar",
    "CannotDo",
    "CompiledProgram",
    "Diagnostic",
    "Imported",
    "Model",
    "UserError",
    "Weights",
    "data",
    "import_model",
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
