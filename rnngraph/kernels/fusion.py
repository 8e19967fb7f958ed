"""From a program of steps to one of groups, each of which a compiled kernel does at once.

Elementwise steps over the same rows and shape that follow each other become one chain; what passes between them alone
never reaches memory. Every matrix that a product needs in panels is packed once, before the first use. What no kernel
takes stays a step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from rnngraph.kernels.chain_building import Chains, Link, Run
from rnngraph.kernels.kernel import ColumnSums, Sums
from rnngraph.kernels.kernel_selection import Claims
from rnngraph.kernels.layouts import Views
from rnngraph.kernels.padding import without_padding
from rnngraph.kernels.products_into_loops import taken_inward
from rnngraph.kernels.row_masks import StepsOfRows
from rnngraph.kernels.target import Target
from rnngraph.planning.program import (
    Code,
    Group,
    Program,
    Repeat,
    Step,
    moments_of,
    watched,
)


def fused(program: Program, target: Target) -> Program:
    """The same program with groups where there are kernels; its results are the same up to rounding."""
    fuser = _Fuser(program, target)
    ways = [fuser.code(way) for way in program.ways]
    if target.inward:
        ways = [taken_inward(way, fuser.slots, fuser.readers, target) for way in ways]
    code = [item for way in ways for item in way]
    turn = None if program.turn is None else len(ways[0])
    made = replace(program, slots=tuple(fuser.slots), code=tuple(code), turn=turn)
    return without_padding(made, target)


class _Fuser:
    def __init__(self, program: Program, target: Target) -> None:
        self.slots = list(program.slots)
        self.views = views = Views(program.slots, target.dtype)
        self.readers = _readers(program)
        self.claims, self.chains = Claims(views, target), Chains(views, self.readers, target)
        self.steps = StepsOfRows(program)

    def code(self, code: Sequence[Code]) -> list[Code]:
        """Groups and steps of one level, in order."""
        found: list[Code] = []
        before, run = Run(), Run()  # two chains that grow at once: the first needs nothing of the second
        at = 0
        while at < len(code):
            item = code[at]
            at += 1
            if isinstance(item, Step) and 0 in item.node.types[0].shape:
                continue  # there is nothing to compute, and no kernel has a case for that
            link = self.chains.link(item) if isinstance(item, Step) else None
            step = self.steps.of(item) if isinstance(item, Step) else None
            if link is not None and run.takes(link, step):
                run.add(link, step)
                continue
            if link is not None and not run.meets(link) and before.takes(link, step):
                before.add(link, step)
                continue
            found += self.joined(before.links) + self.joined(run.links)
            before, run = Run(), Run()
            if link is not None and not link.form.sums:
                run.add(link, step)
            elif isinstance(item, Step):
                after = code[at] if at < len(code) else None
                one = self.single(item, after if isinstance(after, Step) else None)
                found.append(one)
                if isinstance(one, Group) and len(one.steps) == 2 and isinstance(after, Step):
                    self.steps.of(after)
                    at += 1
            elif isinstance(item, Repeat):
                rest = tuple(i for i in self.code(item.rest) if not isinstance(i, Repeat))
                found.append(replace(item, body=tuple(self.code(item.body)), rest=rest))
        return _merged(found + self.joined(before.links) + self.joined(run.links))

    def single(self, step: Step, after: Step | None) -> Code:
        """The group that stands for a step, and for the one after it where its kernel does that too; else the step."""
        claimed = self.claims.step(step)
        if claimed is None:
            return self.nest(step)
        out = self.views.of(step.outs[0])
        if after is not None and (self.readers[out.slot] == 1 or self.views.of(after.outs[0]) is out):
            plus = self.claims.plus(step, claimed, after)
            if plus is not None:
                return Group((step, after), (*claimed.ins, plus[1]), after.outs, plus[0])
        return Group((step,), claimed.ins, claimed.outs, claimed.kernel)

    def nest(self, step: Step) -> Code:
        """The group of a step that has no faster kernel; the step itself where there is none at all."""
        claimed = self.claims.nest(step)
        return step if claimed is None else Group((step,), claimed.ins, claimed.outs, claimed.kernel)

    def joined(self, links: list[Link]) -> list[Code]:
        """The links as one group, or as the steps they were where their entries lie in no usable order."""
        if not links:
            return []
        group = self.chains.group(links)
        if group is not None:
            return [group]
        if len(links) == 1:
            return [self.single(links[0].step, None)]
        parts = _around_sums(links) or [[link] for link in links]
        return [item for part in parts for item in self.joined(part)]


def _around_sums(links: Sequence[Link]) -> list[list[Link]]:
    """The links before the first sum of rows, it alone, and those behind; nothing where there is none."""
    first = next((i for i, link in enumerate(links) if link.form.sums), None)
    return [] if first is None else [list(links[:first]), [links[first]], list(links[first + 1 :])]


def _readers(program: Program) -> Counter[int]:
    """How often each slot is read; what is handed out or watched counts as read once more."""
    found = Counter(ref.slot for step in program.steps for ref in step.ins)
    found.update(ref.slot for ref in program.outputs.values())
    found.update(watched(program.code))
    return found


def _merged(code: list[Code]) -> list[Code]:
    """Sums over the same rows of the same right factor made one, at the place of the last of them."""
    found = list(code)
    for i, item in enumerate(code):
        if isinstance(item, Group) and isinstance(item.kernel, Sums | ColumnSums):
            later = _partner(code, i)
            if later is not None:
                other = found[later]
                assert isinstance(other, Group)
                found[later] = code[later] = _together(item, other)
                found[i] = Group((), (), (), None)
    return [item for item in found if not (isinstance(item, Group) and item.kernel is None)]


def _partner(code: Sequence[Code], i: int) -> int | None:
    """The next sum that this one can join: nothing between may touch what it reads or makes."""
    first = code[i]
    assert isinstance(first, Group)
    read, made = {ref.slot for ref in first.ins}, {ref.slot for ref in first.outs}
    for j in range(i + 1, len(code)):
        item = code[j]
        if isinstance(item, Group) and _joinable(first, item):
            return j
        for moment in moments_of((item,)):
            wrote = {ref.slot for ref in moment.outs}
            if wrote & read or {ref.slot for ref in moment.refs} & made:
                return None
    return None


def _joinable(a: Group, b: Group) -> bool:
    kinds = {type(a.kernel), type(b.kernel)}
    if not kinds <= {Sums, ColumnSums} or Sums not in kinds or a.ins[0].key != b.ins[0].key:
        return False
    one, two = ((k.axes, k.order, k.width, k.each if isinstance(k, Sums) else 1) for k in (a.kernel, b.kernel))
    same = one == two
    return same and not (_is_summed(a) and _is_summed(b)) and not ({r.slot for r in a.outs} & {r.slot for r in b.ins})


def _is_summed(group: Group) -> bool:
    return isinstance(group.kernel, ColumnSums) or bool(group.kernel.summed)


def _together(a: Group, b: Group) -> Group:
    """Two sums as one kernel."""
    kernel = a.kernel if isinstance(a.kernel, Sums) else b.kernel
    parts = [(g, g.kernel.factors if isinstance(g.kernel, Sums) else ()) for g in (a, b)]
    factors = tuple(f for _, own in parts for f in own)
    lefts = tuple(ref for g, own in parts for ref in g.ins[1 : 1 + len(own)])
    results = tuple(ref for g, own in parts for ref in g.outs[: len(own)])
    plain = tuple(ref for g, own in parts for ref in g.outs[len(own) :])
    made = replace(kernel, factors=factors, summed=bool(plain))
    return Group((*a.steps, *b.steps), (a.ins[0], *lefts), (*results, *plain), made)


def claimed_part(code: Sequence[Code]) -> bool:
    """Whether compiled kernels do all of it."""
    return all(
        claimed_part((*item.body, *item.rest)) if isinstance(item, Repeat) else isinstance(item, Group)
        for item in code
    )
