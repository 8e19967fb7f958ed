"""What the dimensions of the inputs are: learned from what is done with them, else guessed from names and places."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.importing.description import Read
from rnngraph.exchange.importing.values import BATCH_NAME, Axis, Dim, Dims, Learned

_BATCH = re.compile(r"^(n|b|bs|batch.*|.*batch(_?size)?|unk__0)$", re.IGNORECASE)
_TIME = re.compile(r"^(t|l|s|time.*|seq.*|len.*|.*steps?|.*seq_?len.*|.*length)$", re.IGNORECASE)
MOST_READINGS = 200


class Roles(Struct):
    """`known` is by key: a size, the name of an axis, or the key of another dimension that is the same."""

    known: dict[str, str | int] = field(default_factory=dict)
    places: dict[str, tuple[str, int, int | None]] = field(default_factory=dict)

    def dims(self, name: str, declared: Sequence[str | int | None]) -> Dims:
        """The dimensions of an input, declared by a name or a number, or not at all."""
        return tuple(self._dim(name, i, told) for i, told in enumerate(declared))

    def _dim(self, name: str, i: int, told: str | int | None) -> Dim:
        key = told if isinstance(told, str) else f"{name}.{i}"
        size = told if isinstance(told, int) else None
        self.places.setdefault(key, (name, i, size))
        role, root = self.role(key), self._root(key)
        return role if isinstance(role, int) else Axis(role or f"?{root}", root, size)

    def _root(self, key: str) -> str:
        """The dimension that stands for all that are the same as this one."""
        while isinstance(other := self.known.get(key), str) and other.startswith("?"):
            key = other[1:]
        return key

    def role(self, key: str) -> str | int | None:
        return self.known.get(self._root(key))

    def learn(self, key: str, role: str | int) -> None:
        """`role` is a size, the name of an axis, or `?` with the key of a dimension that is the same."""
        root = self._root(key)
        if isinstance(role, str) and role.startswith("?"):
            role = f"?{self._root(role[1:])}"
        if role != f"?{root}":
            self.known[root] = self._sequence(root) if role == "time" else role

    def _sequence(self, key: str) -> str:
        """The name of the sequence that a dimension is: `time` for the first whose name says no more."""
        owner, i, _ = self.places[key]
        name = f"{owner}_time" if key == f"{owner}.{i}" else re.sub(r"\W+", "_", key).strip("_")
        name = f"{name}_time" if name in {place[0] for place in self.places.values()} else name
        taken = {role for role in self.known.values() if isinstance(role, str)}
        plain = _TIME.match(name) or not name.isidentifier() or key == f"{owner}.{i}"
        if plain and "time" not in taken:
            return "time"
        return name if name.isidentifier() else f"time_{len(taken)}"

    def guess(self, open_keys: Sequence[str]) -> None:
        """What nothing says: the first dimension is the batch, another one of no fixed size a sequence."""
        for key in open_keys:
            name, i, size = self.places[key]
            own = [k for k, place in self.places.items() if place[0] == name]
            batch = any(self.role(k) == BATCH_NAME for k in own)
            batch = batch or any(_BATCH.match(k) for k in own if k != key and self.role(k) is None)
            if self.role(key) is not None:
                continue
            if _BATCH.match(key) or (i == 0 and not batch and (size is None or len(own) > 1)):
                self.known[key] = BATCH_NAME
            else:
                self.learn(key, "time" if size is None else size)


def read_with(read: Callable[[Roles], tuple[Read, Dims]]) -> Read:
    """Reads until every dimension is known."""
    roles = Roles()
    for _ in range(MOST_READINGS):
        try:
            made, dims = read(roles)
        except Learned as learned:
            roles.learn(learned.key, learned.role)
            continue
        except UserError:
            if not _open(roles):
                raise
            roles.guess(_open(roles))
            continue
        left = [d.key for d in dims if isinstance(d, Axis) and d.open]
        if not left:
            return made
        roles.guess(left)
    raise UserError("what the dimensions of the inputs are cannot be found out", "E760")


def _open(roles: Roles) -> list[str]:
    return [key for key in roles.places if roles.role(key) is None]
