"""Which token a step of a model scores."""

from __future__ import annotations

import math

from rnngraph.data.roles import SCORES, root
from rnngraph.diagnostics.errors import UserError
from rnngraph.ir.graph import INPUT, Graph, Value, ordered


def behind(graph: Graph, tokens: str, scores: str) -> int:
    """0 where a step scores the token that follows, 1 where it scores its own.

    The loss says it, where it compares these scores with the tokens; else a step scores what follows the last token
    that it reads. UserError where it looks further ahead.
    """
    compared = _compared(graph, tokens, scores)
    found = 1 + compared.pop() if len(compared) == 1 else _lag(graph.outputs[scores], tokens)
    if found < 0:
        raise UserError(f"`{scores}` scores the token {1 - found:g} steps ahead, not the next one", "E631")
    return int(found)


def _compared(graph: Graph, tokens: str, scores: str) -> set[float]:
    """How many steps back the tokens stand that the loss compares the scores with."""
    mine = root(graph.outputs[scores], SCORES)
    picks = (n for n in ordered([graph.outputs["loss"].node]) if n.op.name == "pick") if "loss" in graph.outputs else ()
    lags = {_lag(n.inputs[1], tokens) for n in picks if root(n.inputs[0], SCORES) == mine}
    return lags - {math.inf}


def _lag(value: Value, tokens: str) -> float:
    """How many steps back the last token stands that a value is computed from; infinite where it is from none."""
    lags: dict[Value, float] = {}
    for node in ordered([value.node]):
        by = node.attrs["by"] if node.op.name == "shift" else 0
        token = node.op is INPUT and node.attrs["name"] == tokens
        lag = 0.0 if token else by + min((lags[v] for v in node.inputs), default=math.inf)
        lags.update((result, lag) for result in node.values)
    return lags[value]
