"""The native function that walks a table of kernels: loops over steps, moving addresses, threads that keep in step.

A table is a row of 64-bit words per entry. It is data, so any program, unrolled or not, runs without compiling more
than its kernels.
"""

from __future__ import annotations

import platform
import sys

from rnngraph.kernels.cpu.llvm_text import Function, Number

WORDS = 16
"""Words of an entry."""

KERNEL, ARGS, ROW0, ROW1, COL0, COL1, MOVES, MOVING, BARRIER = range(9)
STRIDE, JUMP, MASK, WANTED, BODY, COUNT, LOOP = range(9, WORDS)
"""What the words of an entry are: for a kernel its address, its arguments, its part of rows and columns, how many
arguments move and how, and whether all threads meet after it. Where JUMP is not 0 the rows are taken through lists:
`LISTED` rows at a distance of STRIDE, then as many JUMP further on; of those the ones whose byte in the mask, which is
the argument MASK, is WANTED (all, if MASK is 0). For a loop KERNEL is 0, BODY and COUNT are its entries and LOOP its
words below. For a fork LOOP is 0 too, BODY is where its tasks stand."""

LISTED = 192
"""Rows of a list."""

STEPS, REVERSE, PLACE, REST, REST_COUNT, FIRST, LAST, STEP = range(8)
UNTIL, SINCE = 8, 11
LOOP_WORDS = 14
"""Words of a loop: its number of steps, its direction, where its three places are kept (step, parity of the steps
done, and the other parity), the entries that stand for a step that is left out, and of which rows the flags are looked
at that tell of it: behind a step those that end the loop, before one those that let it begin. For each of the two
where the address of the flags stands, or 0, and how many moves it has and where they are."""

MOVE = 4
"""Words of a move: the argument, its address at place 0 (or -1: add to what stands there), the place it follows, and
the bytes from one to the next."""

NEXT, TASKS, TASK0 = 0, 1, 8
TASK_WORDS = 3
"""Words of a fork: the task that nobody has taken yet, the number of tasks; for each its table, the number of entries
and the address of places."""

COUNTER, PHASE, THREADS, LOOKS, JOB, DONE, FORK, OWN0 = 0, 8, 16, 17, 24, 32, 40, 48
"""Words shared by the threads, each that changes on its own line of the cache; from OWN0 on those of each thread. LOOKS
is how often a thread looks before it lets others run. FORK is the fork whose tasks can be taken, 0 where there is none,
OVER where there will be none in this job. An odd JOB has forks, and only the first thread has a table; of an even one
all have."""

OVER = 1

TABLE, ENTRIES, PLACES, INSIDE, OWN = 0, 1, 2, 3, 8
"""Words of one thread, a line of the cache: its table, the number of entries, the address of places; whether it may be
looking at a fork."""

X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")

SPINS = 4000
"""LOOKS where each thread has a core; where they share one, who is waited for cannot run meanwhile."""


OTHERS = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
"""The system's function that lets other threads run."""


def write(declared: set[str]) -> str:
    declared.add(f"declare i32 @{OTHERS}()")
    if X86:
        declared.add("declare void @llvm.x86.sse2.pause()")
    forks = [_take(), _fork(), _assist()]
    return "\n\n".join([_barrier(), _finished(), _moves(), _through_list(), _walk(), *forks, _start(), _serve()])


PATIENCE = 12000
"""How often a helping thread looks for a job before it goes to sleep."""


