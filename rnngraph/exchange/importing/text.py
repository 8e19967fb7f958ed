"""From the description of a model to its text: what nothing needs is left out, what is used once stands where used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.diagnostics.source import Source
from rnngraph.exchange.importing.body import Body, Instance, Statement
from rnngraph.exchange.importing.simplify import (
    names_in,
    needed,
    put,
    texts_of,
    with_directions,
    with_primes,
    with_splits,
)
from rnngraph.files.safetensors import Arrays
from rnngraph.language.syntax.formatter import format
from rnngraph.language.syntax.parser import parse

LONGEST = 84
"""Letters of an expression into which another is put."""


class Described(Struct, frozen=True):
    """A model with the cells and layers that it uses beyond the library's: text by name, cells with bodies of their
    own as such."""

    model: Body
    cells: Mapping[str, Body] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def text_of(described: Described, lead: Sequence[str] = ()) -> str:
    """The text of the file, formatted; `lead` are lines of comment at its top."""
    bodies = {name: tidy(body) for name, body in described.cells.items()}
    model = tidy(described.model)
    used = _used([model, *bodies.values()], described)
    parts = [text for name, text in described.texts.items() if name in used]
    parts += ["\n".join(_definition("cell", body)) for name, body in bodies.items() if name in used]
    parts.append("\n".join(_definition("model", model)))
    head = "".join(f"# {line}\n" for line in lead) + ("\n" if lead else "")
    return format(parse(Source("<imported>", head + "\n\n".join(parts) + "\n")))


def weights_of(described: Described, body: Body | None = None, before: str = "") -> Arrays:
    """The weights by their full names, of those that the text has."""
    body = tidy(body or described.model)
    found = {f"{before}{name}": array for name, (_, array) in body.params.items()}
    for name, instance in body.instances.items():
        found |= {f"{before}{name}.{local}": array for local, array in instance.weights.items()}
        if instance.text in described.cells:
            found |= weights_of(described, described.cells[instance.text], f"{before}{name}.")
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def _used(bodies: Sequence[Body], described: Described) -> set[str]:
    texts = [i.text for body in bodies for i in body.instances.values()]
    texts += [s.text for body in bodies for s in body.statements] + [t for body in bodies for t, _ in body.outputs]
    own, found = {*described.cells, *described.texts}, set[str]()
    while new := {name for text in texts for name in names_in(text)} & own - found:
        found |= new
        texts = [described.texts.get(name, "") for name in new]
    return found


# --- a body ---------------------------------------------------------------------------------------------------------


def tidy(body: Body) -> Body:
    """The body without what nothing needs, as a person would write it."""
    left = _inlined(with_primes(with_directions(with_splits(needed(body)))))
    words = {w for text in (*texts_of(left), *(i.text for i in left.instances.values())) for w in names_in(text)}
    return replace(
        left,
        params={name: p for name, p in body.params.items() if name in words},
        instances={name: i for name, i in left.instances.items() if name in words},
    )


def _inlined(body: Body) -> Body:
    """What is used once, put where it is used."""
    ends = [*body.nexts.values(), *(text for text, _ in body.outputs)]
    counts = Counter(w for text in (*(s.text for s in body.statements), *ends) for w in names_in(text))
    known: dict[str, str] = {}
    kept = []
    for statement in body.statements:
        text = put(statement.text, known)
        name = statement.names[0]
        single = len(statement.names) == 1 and counts[name] == 1 and not name.endswith("'")
        single = single and not statement.text.startswith("unroll ")
        if single and _short(text, name, body.statements, ends):
            known[name] = f"({text})"
        else:
            kept.append(replace(statement, text=text))
    return replace(
        body,
        statements=kept,
        nexts={state: put(text, known) for state, text in body.nexts.items()},
        outputs=[(put(text, known), name) for text, name in body.outputs],
    )


def _short(text: str, name: str, statements: Sequence[Statement], ends: Sequence[str]) -> bool:
    """Whether an expression fits into the one that uses it."""
    user = next((s.text for s in statements if name in names_in(s.text)), None)
    user = user or next(t for t in ends if name in names_in(t))
    return len(text) + len(user) <= LONGEST


# --- its text -------------------------------------------------------------------------------------------------------


def _definition(kind: str, body: Body) -> Iterator[str]:
    yield f"{kind} {body.name} {{"
    yield from (f"input {name}: {type}" for name, type in body.inputs.items())
    yield from (f"state {name}: {type}" for name, type in body.states.items())
    yield from (f"param {name}: {type}" for name, (type, _) in body.params.items())
    yield from _apart(f"{name} = {_made(instance)}" for name, instance in body.instances.items())
    yield from _apart(f"{', '.join(s.names)} = {s.text}" for s in body.statements)
    yield from _apart(f"{state}' = {text}" for state, text in body.nexts.items())
    yield from _apart(_output(text, name) for text, name in body.outputs)
    yield "}"


def _apart(lines: Iterator[str]) -> Iterator[str]:
    """Lines behind an empty one, where there are any."""
    for i, line in enumerate(lines):
        yield from (line,) if i else ("", line)


def _made(instance: Instance) -> str:
    return instance.text if "(" in instance.text else f"{instance.text}()"


def _output(text: str, name: str) -> str:
    return f"output ({text})" + (f" as {name}" if name and name != text else "")
