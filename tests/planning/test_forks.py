"""Loops that may run at once: which they are, and that nothing that one writes lies where another reads or writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise, permutations
from pathlib import Path

import pytest
from msgspec.structs import replace

import rnngraph as rg
from rnngraph.cli.main import exit_code
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.kernels.kernel import Product
from rnngraph.model import Model
from rnngraph.planning.plan import Plan, plan
from rnngraph.planning.program import FEW, Code, Group, Program, Repeat, moments_of, watched
from rnngraph.runtime.described_gpu import DescribedGpu
from tests.support.models import parsed

TWO = """
model M(units = 3) {
  input x: seq[2]
  y = Dense(2)(Bidirectional(GRU(units), GRU(units))(x))
  output y
  loss squared_error(y, 0)
}
"""
STACK = """
model M(units = 3) {
  input x: seq[2]
  y, _ = unroll GRU(units) over x
  z, _ = unroll GRU(units) over y
  output z
}
"""
TOWERS = """
model M(units = 3) {
  input a: seq@one[2]
  input b: seq@two[2]
  input c: seq@three[2]
  p, _ = unroll GRU(units) over a
  q, _ = unroll GRU(units) over b
  r, _ = unroll GRU(units) over c
  output [last(p), last(q), last(r)] as y
}
"""


def compiled(model: Model, gradient: bool = False, gpu: bool = False) -> Variant:
    backend = DescribedGpu("native", "") if gpu else "numpy"
    found = model.compile(backend=backend, dtype="float32", gradient=gradient, kernels="native")
    return found.variant(Signature(cotangents=model.differentiated if gradient else None))


def strands(program: Program) -> list[list[list[Code]]]:
    """For each fork the items of each strand."""
    found = []
    for fork in program.forks:
        items = list(zip(program.code[fork.first : fork.last], fork.labels, strict=True))
        found.append([[item for item, label in items if label == own] for own in range(1 + max(fork.labels))])
    return found


TEXTS = ["two", "stack", "towers"]


@pytest.mark.parametrize(("text", "loops"), [(TWO, [2]), (STACK, []), (TOWERS, [3])], ids=TEXTS)
def test_loops_that_need_nothing_of_each_other_may_run_at_once(text: str, loops: Sequence[int]) -> None:
    found = strands(compiled(rg.parse(text)).program)
    assert [len(fork) for fork in found] == loops
    assert all(sum(isinstance(item, Repeat) for item in strand) == 1 for fork in found for strand in fork)


@pytest.mark.parametrize(("text", "more"), [(TWO, [1, 1]), (STACK, []), (TOWERS, [2, 2, 2])], ids=TEXTS)
def test_show_tells_which_loops_run_at_once(
    text: str,
    more: Sequence[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "m.rnn"
    file.write_text(text)
    assert exit_code(["show", str(file), "--kernels"]) == 0
    assert [int(n) for n in re.findall(r"under 4 rows at once with (\d) more", capsys.readouterr().out)] == more


def test_each_direction_makes_its_own_part_of_what_follows() -> None:
    """A product with half of the weights behind each loop; their sum is behind both."""
    (both,) = strands(compiled(rg.parse(TWO)).program)
    assert all(isinstance(strand[-1], Group) and isinstance(strand[-1].kernel, Product) for strand in both)


def test_with_gradients_memory_counts_for_more() -> None:
    assert not compiled(rg.parse(TWO), gradient=True).program.forks


def rooms(program: Program, made: Plan, items: Sequence[Code], written: bool) -> list[tuple[int, int]]:
    moments = moments_of(tuple(items))
    slots = {ref.slot for moment in moments for ref in (moment.outs if written else moment.refs)}
    if not written:
        slots |= set(watched(items))
    mine = [slot for slot in slots if program.categories[slot] != "parameters" and made.slot_bytes[slot]]
    return [(made.offsets[slot], made.offsets[slot] + made.slot_bytes[slot]) for slot in mine]


@pytest.mark.parametrize(("gradient", "gpu"), [(False, False), (False, True), (True, True)])
@pytest.mark.parametrize("name", ["bidirectional", "single steps", "norms", "masked and reset"])
def test_of_a_few_rows_no_strand_writes_where_another_is(name: str, gradient: bool, gpu: bool) -> None:
    model = parsed(name)
    variant = compiled(model, gradient, gpu)
    made = variant.plan(model.sizes(6, 1))
    forks = variant.program.forks
    assert forks and all(a.first + len(a.labels) <= b.first for a, b in pairwise(forks))
    for fork in strands(variant.program):
        for one, other in permutations(fork, 2):
            used = rooms(variant.program, made, other, written=False)
            for low, high in rooms(variant.program, made, one, written=True):
                assert all(end <= low or high <= start for start, end in used)


def test_with_rows_for_all_threads_nothing_is_alive_for_longer() -> None:
    model = rg.parse(TWO)
    variant = compiled(model)
    alone = replace(variant.program, forks=())
    for rows, more in ((1, True), (FEW, False), (32, False)):
        made = variant.plan(model.sizes(50, rows))
        assert (made.total > plan(alone, made.sizes, "float32").total) == more