def _spin(to: Function, address: str, how: str, value: Number, limit: int | None = None) -> str:
    """Waits until the word compares so; returns the number of looks it took, at most `limit`."""
    looks, name, most = to.variable("i64"), to.fresh(), to.word("%shared", LOOKS)
    to.do(f"store i64 0, ptr {looks}")
    to.do(f"br label %{name}.look")
    to.lines.append(f"{name}.look:")
    now = to.let(f"load atomic i64, ptr {address} acquire, align 8")
    ready = to.let(f"icmp {how} i64 {now}, {value}")
    to.do(f"br i1 {ready}, label %{name}.done, label %{name}.wait")
    to.lines.append(f"{name}.wait:")
    count = to.let(f"load i64, ptr {looks}")
    to.do(f"store i64 {to.add(count, 1)}, ptr {looks}")
    if limit is not None:
        over = to.let(f"icmp sgt i64 {count}, {limit}")
        to.do(f"br i1 {over}, label %{name}.done, label %{name}.go")
        to.lines.append(f"{name}.go:")
    if X86:  # tells the CPU that this thread only waits
        to.do("call void @llvm.x86.sse2.pause()")
    tired = to.let(f"icmp sgt i64 {count}, {most}")
    with to.when(tired):
        to.do(f"call i32 @{OTHERS}()")
    to.do(f"br label %{name}.look")
    to.lines.append(f"{name}.done:")
    return to.let(f"load i64, ptr {looks}")


def _barrier() -> str:
    """All threads meet: the last to come starts the next phase."""
    to = Function("barrier", ["ptr %shared"])
    threads = to.word("%shared", THREADS)
    alone = to.let(f"icmp sgt i64 {threads}, 1")
    with to.when(alone):
        phase_at, counter = to.at("%shared", PHASE, "i64"), to.at("%shared", COUNTER, "i64")
        phase = to.let(f"load atomic i64, ptr {phase_at} acquire, align 8")
        before = to.let(f"atomicrmw add ptr {counter}, i64 1 acq_rel")
        last = to.let(f"icmp eq i64 {to.add(before, 1)}, {threads}")
        with to.when(last):
            to.do(f"store atomic i64 0, ptr {counter} release, align 8")
            to.do(f"store atomic i64 {to.add(phase, 1)}, ptr {phase_at} release, align 8")
        _spin(to, phase_at, "ne", phase)
    return to.text()


def _finished() -> str:
    """1 where every flag of a row of bytes from first to last, at a distance of so many, holds."""
    to = Function("finished", ["ptr %flags", "i64 %first", "i64 %last", "i64 %step"], "i64")
    all = to.variable("i64")
    to.do(f"store i64 1, ptr {all}")
    with to.loop("%first", "%last", "%step") as i:
        flag = to.let(f"load i8, ptr {to.at('%flags', i, 'i8')}")
        with to.when(to.let(f"icmp eq i8 {flag}, 0")):
            to.do(f"store i64 0, ptr {all}")
    to.do(f"ret i64 {to.let(f'load i64, ptr {all}')}")
    return to.text()


def _moves() -> str:
    """Sets the arguments that move to their addresses at the places of the running loops."""
    to = Function("moves", ["ptr %args", "i64 %count", "ptr %moves", "ptr %places"])
    with to.loop(0, "%count") as i:
        move = to.at("%moves", to.mul(i, MOVE), "i64")
        argument, base, follows, bytes = (to.word(move, j) for j in range(MOVE))
        slot = to.at("%args", argument, "i64")
        old = to.let(f"load i64, ptr {slot}")
        more = to.let(f"icmp eq i64 {base}, -1")
        start = to.let(f"select i1 {more}, i64 {old}, i64 {base}")
        place = to.word("%places", follows)
        to.do(f"store i64 {to.add(start, to.mul(place, bytes))}, ptr {slot}")
    return to.text()


