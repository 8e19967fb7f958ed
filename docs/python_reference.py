"""Writes the reference of the Python package, python.md, from the docstrings: `python docs/python_reference.py`."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import rnngraph as rg
from rnngraph.compiled import CompiledProgram
from rnngraph.training.fit import Fitted
from rnngraph.training.predict import Predictions
from rnngraph.training.sweep import Sweep

PAGE = Path(__file__).with_name("python.md")
HEAD = """\
# The Python package

Made from the docstrings by `docs/python_reference.py`. How data look is told in [data.md](data.md), PyTorch and JAX in
[frameworks.md](frameworks.md), importing in [importing.md](importing.md).

`import rnngraph as rg` imports nothing heavy: what is heavy is imported when it is first used.
"""
FUNCTIONS = [rg.load, rg.parse, rg.load_weights, rg.save_weights, rg.import_model]
DATA = [rg.data.table, rg.data.text, rg.data.load, rg.data.windows, rg.data.streams]
CLASSES: list[type] = [rg.Model, CompiledProgram, Fitted, Predictions, Sweep, rg.data.Dataset, rg.Weights, rg.Bar,
                       rg.UserError, rg.CannotDo]  # fmt: skip


def page() -> str:
    parts = [HEAD, "## Models and weights\n", *(_function(f, "rg.") for f in FUNCTIONS)]
    parts += ["## Data\n", *(_function(f, "rg.data.") for f in DATA)]
    return "\n".join([*parts, *(_class(c) for c in CLASSES)]).rstrip() + "\n"


def _function(function: Any, before: str) -> str:
    return _entry(f"{before}{function.__name__}", function)


def _class(kind: type) -> str:
    members = [(n, m) for n, m in inspect.getmembers(kind) if not n.startswith("_") and inspect.isfunction(m)]
    own = [(n, m) for n, m in members if m.__doc__ and m.__module__.startswith("rnngraph")]
    lines = [f"## `{kind.__name__}`\n\n{_text(kind)}\n"]
    return "\n".join([*lines, *(_entry(f".{n}", m) for n, m in own)])


def _entry(name: str, function: Any) -> str:
    return f"### `{name}`\n\n```python\n{name.lstrip('.')}{_signature(function)}\n```\n\n{_text(function)}\n"


def _signature(function: Any) -> str:
    """The parameters without `self`, types as they are written; many of them one to a line."""
    found = inspect.signature(function)
    kept = [p for p in found.parameters.values() if p.name not in ("self", "cls")]
    text = re.sub(r"<function \S+ at 0x[0-9a-f]+>", "...", str(found.replace(parameters=kept)))
    text = re.sub('"([^"]*)"', lambda m: m[1].replace("'", '"'), text).replace("'", "")
    if len(text) <= 90:
        return text
    inside, arrow, gives = text[1:].rpartition(") -> ")
    lines = [f"    {parameter}," for parameter in re.split(r", (?=\*{0,2}\w+:|[*/],)", inside)]
    return "\n".join(["(", *lines, f"{arrow}{gives}"])


def _text(thing: Any) -> str:
    return inspect.getdoc(thing) or ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
