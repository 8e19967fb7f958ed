"""In which order a program makes its results."""

from __future__ import annotations

import rnngraph as rg
from rnngraph.planning.program import Repeat, moments_of

STACK = """\
model Stack {
  input a: seq int
  input b: seq int
  low, p = unroll LSTM(4) over Embedding(9, 3)(a)
  middle, q = unroll LSTM(4) over low
  high, r = unroll LSTM(4) over middle
  loss cross_entropy(Dense(5)(high), b)
}
"""


def test_the_gradients_of_a_layer_are_made_before_the_layer_below_is_gone_back_through() -> None:
    """So they can be sent meanwhile. There are three loops forward, then three back."""
    program = rg.parse(STACK).compile(kernels="numpy", **rg.parse(STACK).training_step).main.program
    loops, made = 0, {}
    for item in program.code:
        loops += isinstance(item, Repeat)
        written = {ref.slot for moment in moments_of((item,)) for ref in moment.outs}
        made |= {name: loops for name, ref in program.outputs.items() if ref.slot in written}
    found = {name.removeprefix("grad:"): loops for name, loops in made.items()}
    layers = {"dense": 3, "lstm_3": 4, "lstm_2": 5, "lstm": 6, "embedding": 6}
    assert {name.split(".")[0]: loops for name, loops in found.items() if name != "loss"} == layers