def _through_list() -> str:
    """Calls the kernel of an entry for its rows, list by list; where they lie in one run without a list."""
    to = Function("through_list", ["ptr %item", "ptr %args"])
    kernel, columns = to.pointer("%item", KERNEL), [f"i64 {to.word('%item', w)}" for w in (COL0, COL1)]
    last, stride, wanted = (to.word("%item", w) for w in (ROW1, STRIDE, WANTED))
    masked = to.let(f"icmp ne i64 {to.word('%item', MASK)}, 0")
    mask = to.pointer("%args", to.word("%item", MASK))
    rows, filled = to.variable(f"[{LISTED} x i64]"), to.variable("i64")
    with to.loop(to.word("%item", ROW0), last, to.word("%item", JUMP)) as low:
        high = to.least(to.add(low, to.mul(stride, LISTED)), last)
        to.do(f"store i64 0, ptr {filled}")
        with to.loop(low, high, stride) as row:
            place, taken = to.let(f"load i64, ptr {filled}"), to.variable("i64")
            to.do(f"store i64 1, ptr {taken}")
            with to.when(masked):
                byte = to.let(f"load i8, ptr {to.at(mask, row, 'i8')}")
                same = to.let(f"icmp eq i64 {to.let(f'zext i8 {byte} to i64')}, {wanted}")
                to.do(f"store i64 {to.let(f'zext i1 {same} to i64')}, ptr {taken}")
            to.do(f"store i64 {row}, ptr {to.at(rows, place, 'i64')}")
            to.do(f"store i64 {to.add(place, to.let(f'load i64, ptr {taken}'))}, ptr {filled}")
        count = to.let(f"load i64, ptr {filled}")
        run = to.let(f"icmp eq i64 {count}, {to.sub(high, low)}")
        first, end = (to.let(f"select i1 {run}, i64 {a}, i64 {b}") for a, b in ((low, 0), (high, count)))
        listed = to.let(f"select i1 {run}, ptr null, ptr {rows}")
        with to.when(to.let(f"icmp sgt i64 {count}, 0")):
            to.do(f"call void {kernel}(ptr %args, i64 {first}, i64 {end}, {', '.join(columns)}, ptr {listed})")
    return to.text()


def _walk() -> str:
    """Runs entries first to last of a table."""
    to = Function("walk", ["ptr %table", "i64 %first", "i64 %last", "ptr %places", "ptr %shared"])
    with to.loop("%first", "%last") as i:
        entry = to.at("%table", to.mul(i, WORDS), "i64")
        kernel = to.word(entry, KERNEL)
        plain = to.let(f"icmp ne i64 {kernel}, 0")
        with to.when(plain):
            args = to.pointer(entry, ARGS)
            to.do(
                f"call void @moves(ptr {args}, i64 {to.word(entry, MOVES)}, ptr {to.pointer(entry, MOVING)}, "
                "ptr %places)"
            )
            direct = to.let(f"icmp eq i64 {to.word(entry, JUMP)}, 0")
            with to.when(direct):
                ranges = ", ".join(f"i64 {to.word(entry, w)}" for w in (ROW0, ROW1, COL0, COL1))
                to.do(f"call void {to.let(f'inttoptr i64 {kernel} to ptr')}(ptr {args}, {ranges}, ptr null)")
            with to.when(to.let(f"xor i1 {direct}, true")):
                to.do(f"call void @through_list(ptr {entry}, ptr {args})")
        looped = to.let(f"icmp ne i64 {to.word(entry, LOOP)}, 0")
        with to.when(to.let(f"xor i1 {plain}, true")):
            with to.when(looped):
                _steps(to, entry)
            with to.when(to.let(f"xor i1 {looped}, true")):
                to.do(f"call void @open_fork(ptr {to.pointer(entry, BODY)}, ptr %shared)")
        with to.when(to.let(f"icmp ne i64 {to.word(entry, BARRIER)}, 0")):
            to.do("call void @barrier(ptr %shared)")
    return to.text()


