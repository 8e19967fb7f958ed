"""Data as every part of the program takes them: arrays by name, and how they were made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


class Named(Mapping[str, Array]):
    """What has arrays by name, as the mapping that they are."""

    arrays: Mapping[str, Array]

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


@dataclass(frozen=True)
class Dataset(Named):
    """Arrays by name, batch first; a model takes it as it takes any mapping.

    `made` tells how they were made of a table or a text (as JSON has it): it is kept with weights that are trained on
    them, so that new data are made the same way. `beside` holds what stands beside the rows and is no input: for each
    name a value for each row (rows,), or for each step of it along `axis` (rows, steps). `left_out` names sequences
    that are too short to have a row. `ends` tells of each row of a table where its last step stands in the order of
    the table: a later one has a larger number.
    """

    arrays: Mapping[str, Array]
    made: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Array] = field(default_factory=dict)
    axis: str = ""
    left_out: tuple[str, ...] = ()
    ends: Array | None = None

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {list(array.shape)} {array.dtype}" for name, array in self.arrays.items())
        left = f"; {len(self.left_out)} sequences are too short" if self.left_out else ""
        return f"<Dataset {shapes}{left}>"


def ends_of(data: Mapping[str, Any]) -> Array | None:
    """Where rows end in the order of their table, where that is known."""
    return data.ends if isinstance(data, Dataset) else None


def made_of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """How data were made, where that is known."""
    return data.made if isinstance(data, Dataset) else {}
