"""A recurrence whose states are linear in those of the step before, in chunks of steps at once.

Each chunk is first composed: what it makes of any state is a slope times that state, plus what it makes of 0. From
these is guessed with which state each chunk begins, and all chunks are walked at once. Then each is walked again from
what the chunk before it has really come to, until old and new states have the same bits; and so on in rounds, until no
chunk ends otherwise than before. Where rounds hardly help, one thread for each entry goes through the chunks in order
and walks again what does not follow. So every result is the walk's, to the bit: a guess costs time where it is wrong,
and nothing else.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from msgspec import Struct

from rnngraph.ir.types import BATCH
from rnngraph.kernels.chain import COPIES, Chain, Operation
from rnngraph.kernels.gpu.elementwise_recurrences import MOST, Recurrence, Text, lines
from rnngraph.kernels.gpu.expressions import TYPES
from rnngraph.kernels.gpu.persistent_loops import LINE
from rnngraph.kernels.gpu.target import THREADS, GpuTarget
from rnngraph.kernels.gpu.views import Views

HELPED = 10
"""Rounds go on as long as each mends one in so many of the chunks that ended otherwise in the one before."""
RESIDENT = 2
"""Blocks of a processor. All of them are on the device at once, as they wait for each other."""
AHEAD = 8
"""Chunks that are asked for at once by the thread that goes through all of an entry."""
FEWEST = 16
"""With fewer chunks, what is read twice and walked again would not be worth it."""


class Scan(Struct, frozen=True):
    """Steps of a chunk, chunks, and the blocks whose threads have a chunk of an entry each."""

    steps: int
    chunks: int
    blocks: int

    def told(self, entries: int) -> str:
        """The shape in words."""
        threads = f"{self.chunks * entries:,} threads"
        return f"{threads}, each of an entry of a row in one of {self.chunks:,} chunks of {self.steps:,} steps"


def scan_shape(entries: int, steps: int, target: GpuTarget) -> Scan | None:
    """How a loop is spread in chunks; None where it is better walked."""
    most = target.processors * RESIDENT * THREADS // max(1, entries)
    together = min(target.chunk, MOST)
    each = max(target.chunk, -(-steps // (max(1, most) * together)) * together)
    chunks = -(-steps // each)
    if min(most, chunks) < FEWEST or not entries:
        return None
    return Scan(each, chunks, -(-chunks * entries // THREADS))


# --- what is linear ----------------------------------------------------------------------------------------------


def why_not(recurrence: Recurrence) -> str:
    """Why a recurrence has to be walked, whatever its sizes; "" where it need not."""
    if not recurrence.states:
        return "nothing is handed on"
    if any(not state.operand.dtype.startswith("float") for state in recurrence.states):
        return "a state is no float"
    if len({frozenset(ref.key for ref in group.outs if recurrence.stays(ref)) for group in recurrence.groups}) > 1:
        return "a row that has ended keeps what it wrote before"
    for g, group in enumerate(recurrence.groups):
        for i, ref in enumerate(group.operands):
            if recurrence.state(g, i) is None and recurrence.written(ref.slot):
                return "a step reads what others have written"
    return next((why for g in range(len(recurrence.groups)) if (why := _not_linear(recurrence, g))), "")


def _not_linear(recurrence: Recurrence, group: int) -> str:
    chain = recurrence.chains[group]
    moving = {i for i in range(len(chain.loads)) if recurrence.state(group, i) is not None}
    for number in _needed(chain, [state.values[group] for state in recurrence.states]):
        operation = chain.operations[number - len(chain.loads)]
        slope = _slope(operation, moving)
        if slope is None:
            return f"`{operation.op}` of a state is not linear"
        if slope:
            moving.add(number)
    return ""


def _needed(chain: Chain, results: Sequence[int]) -> list[int]:
    """The operations, as numbers of values, that results are computed by, in order."""
    found, first = set(results), len(chain.loads)
    for number in reversed(range(first, first + len(chain.operations))):
        if number in found:
            found.update(chain.operations[number - first].ins)
    return sorted(number for number in found if number >= first)


def _slope(operation: Operation, moving: Container[int]) -> str | None:
    """The slope of an operation, from those of its values that move, `{0}`, `{1}` ..., and from the others' values; ""
    where none moves, None where it is not linear in them."""
    which = tuple(i in moving for i in operation.ins)
    if not any(which[:1] if operation.op in COPIES else which):
        return ""
    return "{0}" if operation.op in COPIES else LINEAR.get((operation.op, which))


LINEAR = {
    ("neg", (True,)): "-{0}",
    ("add", (True, True)): "{0} + {1}", ("add", (True, False)): "{0}", ("add", (False, True)): "{1}",
    ("sub", (True, True)): "{0} - {1}", ("sub", (True, False)): "{0}", ("sub", (False, True)): "-{1}",
    ("mul", (True, False)): "{0} * {1}", ("mul", (False, True)): "{0} * {1}", ("div", (True, False)): "{0} / {1}",
    ("where", (False, True, True)): "{0} ? {1} : {2}", ("where", (False, True, False)): "{0} ? {1} : 0",
    ("where", (False, False, True)): "{0} ? 0 : {2}",
}  # fmt: skip
"""The slope of an operation, by which of its values move."""


# --- text --------------------------------------------------------------------------------------------------------


class _Slopes(Struct, frozen=True):
    """Writes a step of composing: states are those from 0, `a1_0` is the slope of state 1 by what state 0 began as."""

    text: Text

    @property
    def recurrence(self) -> Recurrence:
        return self.text.recurrence

    @property
    def states(self) -> range:
        return range(len(self.recurrence.states))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Which state may depend on the beginning of which."""
        found = {(n, n) for n in self.states}
        reads = {(m, n) for g in range(len(self.recurrence.groups)) for m in self.states for n in self.read(g, m)}
        while more := {(m, n) for m, between in reads for k, n in found if k == between} - found:
            found |= more
        return sorted(found)

    def read(self, group: int, state: int) -> set[int]:
        """The states that the next value of one is computed from."""
        chain = self.recurrence.chains[group]
        value = self.recurrence.states[state].values[group]
        needed = _needed(chain, [value])
        values = {value, *(i for number in needed for i in chain.operations[number - len(chain.loads)].ins)}
        return {n for i in values if i < len(chain.loads) and (n := self.recurrence.state(group, i)) is not None}

    def step(self) -> list[str]:
        """A step of composing; `still` says whether no step so far has changed a state."""
        groups = []
        for g in range(len(self.recurrence.groups)):
            found, values = self.text.computed(g)
            found += [line for n in self.states for line in self.slopes(g, n, values)]
            found += self.text.handed_on(g, values)
            if not self.keeps(g):
                found.append("still = false;")
            groups.append(found)
        return self.text.step(groups)

    def keeps(self, group: int) -> bool:
        """Whether a group hands every state on as it is."""
        return all(state.values[group] in state.operands[group] for state in self.recurrence.states)

    def slopes(self, group: int, by: int, values: Sequence[str]) -> Iterator[str]:
        """The slopes of all values by the beginning of one state."""
        chain, kind, known = self.recurrence.chains[group], TYPES[self.text.views.dtype], dict[int, str]()
        for i in range(len(chain.loads)):
            state = self.recurrence.state(group, i)
            if state is not None and (state, by) in self.pairs:
                known[i] = f"g{i}_{by}"
                yield f"const {kind} g{i}_{by} = a{state}_{by};"
        for number in _needed(chain, [state.values[group] for state in self.recurrence.states]):
            operation = chain.operations[number - len(chain.loads)]
            said = _slope(operation, known.keys())
            if said:
                known[number] = f"g{number}_{by}"
                yield f"const {kind} g{number}_{by} = {said.format(*(known.get(i, values[i]) for i in operation.ins))};"
        for m, n in self.pairs:
            if n == by:
                yield f"a{m}_{n} = {known.get(self.recurrence.states[m].values[group], f'{kind}(0)')};"


