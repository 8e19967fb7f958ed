"""Records that are compared by some of what they hold."""

from __future__ import annotations

from typing import Any


class Keyed:
    """Equal, and of the same hash, where `identity` is. A record has this in front of `Struct`, with `eq=False`."""

    __slots__ = ()

    @property
    def identity(self) -> object:
        raise NotImplementedError

    def __eq__(self, other: Any) -> bool:
        return type(other) is type(self) and bool(self.identity == other.identity)

    def __ne__(self, other: object) -> bool:  # that of a Struct does not ask `__eq__`
        return not self == other

    def __hash__(self) -> int:
        return hash(self.identity)