def _steps(to: Function, entry: str) -> None:
    """One loop: its body at every step; before it begins and once it has ended early, what stands for a step."""
    body, count, loop = to.pointer(entry, BODY), to.word(entry, COUNT), to.pointer(entry, LOOP)
    steps, place = to.word(loop, STEPS), to.word(loop, PLACE)
    back = to.let(f"icmp ne i64 {to.word(loop, REVERSE)}, 0")
    until, since = (to.let(f"icmp ne i64 {to.word(loop, look)}, 0") for look in (UNTIL, SINCE))
    idle = to.variable("i64")
    to.do(f"store i64 {to.let(f'zext i1 {since} to i64')}, ptr {idle}")
    where = to.at("%places", place, "i64")
    with to.loop(0, steps) as n:
        turned = to.sub(to.sub(steps, 1), n)
        to.do(f"store i64 {to.let(f'select i1 {back}, i64 {turned}, i64 {n}')}, ptr {where}")
        parity = to.let(f"and i64 {n}, 1")
        to.do(f"store i64 {parity}, ptr {to.at(where, 1, 'i64')}")
        to.do(f"store i64 {to.let(f'xor i64 {parity}, 1')}, ptr {to.at(where, 2, 'i64')}")
        waits = to.let(f"and i1 {since}, {_holds(to, idle)}")
        with to.when(waits):
            _look(to, loop, SINCE, idle)
        over = _holds(to, idle)
        with to.when(to.let(f"xor i1 {over}, true")):
            to.do(f"call void @walk(ptr {body}, i64 0, i64 {count}, ptr %places, ptr %shared)")
            with to.when(until):
                _look(to, loop, UNTIL, idle)
        with to.when(over):
            rest, left = to.pointer(loop, REST), to.word(loop, REST_COUNT)
            to.do(f"call void @walk(ptr {rest}, i64 0, i64 {left}, ptr %places, ptr %shared)")


def _holds(to: Function, flag: str) -> str:
    return to.let(f"icmp ne i64 {to.let(f'load i64, ptr {flag}')}, 0")


def _look(to: Function, loop: str, look: int, idle: str) -> None:
    """Notes whether there is nothing to do for any row of this thread."""
    address = to.pointer(loop, look)
    moves = f"i64 {to.word(loop, look + 1)}, ptr {to.pointer(loop, look + 2)}"
    to.do(f"call void @moves(ptr {address}, {moves}, ptr %places)")
    rows = ", ".join(f"i64 {to.word(loop, w)}" for w in (FIRST, LAST, STEP))
    to.do(f"store i64 {to.let(f'call i64 @finished(ptr {to.pointer(address, 0)}, {rows})')}, ptr {idle}")


# --- forks ---
#
# The first thread opens a fork and takes tasks as long as there are any; helping threads take some as they come. A
# helping thread says that it is inside before it looks whether there is a fork, and the first thread goes on once the
# fork is closed and nobody is inside: so all that was taken is done, and who comes late is not waited for.


def _take() -> str:
    """Takes tasks of a fork until none is left, and closes it."""
    to = Function("take", ["ptr %fork", "ptr %shared"])
    count, task = to.word("%fork", TASKS), ""

    def some_left() -> str:
        nonlocal task
        task = to.let(f"atomicrmw add ptr {to.at('%fork', NEXT, 'i64')}, i64 1 acq_rel")
        return to.let(f"icmp slt i64 {task}, {count}")

    with to.while_(some_left):
        _walk_table(to, to.at("%fork", to.add(TASK0, to.mul(task, TASK_WORDS)), "i64"))
    to.do(f"store atomic i64 0, ptr {to.at('%shared', FORK, 'i64')} seq_cst, align 8")
    return to.text()


def _fork() -> str:
    """All tasks of a fork, with those who help."""
    to = Function("open_fork", ["ptr %fork", "ptr %shared"])
    address = to.let("ptrtoint ptr %fork to i64")
    to.do(f"store atomic i64 0, ptr {to.at('%fork', NEXT, 'i64')} release, align 8")
    to.do(f"store atomic i64 {address}, ptr {to.at('%shared', FORK, 'i64')} seq_cst, align 8")
    to.do("call void @take(ptr %fork, ptr %shared)")
    to.do("fence seq_cst")
    with to.loop(1, to.word("%shared", THREADS)) as thread:
        _spin(to, to.at(_own(to, thread), INSIDE, "i64"), "eq", 0)
    return to.text()


