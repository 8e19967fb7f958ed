"""The graph after every pass of the compiler, and what the pass changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from rnngraph.compilation.schedule import Schedule
from rnngraph.compilation.variant import Signature
from rnngraph.explore.graph_json import Mark, clipped, graph_json
from rnngraph.explore.tables import Tables
from rnngraph.ir.graph import LOOP, PARAM, Graph, Node, body_nodes, loop_of
from rnngraph.ir.text import counts
from rnngraph.language.elaboration.elaborated import Block
from rnngraph.model import Model
from rnngraph.passes.index_checks import unwatched
from rnngraph.viz.box_texts import place_text

Json = dict[str, Any]
Key = tuple[Hashable, ...]

WHY: Mapping[str, str] = {
    "elaborate": "The text as a graph: one node for each operation, loops as loops.",
    "inside": "Checks that an integer chooses what is there are proven, or moved behind the loop.",
    "empty": "What has no entries, by a dimension of size 0, is not computed.",
    "split": "A product of joined vectors becomes a sum of products, so that each part can move by itself.",
    "cse": "What is computed twice is computed once.",
    "regroup": "The terms of a sum are ordered so that those which no state reaches stand together.",
    "distribute": "Each layer of a stack gets a loop of its own, behind that of the layer below.",
    "hoist": "What no state reaches leaves the loop: one product over all steps instead of one for each.",
    "grad": "The gradient is added: each loop gets one that runs the other way, over what the forward pass saved.",
    "unnamed": "First values of states, which had gradients of their own, become one where they are equal.",
    "simplify": "Additions of zero, products with one and their like are dropped.",
    "hoist back": "What no state reaches leaves the loops of the gradient too.",
    "sink": "What only feeds a sum over time is done once, behind the loop: one product for all steps.",
    "share": "Products of one operand that stand side by side become one.",
    "merge": "Sums over time join the products that they are of.",
    "late cse": "What the gradient and the moves made twice is computed once.",
    "prune": "What nobody reads is dropped: saved values, states, whole loops.",
    "units": "Products of the gradient are summed in fixed units of steps, so that every schedule gives the same bits.",
}
"""What each stage is for; `unroll`, which comes last, is what the page draws by itself."""
_MOST_GONE = 40


def stages_json(model: Model) -> Json:
    """Every stage up to the one where static and dynamic part, with marks, and the tree of instances."""
    tables = Tables()
    tables.of_source(model.file.source)
    signature = Signature(cotangents=model.differentiated or None)
    found = model.stages(Schedule(gradient=bool(model.differentiated)), signature)
    told = [told for told in _told(found, tables) if told["name"] in WHY]
    blocks = list(_blocks(model.block, tables))
    return {"stages": told, "blocks": blocks, **tables.to_json()}


def _told(stages: Iterator[tuple[str, Graph]], tables: Tables) -> Iterator[Json]:
    before: Counter[tuple[Key, str]] | None = None
    for name, graph in stages:
        graph = unwatched(graph)
        now = Counter((_key(node), around) for node, around in _placed(graph.nodes(), ""))
        old = now if before is None else before
        yield {
            "name": name,
            "why": WHY.get(name, ""),
            "nodes": counts(graph)[0],
            "gone": _gone(old, now),
            **graph_json(graph, tables, _marker(old)),
        }
        before = now


def _placed(nodes: list[Node], around: str) -> Iterator[tuple[Node, str]]:
    """Every node with the axes of the loops around it."""
    for node in nodes:
        if node.op is not PARAM:
            yield node, around
        if node.op is LOOP:
            loop = loop_of(node)
            yield from _placed(body_nodes(loop), f"{around}/{loop.axis}{'-' * loop.reverse}")


def _key(node: Node) -> Key:
    """What stays the same of a node that a pass only moves; passes make nodes anew."""
    origin = node.origin
    shapes = tuple((type.shape, type.dtype) for type in node.types) if node.op is not LOOP else ()
    return node.op.name, origin.span, origin.path, origin.backward, shapes, node.attrs.get("name", "")


def _marker(before: Mapping[tuple[Key, str], int]) -> Mark:
    """Takes each node of the stage before once: first what stands where it stood, then what stood elsewhere."""
    left = Counter(before)
    elsewhere = Counter[Key]()
    for (key, _), number in before.items():
        elsewhere[key] += number

    def mark(node: Node, around: str) -> str:
        key = _key(node)
        if node.op is PARAM:
            return ""
        if left[key, around] > 0:
            left[key, around] -= 1
            elsewhere[key] -= 1
            return ""
        if elsewhere[key] > 0:
            elsewhere[key] -= 1
            return "moved"
        return "new"

    return mark


def _gone(before: Counter[tuple[Key, str]], now: Counter[tuple[Key, str]]) -> list[Json]:
    """What stood in the stage before and stands nowhere now: the op, its line, how often."""
    old, new = Counter[Key](), Counter[Key]()
    for counter, found in ((before, old), (now, new)):
        for (key, _), number in counter.items():
            found[key] += number
    gone = [(key, number) for key, number in (old - new).items() if key[0] not in ("const", "input")]
    return [
        {"op": str(key[0]).replace("_", " "), "place": clipped(place_text(key[1])) if key[1] else "", "count": number}  # type: ignore[arg-type]
        for key, number in gone[:_MOST_GONE]
    ]


def _blocks(block: Block, tables: Tables) -> Iterator[Json]:
    yield {
        "path": tables.of_path(block.path),
        "name": block.name,
        "definition": block.definition,
        "kind": block.kind,
        "span": tables.of_span(block.span),
        "leaf": int(not block.children),
        "states": [{"name": s.name, "shape": list(s.shape)} for s in block.states],
        "weights": [{"name": w.name, "shape": list(w.shape), "frozen": int(w.frozen)} for w in block.weights],
    }
    for child in block.children:
        yield from _blocks(child, tables)
