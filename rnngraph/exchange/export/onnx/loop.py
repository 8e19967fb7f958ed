"""A loop as ONNX's `Scan`: carries are its states, slices its scanned inputs, stacks its scanned outputs.

What a body captures it sees by name. A counter is a row of 0, 1, 2 ...; so is something to count by, where a loop
reads no sequence.
"""

from __future__ import annotations

from rnngraph.exchange.export.onnx.scope import Scope
from rnngraph.ir.graph import Loop, Node, Value, body_nodes, loop_of
from rnngraph.ir.types import Type


def loop(s: Scope, node: Node, *inputs: str) -> tuple[str, ...]:
    """Adds a `Scan` for a loop; the names of its results."""
    what = loop_of(node)
    outer = dict(zip(what.outer, inputs, strict=True))
    counter = what.counter
    rows = [(outer[x.sequence], x.param, x.sequence.type.axes.index(what.axis)) for x in what.slices]
    row_type = Type((), (), "int")
    if counter or not rows:
        rows.append((s.iota(what.axis), counter or Value(node), 0))
    inside = Scope(s.whole, s.hint)
    declared = []
    for i, (param, type) in enumerate(
        [
            *((c.param, c.param.type) for c in what.carries),
            *((p, row_type if p == Value(node) else p.type) for _, p, _ in rows),
        ]
    ):
        name = s.whole.fresh(f"{param.node.attrs.get('name') or 'step'}.{i}".replace(" ", ""))
        inside.names[param] = name
        declared.append(inside.info(name, type))
    inside.names |= {c.param: outer[c.outer] for c in what.captures}
    inside.convert(n for n in body_nodes(what))
    results = _results(inside, what)
    body = inside.body(
        what.label or "loop", declared, [inside.info(n, v.type) for n, v in zip(results, what.results, strict=True)]
    )
    backwards = int(what.reverse)
    stacked = [v.type.with_axes((*v.type.axes, what.axis)).axes.index(what.axis) for v in what.stacks]
    scanned = {"scan_output_axes": stacked, "scan_output_directions": [backwards] * len(stacked)} if stacked else {}
    made = s.emit(
        "Scan",
        *(outer[c.init] for c in what.carries),
        *(name for name, _, _ in rows),
        results=max(1, len(results)),
        body=body,
        num_scan_inputs=len(rows),
        scan_input_axes=[axis for _, _, axis in rows],
        scan_input_directions=[backwards] * len(rows),
        **scanned,
    )
    return made if isinstance(made, tuple) else (made,)


def _results(inside: Scope, what: Loop) -> list[str]:
    """The names of what leaves a step; each is a name of its own, made inside."""
    made = {name for node in inside.nodes for name in node.output}
    results: list[str] = []
    for value in what.results:
        name = inside.names[value]
        results.append(name if name in made and name not in results else str(inside.emit("Identity", name)))
    return results
