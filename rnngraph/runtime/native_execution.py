"""A program with arrays whose groups are run by compiled kernels, and the rest by NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard

from rnngraph.kernels.cpu.barriers import ALONE, Item, Share
from rnngraph.kernels.cpu.modules import Addresses
from rnngraph.kernels.cpu.table_interpreter import WORDS
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.cpu.thread_tables import Stage, Tables
from rnngraph.kernels.cpu.threads import Job, Words, give, pool, shared_words, walker
from rnngraph.kernels.fusion import claimed_part
from rnngraph.kernels.kernel import Ctc, rows_of
from rnngraph.ops.ctc import refuse_no_class
from rnngraph.planning.plan import Plan
from rnngraph.planning.program import BEFORE, Code, Group, Program, Ref, Repeat, Step, groups_of, steps_of
from rnngraph.runtime.device import Device
from rnngraph.runtime.execution import Bound, Index, Watch, Writer, viewed


class NativeBound(Bound):
    """Like `Bound`; consecutive groups and loops of groups are one call each."""

    def __init__(
        self, program: Program, plan: Plan, backend: Device, target: CpuTarget, arenas: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(program, plan, backend, arenas)
        self.target = target
        self.addresses = Addresses((g.kernel for g in groups_of(program.code)), target)
        self.masked = any(group.part for group in groups_of(program.code))
        self.tables = Tables(program, plan, self.bases, self.addresses)
        self.places = Words(self.tables.no_places)
        self.alone: list[Words] = []
        """What a thread that works alone is told: a table in each."""
        self.forks = {id(program.code[fork.first]): fork for fork in program.forked(plan.sizes)}
        """By the first item of each."""

    def made_calls(self, code: Sequence[Code]) -> list[Callable[[], Any]]:
        calls: list[Callable[[], Any]] = []
        for native, piece in self.pieces(code):
            calls += [*self.looks(piece[0]), self.together(piece)] if native else [self.call(item) for item in piece]
        return calls

    def pieces(self, code: Sequence[Code]) -> Iterator[tuple[bool, list[Any]]]:
        """The code in runs of what compiled kernels do alone, and the rest."""
        run: list[Code] = []
        kind = False
        for item in code:
            native = claimed_part((item,))
            if run and (native != kind or _is_looked_at(item)):
                yield kind, run
                run = []
            kind = native
            run.append(item)
        if run:
            yield kind, run

    def looks(self, item: Code) -> Iterator[Callable[[], Any]]:
        """What is looked at before a kernel that cannot tell what is wrong: labels that the model computes."""
        if _is_looked_at(item):
            _, labels, _, counts = (viewed(self.bases[ref.slot], self.index(ref)) for ref in item.ins)
            yield partial(refuse_no_class, self.backend, item.steps[0].node, labels, counts)

    def rebind(self, changed: set[int]) -> None:
        super().rebind(changed)
        self.tables.move(changed)

    def together(self, code: Sequence[Item]) -> Callable[[], Any]:
        """One call for a piece of code that compiled kernels do alone."""
        threads = self.target.threads
        if threads == 1:
            return self.walked(code)
        by_rows = self.rows(code) >= 2 * threads
        meet = by_rows or self.work_together(code) >= self.target.worth_meeting
        work = self.tables.work(code)
        if meet and work >= self.target.worth:
            shares = (Share(i, threads, by_rows, self.masked) for i in range(threads))
            return partial(_share_out, threads, [self.tables.job(self.tables.entries(code, own)) for own in shares])
        words, forks = self.tables.forked(self.stages(code), threads)
        if not forks:
            return self.by_one(words)
        return partial(_share_out, threads, [self.tables.job(words)], work < self.target.worth_waking)

    def stages(self, code: Sequence[Item]) -> list[Stage]:
        """The items in order, with forks as strands, where the whole of a fork is here."""
        found, i = list[Stage](), 0
        while i < len(code):
            fork = self.forks.get(id(code[i]))
            if fork is None or i + len(fork.labels) > len(code):
                found.append(code[i])
                i += 1
                continue
            parts: dict[int, list[Item]] = {label: [] for label in range(BEFORE, 1 + max(fork.labels))}
            for label in fork.labels:
                parts[label].append(code[i])
                i += 1
            before, after, *strands = parts.values()
            found += [*before, strands, *after]
        return found

    def walked(self, code: Sequence[Item]) -> Callable[[], Any]:
        return self.by_one(self.tables.entries(code, ALONE))

    def by_one(self, words: list[int]) -> Callable[[], Any]:
        """One call for what one thread walks."""
        alone = shared_words(1)
        give(alone, 0, (self.tables.words(words), len(words) // WORDS, self.places.address))
        self.alone.append(alone)
        return partial(walker().start, alone.address)  # one number is handed over sooner than five

    def work_together(self, code: Sequence[Code]) -> float:
        """The work of the largest kernel that every step of a loop waits for, or of the largest where there is none."""
        inner = [i for i in code if isinstance(i, Repeat)]
        return max((g.kernel.work(self.plan.sizes) for g in groups_of(inner or code)), default=0.0)

    def rows(self, code: Sequence[Code]) -> int:
        """The rows of the loops of a piece of code, or of its largest kernel where it has none."""
        found = [
            rows_of(g.kernel.axes, self.plan.sizes)
            for item in code
            if isinstance(item, Repeat)
            for g in groups_of((item,))
            if g.kernel.axes
        ]
        if found:
            return max(found)
        return max((rows_of(g.kernel.axes, self.plan.sizes) for g in groups_of(code)), default=1)

    def call(self, item: Code) -> Callable[[], Any]:
        if isinstance(item, Group):
            return self.walked([item])
        if isinstance(item, Repeat):
            return _NativeWriter(self).function(item)
        return super().call(item)


class WatchedNativeBound(NativeBound):
    """Runs group by group on one thread, with something around each."""

    def __init__(
        self,
        program: Program,
        plan: Plan,
        backend: Device,
        target: CpuTarget,
        watch: Watch,
        arenas: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(program, plan, backend, target, arenas)
        self.watch = watch

    def pieces(self, code: Sequence[Code]) -> Iterator[tuple[bool, list[Any]]]:
        yield from ((isinstance(item, Group), [item]) for item in code)

    def together(self, code: Sequence[Item]) -> Callable[[], Any]:
        return self.walked(code)

    def walked(self, code: Sequence[Item]) -> Callable[[], Any]:
        return self.watch(super().walked(code), tuple(steps_of(tuple(code))))

    def parts(self, step: Step) -> tuple[Callable[..., Any], list[tuple[Ref, Index]]]:
        kernel, arguments = super().parts(step)
        return self.watch(kernel, (step,)), arguments


class _NativeWriter(Writer):
    """Writes the function of a repeat some steps of which NumPy does."""

    bound: NativeBound

    def turn(self, repeat: Repeat, size: int, depth: int) -> None:
        self.names["places"] = self.bound.places
        super().turn(repeat, size, depth)

    def placed(self, repeat: Repeat, depth: int) -> None:
        at, n = 3 * repeat.loop, f"n{repeat.loop}"
        self.line(depth, f"places[{at}] = t{repeat.loop}; places[{at + 1}] = {n} & 1; places[{at + 2}] = {n} & 1 ^ 1")

    def body(self, code: Sequence[Code], depth: int) -> None:
        rows: dict[tuple[str, str], str] = {}
        for native, items in self.bound.pieces(code):
            if native:
                key = id(items[0])
                if key not in self.known:
                    self.known[key] = self.name("w", self.bound.walked(items))
                self.line(depth, f"{self.known[key]}()")
                continue
            for item in items:
                if isinstance(item, Repeat):
                    self.repeat(item, depth)
                elif isinstance(item, Step):
                    self.step(item, depth, rows)


def _is_looked_at(item: Code) -> TypeGuard[Group]:
    return isinstance(item, Group) and isinstance(item.kernel, Ctc) and not item.kernel.known


def _share_out(threads: int, jobs: Sequence[Job], short: bool = False) -> None:
    """Walks tables in the threads of this process, which may be a child of the one that made them."""
    pool(threads).run(jobs, short)
