"""What a person would write shorter: `split` for several cuts, `c'` for what becomes a state, `Bidirectional` for two
runs.

Every function takes and gives the description of a body; none changes what it computes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from rnngraph.exchange.importing.body import Body, Instance, Statement

NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*'?(?!\w|\s*=[^=])")
"""Names, but for those of parts and of arguments."""


def names_in(text: str) -> list[str]:
    return NAME.findall(text)


def put(text: str, others: Mapping[str, str]) -> str:
    """The text with other words for names."""
    return NAME.sub(lambda found: others.get(found[0], found[0]), text)


def texts_of(body: Body) -> Iterator[str]:
    yield from (s.text for s in body.statements)
    yield from body.nexts.values()
    yield from (text for text, _ in body.outputs)


def renamed(body: Body, others: Mapping[str, str]) -> Body:
    """The body with other words for names, where they are used and where they are made."""
    return replace(
        body,
        statements=[Statement(tuple(others.get(n, n) for n in s.names), put(s.text, others)) for s in body.statements],
        nexts={state: put(text, others) for state, text in body.nexts.items()},
        outputs=[(put(text, others), name) for text, name in body.outputs],
    )


# --- only what is needed ----------------------------------------------------------------------------------------------


def needed(body: Body) -> Body:
    """The statements that outputs and states need; a name at the end that nothing needs is left out, another is `_`."""
    wanted = {w for text in (*body.nexts.values(), *(t for t, _ in body.outputs)) for w in names_in(text)}
    kept = []
    for statement in reversed(body.statements):
        if wanted & set(statement.names):
            wanted |= set(names_in(statement.text))
            kept.append(replace(statement, names=_shortened(statement, wanted)))
    return replace(body, statements=kept[::-1])


def _shortened(statement: Statement, wanted: set[str]) -> tuple[str, ...]:
    names = [name if name in wanted else "_" for name in statement.names]
    if statement.text.startswith("unroll ") and names[-1] == "_" and len(names) > 1:
        names.pop()
    return tuple(names)


# --- split ------------------------------------------------------------------------------------------------------------

_CUT = re.compile(r"^\((\w+)\)\[(\d+):(\d+)\]$")


def with_splits(body: Body) -> Body:
    """Cuts of one value into equal parts as one `split`."""
    cuts: dict[str, list[tuple[str, int, int]]] = {}
    for statement in body.statements:
        if found := _CUT.match(statement.text):
            cuts.setdefault(found[1], []).append((statement.names[0], int(found[2]), int(found[3])))
    for value, parts in cuts.items():
        body = _split(body, value, parts)
    return body


def _split(body: Body, value: str, parts: Sequence[tuple[str, int, int]]) -> Body:
    size, width = body.sizes.get(value, 0), parts[0][2] - parts[0][1]
    if not size or size % width or any(stop - start != width or start % width for _, start, stop in parts):
        return body
    first = {start: name for name, start, _ in reversed(parts)}
    if len(first) < 2:
        return body
    same = {name: first[start] for name, start, _ in parts}
    names = tuple(first.get(start, "_") for start in range(0, size, width))
    made = Statement(names, f"split({value}, {size // width})")
    gone = {name for name, _, _ in parts}
    statements: list[Statement] = []
    for statement in body.statements:
        if statement.names[0] not in gone:
            statements.append(statement)
        elif made not in statements:
            statements.append(made)
    return renamed(replace(body, statements=statements), same)


# --- states -----------------------------------------------------------------------------------------------------------


def with_primes(body: Body) -> Body:
    """A value that becomes a state is called so from the start."""
    made = {s.names[0] for s in body.statements if len(s.names) == 1}
    others: dict[str, str] = {}
    for state, text in body.nexts.items():
        if text in made and text not in others:
            others[text] = f"{state}'"
    nexts = {state: text for state, text in body.nexts.items() if others.get(text) != f"{state}'"}
    return renamed(replace(body, nexts=nexts), others)


# --- two directions ---------------------------------------------------------------------------------------------------

_RUN = re.compile(r"^unroll (\w+) over (\w+)( reversed)?$")


def with_directions(body: Body) -> Body:
    """Two runs over one sequence in both directions, side by side, as a `Bidirectional`."""
    uses = Counter(name for text in texts_of(body) for name in names_in(text))
    runs = {s.names[0]: m for s in body.statements if len(s.names) == 1 and (m := _RUN.match(s.text))}
    for statement in body.statements:
        pair = re.match(r"^\[(\w+), (\w+)\]$", statement.text)
        if not pair or pair[1] not in runs or pair[2] not in runs or pair[1] == pair[2]:
            continue
        one, other = runs[pair[1]], runs[pair[2]]
        alone = all(uses[name] == 1 for name in (pair[1], pair[2], one[1], other[1]))
        if alone and one[2] == other[2] and not one[3] and other[3]:
            body = _joined(body, statement, (pair[1], pair[2]), one, other)
    return body


def _joined(body: Body, statement: Statement, gone: tuple[str, str], one: re.Match[str], other: re.Match[str]) -> Body:
    cells = [body.instances[m[1]] for m in (one, other)]
    ways = zip(("forward", "backward"), cells, strict=True)
    weights = {f"{way}.{n}": a for way, cell in ways for n, a in cell.weights.items()}
    name = re.sub(r"_(forward|fw)$", "", one[1])
    name = name if name == one[1] or name not in body.taken else one[1]
    made = Instance(f"Bidirectional({', '.join(_as_setting(cell.text) for cell in cells)})", weights)
    kept = {n: i for n, i in body.instances.items() if n not in (one[1], other[1])}
    left = [s for s in body.statements if s.names[0] not in gone]
    statements = [replace(s, text=f"{name}({one[2]})") if s is statement else s for s in left]
    return replace(body, instances={**kept, name: made}, statements=statements)


def _as_setting(text: str) -> str:
    return text if "(" in text else f"{text}()"
