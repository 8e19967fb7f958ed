"""PyTorch: its own layers, and an eager loop over the steps of any cell. Time-major, as it likes best; on the
processor, unless `where` tells `Tensor.to` of a device or another type."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from contest.problem import Absent, Arrays, Prepared, Problem, reordered

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

LAYERS = {"lstm": torch.nn.LSTM, "lstm_stack": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
GATES = {"lstm": (0, 2, 1, 3), "lstm_stack": (0, 2, 1, 3), "gru": (0, 1, 2), "rnn": (0,)}
"""Where the gates of its layers stand in ours; each order is its own inverse."""


class Ops:
    sigmoid = staticmethod(torch.sigmoid)
    tanh = staticmethod(torch.tanh)
    relu = staticmethod(torch.relu)
    sqrt = staticmethod(torch.sqrt)

    @staticmethod
    def mean(a: Any) -> Any:
        return a.mean(-1, keepdim=True)

    @staticmethod
    def split(a: Any, parts: int) -> Any:
        return a.chunk(parts, -1)


def layer(p: Problem, task: str, cell: str, **where: Any) -> Prepared:
    """`nn.LSTM` (of four layers for the stack), `nn.GRU` or `nn.RNN`."""
    if cell not in LAYERS:
        raise Absent("PyTorch has no such layer")
    made, order, units = LAYERS[cell](p.size.inputs, p.size.units, p.cell.layers), GATES[cell], p.size.units
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    groups = [[getattr(made, f"{name}_l{k}") for name in names] for k in range(p.cell.layers)]
    with torch.no_grad():
        for leaves, (w, u, b, c) in zip(p.leaves(), groups, strict=True):
            for target, name in ((w, "kernel_x"), (u, "kernel_h"), (b, "bias")):
                target.copy_(torch.from_numpy(reordered(leaves[name], order).T.copy()))
            c.zero_()
            if cell == "gru":
                c[2 * units :] = torch.from_numpy(leaves["candidate_state_bias"])
    made.to(**where)

    def gradients() -> list[Arrays]:
        found = []
        for w, u, b, c in groups:
            named = {"kernel_x": w.grad.T, "kernel_h": u.grad.T, "bias": b.grad}
            found.append({name: reordered(_host(a), order) for name, a in named.items()})
            if cell == "gru":
                found[-1]["candidate_state_bias"] = _host(c.grad[2 * units :])
        return found

    return _prepared(p, task, lambda x: made(x)[0], list(made.parameters()), gradients, where)


def loop(p: Problem, task: str, cell: str, **where: Any) -> Prepared:
    """One call of the cell after another, the input's product for all steps at once."""
    if cell in LAYERS:
        raise Absent("PyTorch has a layer for it")
    layers = [{name: torch.from_numpy(a).to(**where) for name, a in leaves.items()} for leaves in p.leaves()]
    zero = torch.zeros(p.size.batch, p.size.units, **where)

    def network(x: Any) -> Any:
        for weights in layers:
            states, shown = (zero,) * p.cell.states, []
            parts = [part.unbind(0) for part in p.cell.inputs(x, weights)]  # indexed, its gradient would be quadratic
            for now in zip(*parts, strict=True):
                states = p.cell.step(Ops, now, states, weights)
                shown.append(states[-1])
            x = torch.stack(shown)
        return x

    def gradients() -> list[Arrays]:
        return [{name: _host(a.grad) for name, a in weights.items()} for weights in layers]

    return _prepared(p, task, network, [a for weights in layers for a in weights.values()], gradients, where)


def _host(tensor: Any) -> Any:
    return tensor.cpu().float().numpy()


def _prepared(
    p: Problem,
    task: str,
    network: Callable[[Any], Any],
    weights: Sequence[Any],
    gradients: Callable[[], list[Arrays]],
    where: Mapping[str, Any],
) -> Prepared:
    given = (torch.from_numpy(np.ascontiguousarray(np.swapaxes(a, 0, 1))) for a in (p.x, p.cotangent))
    x, cotangent = (tensor.to(**where) for tensor in given)

    def infer() -> Any:
        with torch.inference_mode():
            return network(x)

    leaves = [x, *weights]

    def train() -> None:
        for leaf in leaves:
            leaf.grad = None
        (network(x) * cotangent).sum().backward()

    if task == "infer":
        return infer, lambda y: {"y": np.swapaxes(_host(y), 0, 1)}
    for leaf in leaves:
        leaf.requires_grad_(True)
    return train, lambda _: p.gradients(np.swapaxes(_host(x.grad), 0, 1), gradients())
