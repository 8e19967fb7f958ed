"""Whether an output of scores holds logits or probabilities.

The loss says it: what goes into `log_softmax` or `exp` there are logits, and that of which it takes the logarithm are
probabilities. Of an output that the loss does not read, its own equations say it, where they can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rnngraph.data.roles import VIEWS, Root, root
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import LOOP, Graph, Node, Value, body_nodes, every, loop_of, ordered
from rnngraph.language.elaboration.elaborated import Elaborated

_MOVED = VIEWS | {"shift"}
"""Ops that leave scores what they are."""
_OF_LOGITS = frozenset(("softmax", "log_softmax", "exp"))
_SHARES = frozenset(("softmax", "sigmoid", "exp", "relu", "square", "abs", "softplus", "sqrt"))
"""Ops whose results are never negative."""
_ARITHMETIC = frozenset(("add", "sub", "mul", "div", "where", "maximum", "minimum", "sum", "concat"))

Rule = Callable[[Node, Sequence[bool]], bool]
"""Whether something holds of what a node makes, by the same of its inputs."""
Inside = Mapping[Value, Value]
"""Of each param of a loop's body the value outside that it is, or is a step of."""


def are_probabilities(model: Elaborated, scores: str) -> bool:
    """Whether an output holds probabilities, not logits. UserError where neither can be told of it."""
    graph, span = model.graph, model.output_spans.get(scores)
    value = graph.outputs[scores]
    inside = _inside(graph)
    made = _made(value, inside)[0]
    taken = _taken(graph, value, inside)
    if len(taken) > 1:
        raise _unclear(scores, span, "the loss takes it for logits in one place and for probabilities in another")
    if taken or made.op.name in ("softmax", "log_softmax", "log") or _normalised(made, inside):
        return "probabilities" in taken if taken else made.op.name not in ("log_softmax", "log")
    if _read(graph, value, inside):
        raise _unclear(scores, span, "the loss reads it, but neither by `cross_entropy` nor by `log`")
    if _facts(value, _never_negative) or _facts(value, _of_softmax(value.type.shape[-1])):
        raise _unclear(scores, span, "it may be probabilities, but nothing says that they add up to 1")
    return False


def _unclear(scores: str, span: Span | None, why: str) -> UserError:
    told = f"whether `{scores}` holds logits or probabilities is not known: {why}"
    help = "output the scores that `cross_entropy` takes, a `softmax` of them, or `log(p)` of other probabilities"
    return UserError([Diagnostic("E631", told, span, help=help)])


# --- what the loss says ------------------------------------------------------------------------------------------


def _taken(graph: Graph, scores: Value, inside: Inside) -> set[str]:
    """What the loss takes scores for: `logits`, `probabilities`."""
    mine, width, found = _made(scores, inside), scores.type.shape[-1], set[str]()
    for node in every(ordered([graph.outputs["loss"].node])) if "loss" in graph.outputs else ():
        if node.op.name in _OF_LOGITS and mine in _unmoved(node.inputs[0], width, inside):
            found.add("logits")
        if node.op.name == "log" and mine in _chosen(node.inputs[0], inside):
            found.add("probabilities")
    return found


def _read(graph: Graph, scores: Value, inside: Inside) -> bool:
    """Whether the loss depends on the scores."""
    mine = _made(scores, inside)
    nodes = ordered([graph.outputs["loss"].node]) if "loss" in graph.outputs else []
    return any(_made(value, inside) == mine for node in nodes for value in node.values)


def _unmoved(value: Value, width: int, inside: Inside) -> Iterator[Root]:
    """What it is, and that to which the same is added in a row, as before `exp`: all have one softmax."""
    while True:
        made = _made(value, inside)
        yield made
        if made[0].op.name not in ("add", "sub"):
            return
        value, other = made[0].node.inputs
        if (other.type.shape or (1,))[-1] != 1 or (value.type.shape or (1,))[-1] != width:
            return


def _chosen(value: Value, inside: Inside) -> set[Root]:
    """What may be the probabilities of which one was chosen, or some were added up, and which were kept from 0."""
    found, left = set[Root](), [value]
    while left:
        made = _made(left.pop(), inside)
        if made not in found:
            found.add(made)
            left += _kept(made[0], inside)
    return found


def _kept(value: Value, inside: Inside) -> Sequence[Value]:
    """What a value is some of, or is kept from 0."""
    match value.op.name:
        case "pick" | "entries" | "sum" | "mul":
            return value.node.inputs
        case "add" | "maximum" | "minimum":
            plain = [v for v in value.node.inputs if _made(v, inside)[0].op.name != "const"]
            return plain if len(plain) == 1 else ()
    return ()


# --- what the equations say --------------------------------------------------------------------------------------


def _inside(graph: Graph) -> dict[Value, Value]:
    loops = [loop_of(node) for node in every(graph.nodes()) if node.op is LOOP]
    slices = {s.param: s.sequence for loop in loops for s in loop.slices}
    return slices | {c.param: c.outer for loop in loops for c in loop.captures}


def _made(value: Value, inside: Inside) -> Root:
    """Where the numbers of a value are made, in a loop or outside of it, and which part of them they are."""
    parts: tuple[str, ...] = ()
    while True:
        value, more = root(value, _MOVED)
        parts += more
        if value.op is LOOP:
            value = loop_of(value.node).results[value.index]
        elif value in inside:
            value = inside[value]
        else:
            return value, parts


def _normalised(value: Value, inside: Inside) -> bool:
    """Whether it is something divided by its sum in each row."""
    if value.op.name != "div":
        return False
    whole, share = (_made(v, inside) for v in value.node.inputs)
    last = share[0].op.name == "sum" and share[0].node.attrs["dims"] == (-1,)
    return last and _made(share[0].node.inputs[0], inside) == whole


def _facts(value: Value, rule: Rule) -> bool:
    """What a rule says of a value, from node to node; of what a loop hands on from step to step nothing is known."""
    known: dict[Value, bool] = {}

    def over(nodes: Iterable[Node]) -> None:
        for node in nodes:
            if node.op is LOOP:
                loop = loop_of(node)
                known.update({s.param: known[s.sequence] for s in loop.slices})
                known.update({c.param: known[c.outer] for c in loop.captures})
                over(body_nodes(loop))
                known.update(zip(node.values, (known[made] for made in loop.results), strict=True))
            for one in node.values:
                known.setdefault(one, rule(node, [known[v] for v in node.inputs]))

    over(ordered([value.node]))
    return known[value]


def _never_negative(node: Node, inputs: Sequence[bool]) -> bool:
    match node.op.name:
        case name if name in _SHARES:
            return True
        case "const":
            return bool(node.attrs["value"] >= 0)
        case "sub":
            one, other = (root(v)[0] for v in node.inputs)
            whole = one.op.name == "const" and one.node.attrs["value"] >= 1
            return whole and other.op.name in ("sigmoid", "softmax")
        case "maximum":
            return any(inputs)
        case "where":
            return all(inputs[1:])
        case name if name in _ARITHMETIC:
            return all(inputs)
        case name:
            return name in _MOVED and inputs[0]


def _of_softmax(width: int) -> Rule:
    """Whether it is made by arithmetic of a softmax over as many classes, as a mixture is."""

    def rule(node: Node, inputs: Sequence[bool]) -> bool:
        if node.op.name == "softmax":
            return node.types[0].shape[-1:] == (width,)
        return node.op.name in _ARITHMETIC | _MOVED and any(inputs)

    return rule