def _assist() -> str:
    """A helping thread in a job with forks, until it is over."""
    to = Function("assist", ["ptr %shared", "i64 %thread"])
    at, inside = to.at("%shared", FORK, "i64"), to.at(_own(to, "%thread"), INSIDE, "i64")
    name = to.fresh()
    to.do(f"br label %{name}.again")
    to.lines.append(f"{name}.again:")
    _spin(to, at, "ne", 0)
    to.do(f"store atomic i64 1, ptr {inside} seq_cst, align 8")
    to.do("fence seq_cst")
    found = to.let(f"load atomic i64, ptr {at} seq_cst, align 8")
    over = to.let(f"icmp eq i64 {found}, {OVER}")
    with to.when(to.let(f"icmp ugt i64 {found}, {OVER}")):
        to.do(f"call void @take(ptr {to.let(f'inttoptr i64 {found} to ptr')}, ptr %shared)")
    to.do(f"store atomic i64 0, ptr {inside} release, align 8")
    to.do(f"br i1 {over}, label %{name}.leave, label %{name}.again")
    to.lines.append(f"{name}.leave:")
    return to.text()


# --- jobs ---


def _own(to: Function, thread: Number) -> str:
    """The words of a thread."""
    return to.at("%shared", to.add(OWN0, to.mul(thread, OWN)), "i64")


def _walk_table(to: Function, words: str) -> None:
    table, count, places = to.pointer(words, TABLE), to.word(words, ENTRIES), to.pointer(words, PLACES)
    to.do(f"call void @walk(ptr {table}, i64 0, i64 {count}, ptr {places}, ptr %shared)")


def _has_forks(to: Function, job: str) -> str:
    return to.let(f"icmp ne i64 {to.let(f'and i64 {job}, 1')}, 0")


def _start() -> str:
    """Does the first thread's part of a job, and waits for the rest, or says that there are no more forks."""
    to = Function("start", ["ptr %shared"])
    forks = _has_forks(to, to.word("%shared", JOB))
    _walk_table(to, _own(to, 0))
    with to.when(forks):
        to.do(f"store atomic i64 {OVER}, ptr {to.at('%shared', FORK, 'i64')} seq_cst, align 8")
    with to.when(to.let(f"xor i1 {forks}, true")):
        _spin(to, to.at("%shared", DONE, "i64"), "eq", to.sub(to.word("%shared", THREADS), 1))
    return to.text()


def _serve() -> str:
    """A helping thread: waits for a job other than the last one seen and does its part; returns the job seen last once
    it has waited long in vain."""
    to = Function("serve", ["ptr %shared", "i64 %thread", "i64 %seen"], "i64")
    last = to.variable("i64")
    to.do(f"store i64 %seen, ptr {last}")
    job_at = to.at("%shared", JOB, "i64")
    name = to.fresh()
    to.do(f"br label %{name}.again")
    to.lines.append(f"{name}.again:")
    seen = to.let(f"load i64, ptr {last}")
    _spin(to, job_at, "ne", seen, PATIENCE)
    now = to.let(f"load atomic i64, ptr {job_at} acquire, align 8")
    fresh = to.let(f"icmp ne i64 {now}, {seen}")
    to.do(f"br i1 {fresh}, label %{name}.work, label %{name}.leave")
    to.lines.append(f"{name}.work:")
    to.do(f"store i64 {now}, ptr {last}")
    forks = _has_forks(to, now)
    with to.when(forks):
        to.do("call void @assist(ptr %shared, i64 %thread)")
    with to.when(to.let(f"xor i1 {forks}, true")):
        _walk_table(to, _own(to, "%thread"))
        to.let(f"atomicrmw add ptr {to.at('%shared', DONE, 'i64')}, i64 1 acq_rel")
    to.do(f"br label %{name}.again")
    to.lines.append(f"{name}.leave:")
    to.do(f"ret i64 {to.let(f'load i64, ptr {last}')}")
    return to.text()
