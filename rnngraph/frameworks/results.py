"""Results by name, to be had as attributes too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rnngraph.diagnostics.suggestions import did_you_mean


class Results(Mapping[str, Any]):
    """Arrays of a framework by name. `results.y` is `results["y"]`; `results.final` holds all `final.` by the rest."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self._arrays = dict(arrays)

    def __getitem__(self, name: str) -> Any:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_arrays":
            raise AttributeError(name)  # what Python itself asks for, before there are any arrays
        if name in self._arrays:
            return self._arrays[name]
        inner = {n.removeprefix(f"{name}."): a for n, a in self._arrays.items() if n.startswith(f"{name}.")}
        if not inner:
            known = did_you_mean(name, self._arrays) or f"there are {', '.join(f'`{n}`' for n in self._arrays)}"
            raise AttributeError(f"there is no result `{name}`: {known}")
        return Results(inner)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name.partition(".")[0] for name in self._arrays)]

    def __repr__(self) -> str:
        return f"Results({', '.join(f'{n}: {tuple(a.shape)}' for n, a in self._arrays.items())})"