class Kernel:
    """Writes the kernel. Of each chunk of each entry it keeps the states from which it was walked, those it came to
    (twice, in turn), slopes, and the chunk that it goes on from: places START, ENDS, OTHERS, SLOPES and SOURCE."""

    def __init__(self, recurrence: Recurrence, views: Views) -> None:
        self.recurrence, self.views, self.parts = recurrence, views, Text(recurrence, views)
        self.slopes = _Slopes(self.parts)
        self.states, self.pairs = self.slopes.states, self.slopes.pairs
        self.kind = TYPES[views.dtype]

    @property
    def kept(self) -> int:
        """Numbers that are kept of a chunk of an entry."""
        return 3 * len(self.states) + len(self.pairs) + 1

    def each(self, said: str, apart: str = " ") -> str:
        return apart.join(said.format(n=n) for n in self.states)

    def text(self, parameters: str, name: str) -> str:
        """The kernel; `parameters` are those of every kernel of a loop."""
        k, entries, count = self.parts.counter, self.recurrence.entries, len(self.states)
        kept = f"if (kept && {k} == {self.parts.size} - 1) "
        step = self.parts.step([self.parts.whole(g, "if (kept) ", kept) for g in range(len(self.recurrence.groups))])
        return f"""
extern "C" __global__ void __launch_bounds__(THREADS, {RESIDENT})
{name}({parameters}, Int steps, Int chunks, {self.kind}* borders) {{
  enum {{ START = 0, ENDS = {count}, OTHERS = {2 * count}, SLOPES = {3 * count}, SOURCE = {self.kept - 1} }};
  Team team{{counts, gridDim.x, 0}};
  const Int count = {self.views.names[BATCH]} * {entries}, i = Int(blockIdx.x) * THREADS + threadIdx.x;
  const Int chunk = i / count, entry = i % count, row = entry / {entries}, inner = row, outer = 0;
  const int e = int(entry % {entries});
  {lines(self.parts.before(), 2)}
  auto at = [&](int what, Int c) -> {self.kind}& {{ return borders[(what * chunks + c) * count + entry]; }};
  auto behind = [&](Int c) {{ return least((c + 1) * steps, {self.parts.size}); }};
  auto step = [&](const Inputs& in, Int {k}, bool kept, {self.each(self.kind + "& c{n}", ", ")}) {{
    {lines(step, 4)}
  }};
{self.composing()}
  meet(team);
{self.guessing()}
  meet(team);
{self.walking()}
{self.walking_again()}
}}
"""

    def composing(self) -> str:
        moved = [f"c{n}" for n in self.states] + [f"a{m}_{n}" for m, n in self.pairs]
        taken, given = ", ".join(f"{self.kind}& {name}" for name in moved), ", ".join(moved)
        slopes = " ".join(f"{self.kind} a{m}_{n} = {int(m == n)};" for m, n in self.pairs)
        kept = " ".join(f"at(SLOPES + {i}, chunk) = a{m}_{n};" for i, (m, n) in enumerate(self.pairs))
        return f"""  auto composed = [&](const Inputs& in, Int {self.parts.counter}, bool& still, {taken}) {{
    {lines(self.slopes.step(), 4)}
  }};
  if (chunk < chunks) {{
    bool still = true;
    {self.each(self.kind + " c{n} = 0;")}
    {slopes}
    {self.over("chunk * steps", "behind(chunk)", f"composed({{i}}, {{k}}, still, {given});", 4)}
    {self.each("at(OTHERS + {n}, chunk) = c{n};")}
    {kept}
    at(SOURCE, chunk) = still;
  }}"""

    def over(self, first: str, end: str, does: str, depth: int, unless: str = "", then: str = "") -> str:
        return lines(self.parts.loop(first, end, does, unless, then), depth)

    def guessing(self) -> str:
        """A chunk in which every state stays what it is hands on what it is given: the next one goes on from where
        that came from. Several chunks are asked for at once."""
        names = [f"OTHERS + {n}" for n in self.states] + [f"SLOPES + {i}" for i in range(len(self.pairs))] + ["SOURCE"]
        asked = " ".join(f"made[j][{i}] = at({name}, c);" for i, name in enumerate(names))
        slope = {pair: len(self.states) + i for i, pair in enumerate(self.pairs)}
        said = [
            " + ".join([f"made[j][{slope[m, n]}] * c{n}" for n in self.states if (m, n) in slope] + [f"made[j][{m}]"])
            for m in self.states
        ]
        guessed = " ".join(f"const {self.kind} guess{m} = {one};" for m, one in enumerate(said))
        return f"""  if (chunk == 0) {{
    Int source = -1;
    for (Int from = 0; from < chunks; from += {AHEAD}) {{
      {self.kind} made[{AHEAD}][{len(names)}];
#pragma unroll
      for (int j = 0; j < {AHEAD}; ++j) {{
        const Int c = least(from + j, chunks - 1);
        {asked}
      }}
#pragma unroll
      for (int j = 0; j < {AHEAD}; ++j) {{
        const Int c = from + j;
        if (c >= chunks) break;
        at(SOURCE, c) = {self.kind}(source);
        {self.each("at(START + {n}, c) = c{n};")}
        if (made[j][{len(names) - 1}] == 0) {{
          {guessed}
          {self.each("c{n} = guess{n};")}
          source = c;
        }}
      }}
    }}
  }}"""

    def walking(self) -> str:
        does = f"step({{i}}, {{k}}, true, {self.each('s{n}', ', ')});"
        return f"""  if (chunk < chunks) {{
    {self.each(self.kind + " s{n} = at(START + {n}, chunk);")}
    {self.over("chunk * steps", "behind(chunk)", does, 4)}
    {self.each("at(ENDS + {n}, chunk) = s{n};")}
  }}"""

    def walking_again(self) -> str:
        """Old and new states side by side, so that it ends where they are the same. The chunks of a round look at what
        the round before came to; it counts those that end otherwise. The last round, if it comes to that, is one
        thread's for each entry, in order."""
        old, new = self.each("x{n}", ", "), self.each("s{n}", ", ")
        same = self.each("same_bits(x{n}, s{n})", " && ")
        does = f"step({{i}}, {{k}}, false, {old}); step({{i}}, {{k}}, true, {new});"
        follows = self.each("same_bits(at(START + {n}, c), at(came + {n}, source < 0 ? 0 : source))", " & ")
        return f"""  auto follow = [&](Int from, int came) {{
    bool all = true;
#pragma unroll
    for (int j = 0; j < {AHEAD}; ++j) {{
      const Int c = least(from + j, chunks - 1), source = Int(at(SOURCE, c));
      all = all & ((source < 0) | ({follows}));
    }}
    return all;
  }};
  unsigned before = unsigned(chunks * count);
  for (int round = 0;; ++round) {{
    meet(team);
    const unsigned others = round ? load_acquire(counts + round) : 0;
    if (round && !others) break;
    const bool last = others > before - before / {HELPED} || round == {LINE - 1};
    if (round) before = others;
    const int came = round % 2 ? OTHERS : ENDS, comes = last ? came : ENDS + OTHERS - came;
    bool other = false;
    for (Int c = last ? 0 : chunk; c < (last ? chunk == 0 ? chunks : 0 : least(chunk + 1, chunks)); ++c) {{
      if (last && c % {AHEAD} == 0 && follow(c, came)) {{
        c += {AHEAD} - 1;
        continue;
      }}
      {self.each(self.kind + " e{n} = at(came + {n}, c);")}
      const Int source = Int(at(SOURCE, c));
      if (source >= 0) {{
        {self.each(self.kind + " x{n} = at(START + {n}, c), s{n} = at(came + {n}, source);")}
        {self.each("at(START + {n}, c) = s{n};")}
        bool same = {same};
        {self.over("c * steps", "behind(c)", does, 8, "same", f"same = {same};")}
        if (!same) {{
          {self.each("e{n} = s{n};")}
          other = true;
        }}
      }}
      {self.each("at(comes + {n}, c) = e{n};")}
    }}
    if (last) break;
    const int counted = __syncthreads_count(other);
    if (threadIdx.x == 0 && counted) atomicAdd(counts + round + 1, unsigned(counted));
  }}"""
