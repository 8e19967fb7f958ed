"""Data: arrays from files, tables and texts, and whether they fit what a model declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnngraph.data.dataset import Dataset
    from rnngraph.data.read import load
    from rnngraph.data.tables import table
    from rnngraph.data.texts import text
    from rnngraph.data.windowing import streams, windows

_LATER = {"Dataset": "dataset", "load": "read", "streams": "windowing", "table": "tables", "text": "texts",
          "windows": "windowing"}  # fmt: skip

__all__ = ["Dataset", "load", "streams", "table", "text", "windows"]


def __getattr__(name: str) -> Any:
    """What is heavy to import is imported when it is asked for."""
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f"rnngraph.data.{_LATER[name]}"), name)
    raise AttributeError(f"module 'rnngraph.data' has no attribute '{name}'")
