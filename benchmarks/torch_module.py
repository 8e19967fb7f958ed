"""A step of training with a model as a module of PyTorch, beside our own step and beside PyTorch's own ways.

    python benchmarks/torch_module.py [--sizes 32,64,128,128 ...] [--rounds 15] [--threads 2]

A size is batch, steps, inputs, units. Of an LSTM, in float32: the module in a loop of PyTorch with the own loss of the
model, beside our step with the same loss and our optimiser; the module with a loss that PyTorch computes of all
outputs, beside `gradients` with cotangents and our optimiser, and both without optimisers; and `nn.LSTM`. Then a cell
that PyTorch does not have (examples/invented.rnn): the module beside the same equations as a loop in Python. All make a
step of Adam. They take turns; medians over the rounds count, each told as a ratio to what it stands beside. With one
thread they are of the processor's time, which other work on the machine touches less than the time of day.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SIZES = ("32,64,128,128", "32,100,128,256")
LSTM = """
model Layer(inputs, units) {
  input x: seq[inputs]
  y, final = unroll LSTM(units) over x
  output y
  loss mean(y * y)
}
"""
INVENTED = """
model Layer(inputs, units) {
  input x: seq[inputs]
  y, _ = unroll FastGRNN(units) over x
  output y
}
"""
Call = Callable[[], Any]
Contest = Mapping[str, tuple[str, Call]]
"""Calls by name, each with the name of the one that it is measured by."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", default=SIZES)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


ASKED = arguments()
os.environ["OMP_NUM_THREADS"] = os.environ["RNNGRAPH_THREADS"] = str(ASKED.threads)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import rnngraph as rg  # noqa: E402
from rnngraph.torch import Module  # noqa: E402
from rnngraph.training import optimisers, updates  # noqa: E402


def ours(model: Any, call: Callable[[Any, Any, Any], Any], **options: Any) -> Call:
    """Our gradients and a step of our Adam."""
    program = model.compile(gradient="weights", dtype="float32", training=True, **options)
    weights, adam = model.init(0, "float32"), optimisers.Adam()
    state = updates.start(adam, weights)

    def step() -> None:
        nonlocal state
        _, found = call(program, weights, state)
        state = updates.update(adam, weights, found, state, program.backend.whole)

    return step


def theirs(parameters: Any, loss: Callable[[], Any]) -> Call:
    """A loss of PyTorch and a step of its Adam."""
    optimizer = torch.optim.Adam(parameters, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def bare(parameters: Any, loss: Callable[[], Any]) -> Call:
    """The gradients alone."""
    kept = list(parameters)

    def step() -> None:
        for parameter in kept:
            parameter.grad = None
        loss().backward()

    return step


def layer(batch: int, steps: int, inputs: int, units: int) -> Contest:
    model = rg.parse(LSTM, inputs=inputs, units=units)
    rng = np.random.default_rng(0)
    x, cotangent = (rng.normal(size=(batch, steps, n)).astype(np.float32) for n in (inputs, units))
    x_there, cotangent_there = torch.from_numpy(x), torch.from_numpy(cotangent)
    own = Module(model, seed=0, outputs=("loss",), dtype=torch.float32)
    shown = Module(model, seed=0, outputs=("y",), dtype=torch.float32)
    there = torch.nn.LSTM(inputs, units, batch_first=True)
    program = model.compile(gradient="weights", dtype="float32", training=True)
    weights, told = model.init(0, "float32"), {"y": cotangent}
    return {
        "ours, own loss": ("", ours(model, lambda p, w, _: p.lent_gradients({"x": x}, w), outputs=("loss",))),
        "module, own loss": ("ours, own loss", theirs(own.parameters(), lambda: own(x_there))),
        "ours, cotangents": ("", ours(model, lambda p, w, _: p.gradients({"x": x}, w, told), outputs=("y",))),
        "module, loss of PyTorch": (
            "ours, cotangents",
            theirs(shown.parameters(), lambda: (shown(x_there) * cotangent_there).sum()),
        ),
        "gradients alone": ("", lambda: program.gradients({"x": x}, weights, told)),
        "module alone": (
            "gradients alone",
            bare(shown.parameters(), lambda: (shown(x_there) * cotangent_there).sum()),
        ),
        "nn.LSTM": (
            "module, loss of PyTorch",
            theirs(there.parameters(), lambda: (there(x_there)[0] * cotangent_there).sum()),
        ),
    }


class FastGRNN(torch.nn.Module):
    """The equations of examples/invented.rnn, a step after another; the product by the input for all steps at once."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        shapes = {"w": (inputs, units), "u": (units, units), "gate": (units,), "candidate": (units,)}
        for name, shape in {**shapes, "zeta": (), "nu": ()}.items():
            self.register_parameter(name, torch.nn.Parameter(0.1 * torch.randn(shape)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, found = x.new_zeros(x.shape[0], self.u.shape[0]), []
        zeta, nu = torch.sigmoid(self.zeta), torch.sigmoid(self.nu)
        for row in (x @ self.w).unbind(1):
            shared = row + h @ self.u
            z = torch.sigmoid(shared + self.gate)
            h = (zeta * (1 - z) + nu) * torch.tanh(shared + self.candidate) + z * h
            found.append(h)
        return torch.stack(found, 1)


def cell(batch: int, steps: int, inputs: int, units: int) -> Contest:
    text = (ROOT / "examples/invented.rnn").read_text().partition("model Invented")[0]
    net = Module(rg.parse(text + INVENTED, inputs=inputs, units=units), dtype=torch.float32)
    loop = FastGRNN(inputs, units)
    x, cotangent = (torch.randn(batch, steps, n) for n in (inputs, units))
    return {
        "module, invented cell": ("", theirs(net.parameters(), lambda: (net(x) * cotangent).sum())),
        "loop of PyTorch": (
            "module, invented cell",
            theirs(loop.parameters(), lambda: (loop(x) * cotangent).sum()),
        ),
    }


def medians(contest: Contest, rounds: int) -> dict[str, float]:
    clock = time.process_time if ASKED.threads == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in contest}
    for _ in range(rounds):
        for name, (_, call) in contest.items():
            time.sleep(0.05)  # threads of the one before may still spin
            call()
            for _ in range(3):
                start = clock()
                call()
                times[name].append(clock() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def rows(contest: Contest, size: str) -> Iterator[tuple[str, ...]]:
    found = medians(contest, ASKED.rounds)
    for name, (beside, _) in contest.items():
        ratio = f"{found[name] / found[beside]:.2f} of {beside}" if beside else ""
        yield size, name, f"{1e3 * found[name]:.3g}", ratio


def main() -> None:
    torch.set_num_threads(ASKED.threads)
    for size in ASKED.sizes:
        table = Table("batch, steps, inputs, units", "who", "ms", "ratio", box=None)
        for made in (layer, cell):
            for row in rows(made(*map(int, size.split(","))), size):
                table.add_row(*row)
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
