"""The time of recurrent layers on a GPU: ours through CuPy, beside PyTorch (cuDNN), JAX and our own CPU kernels.

    python benchmarks/gpu.py [--json gpu.json] [--minutes 4.5] [--contests lstm:32,100,512,512 ...] [--turns 9]
                             [--long 100000,512] [--swapped 5000,512] [--small 20,32,50]

Every result is first compared with ours in float64 on the CPU. Then the contestants take turns, each with as many calls
as fill a turn and a wait for the device at the end; the medians over the turns count. Data and weights are on the
device before, and results stay there, but for the rows "as called": there arrays of the device are given to `run` or
`gradients`, which give NumPy arrays. Generated kernels that are launched again are a CUDA graph, but for the rows "one
by one". "op by op, as a CUDA graph" replays what CuPy was asked for without asking again: what is left is the device's
own time.

All rows are in float32 with products in float32, unless they say otherwise. A row that fails tells its error, and the
others go on. What does not fit into the minutes is left out and named.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

from msgspec import structs

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"

import numpy as np  # noqa: E402
from contest.cells import CELLS  # noqa: E402
from contest.ours import compiled  # noqa: E402
from contest.problem import TASKS, Absent, Problem, Size, model, problem  # noqa: E402

import rnngraph as rg  # noqa: E402
from rnngraph.compilation.calls import call_of  # noqa: E402
from rnngraph.compilation.variant import Signature  # noqa: E402
from rnngraph.kernels.gpu.modules import OPTIONS, prelude  # noqa: E402
from rnngraph.kernels.gpu.target import GpuTarget  # noqa: E402
from rnngraph.runtime.choose_backend import backend_named  # noqa: E402
from rnngraph.runtime.cupy import GeneratedBackend  # noqa: E402
from rnngraph.runtime.gpu_loading import LARGE_CLUSTERS  # noqa: E402

CONTESTS = (
    "lstm:32,100,512,512", "lstm:32,100,128,128", "gru:32,100,512,512", "layer_norm_lstm:32,100,512,512",
    "gated:32,100,512,512",
)  # fmt: skip
"""Cell, then batch, steps, inputs and units."""
TURN, MOST = 0.06, 200
"""Seconds of calls in one turn, and the most calls."""
WRONG = 1e-3
"""An error that no rounding of float32 explains."""

Arrays = dict[str, Any]


@dataclass
class Contestant:
    """`call` starts the work, `wait` returns when it is done, `results` gives them by name (after a call of their own);
    `kernels` counts what a call launches."""

    call: Callable[[], Any]
    results: Callable[[], Arrays]
    wait: Callable[[], Any] = lambda: None
    kernels: Callable[[], float | None] = lambda: None


@dataclass
class Row:
    """What is told of one contestant: its error relative to the largest entry of a result, the kernels of a call, and
    the seconds per call of each turn; or what went wrong."""

    cell: str
    size: Size
    task: str
    name: str
    error: float = float("nan")
    kernels: float | None = None
    calls: int = 1
    turns: list[float] = field(default_factory=list)
    failed: str = ""

    def told(self) -> dict[str, Any]:
        found = {**vars(self), "size": str(self.size)}
        if self.turns:
            seconds = statistics.median(self.turns)
            found |= {"ms": 1e3 * seconds, "us_per_step": 1e6 * seconds / self.size.steps}
            found |= {"spread": (max(self.turns) - min(self.turns)) / seconds}
        return found


# --- ours ----------------------------------------------------------------------------------------------------------


def on_the_device(
    p: Problem,
    task: str,
    cell: str,
    unroll: str,
    kernels: str = "native",
    graph: bool = False,
    products: str = "",
    one_by_one: bool = False,
) -> Contestant:
    """The kernels alone: inputs and weights lie in the program's arrays. `graph`: captured once, and replayed, by what
    stands here; `one_by_one`: not captured, as generated kernels are."""
    steps, gradient = p.size.steps if unroll == "static" else None, task == "train"
    backend = backend_named("cupy", kernels, products)
    if one_by_one:
        backend = without_graphs()
    program = model(p.cell, p.size).compile(unroll, steps, backend, "float32", gradient=gradient)
    data, cotangents = {"x": p.x}, {"y": p.cotangent} if task == "train" else {}
    variant = program.variant(Signature(cotangents=("y",) if cotangents else None))
    checked, xp, wait = program.check(data), program.backend.xp, program.backend.wait
    bound = variant.bound(checked.sizes)
    given = {name: program.input(name, variant, checked, cotangents) for name in variant.inputs}
    bound.run(given, {name: xp.asarray(array) for name, array in p.weights.items()})
    types = {name: value.type for name, value in variant.looped.outputs.items()}
    rows = call_of(bound, frozenset(), types, variant.orders)

    def call() -> None:
        for way in range(len(bound.calls)):
            bound.go(way)

    def results() -> Arrays:
        return rows.fresh(bound.results, rows.gradients if cotangents else rows.shown)

    if not graph:
        return Contestant(call, after(call, wait, results), wait, lambda: launched(call, wait))
    captured = Captured(xp, call)
    for array in bound.results.values():  # what is compared is to come from the replay
        array.fill(0)
    return Contestant(captured.launch, after(captured.launch, captured.wait, results), captured.wait, captured.kernels)


def without_graphs() -> GeneratedBackend:
    backend = GeneratedBackend()
    backend.graphs = None
    return backend


def after(call: Callable[[], Any], wait: Callable[[], Any], results: Callable[[], Arrays]) -> Callable[[], Arrays]:
    def run() -> Arrays:
        call()
        wait()
        return results()

    return run


class Captured:
    """What a call asks of the device, as a CUDA graph; its passing arrays come from a pool of its own."""

    def __init__(self, cupy: Any, call: Callable[[], Any]) -> None:
        self.cupy, self.stream, self.pool = cupy, cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
        cupy.cuda.Device().synchronize()
        with self.stream, cupy.cuda.using_allocator(self.pool.malloc):
            call()
            self.stream.synchronize()
            self.stream.begin_capture()
            call()
            self.graph = self.stream.end_capture()

    def launch(self) -> None:
        self.graph.launch(self.stream)

    def wait(self) -> None:
        self.stream.synchronize()

    def kernels(self) -> float:
        """The nodes of the graph that are kernels."""
        runtime = ctypes.CDLL(f"libcudart.so.{self.cupy.cuda.runtime.runtimeGetVersion() // 1000}")
        graph, count, kind = ctypes.c_void_p(self.graph.graph), ctypes.c_size_t(), ctypes.c_int()
        runtime.cudaGraphGetNodes(graph, None, ctypes.byref(count))
        nodes = (ctypes.c_void_p * count.value)()
        runtime.cudaGraphGetNodes(graph, nodes, ctypes.byref(count))
        found = 0
        for node in nodes:
            runtime.cudaGraphNodeGetType(ctypes.c_void_p(node), ctypes.byref(kind))
            found += kind.value == 0
        return found


def as_called(p: Problem, task: str, cell: str) -> Contestant:
    """Arrays of the device in, NumPy arrays out."""
    import cupy

    x, cotangent = cupy.asarray(p.x), cupy.asarray(p.cotangent)
    there = replace(p, x=x, cotangent=cotangent, weights={n: cupy.asarray(w) for n, w in p.weights.items()})
    call, named = compiled(there, task, backend="cupy")
    return Contestant(call, lambda: named(call()))


def on_the_cpu(p: Problem, task: str, cell: str) -> Contestant:
    call, named = compiled(p, task, kernels="native")
    return Contestant(call, lambda: named(call()))


# --- others --------------------------------------------------------------------------------------------------------


def torch(p: Problem, task: str, cell: str, way: str, dtype: str = "float32", tf32: bool = False) -> Contestant:
    """`layer` is PyTorch's own, which cuDNN does; `loop` calls one step after another."""
    peer = absent_if_missing("torch")
    if not peer.cuda.is_available():
        raise Absent("PyTorch finds no device")
    made = getattr(import_module("contest.in_torch"), way)
    run, named = made(p, task, cell, device="cuda", dtype=getattr(peer, dtype))

    def call() -> Any:
        peer.backends.cudnn.allow_tf32 = peer.backends.cuda.matmul.allow_tf32 = tf32
        return run()

    wait = peer.cuda.synchronize
    return Contestant(call, lambda: named(call()), wait, lambda: launched(call, wait))


def jax(p: Problem, task: str, cell: str) -> Contestant:
    """A scan, compiled; the input's product before it."""
    peer = absent_if_missing("jax")
    if peer.default_backend() == "cpu":
        raise Absent("JAX finds no device")
    peer.config.update("jax_default_matmul_precision", "highest")
    call, named = import_module("contest.in_jax").scan(p, task, cell, True)
    return Contestant(call, lambda: named(call()))


def absent_if_missing(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise Absent(f"not installed: {error.name or error}") from error


Prepare = Callable[[Problem, str, str], Contestant]


def of(make: Callable[..., Contestant], *more: Any) -> Prepare:
    return lambda p, task, cell: make(p, task, cell, *more)


CONTESTANTS: Mapping[str, Prepare] = {
    "ours": of(on_the_device, "dynamic"),
    "ours, tf32": of(on_the_device, "dynamic", "native", False, "tf32"),
    "ours, bf16": of(on_the_device, "dynamic", "native", False, "bf16"),
    "ours, one by one": of(on_the_device, "dynamic", "native", False, "", True),
    "ours, as called": as_called,
    "ours, static": of(on_the_device, "static"),
    "ours, op by op": of(on_the_device, "dynamic", "cupy"),
    "ours, op by op, as a CUDA graph": of(on_the_device, "dynamic", "cupy", True),
    f"ours on the CPU, {os.cpu_count()} cores": on_the_cpu,
    "PyTorch, cuDNN": of(torch, "layer"),
    "PyTorch, cuDNN, tf32": of(torch, "layer", "float32", True),
    "PyTorch, cuDNN, float16": of(torch, "layer", "float16"),
    "PyTorch, a loop": of(torch, "loop"),
    "JAX, a scan": jax,
}


# --- counting ------------------------------------------------------------------------------------------------------


def launched(call: Callable[[], Any], wait: Callable[[], Any]) -> float | None:
    """Kernels that a call launches, as CUPTI sees them (through PyTorch's profiler); None where that is not there."""
    try:
        from torch.autograd import DeviceType
        from torch.profiler import ProfilerActivity, profile
    except ImportError:
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        call()
        wait()
    events = [e for e in seen.events() if e.device_type == DeviceType.CUDA]
    return sum(not e.name.startswith(("Mem", "gpu_")) for e in events) or None


# --- a contest -----------------------------------------------------------------------------------------------------


Playing = list[tuple[Row, Contestant]]


def contest(which: str, task: str, turns: int, late: Callable[[], bool], everyone: Playing) -> Iterator[Row]:
    """The rows of one cell and size; those who play are added to `everyone`. Who fails is told so; who is late takes no
    part."""
    cell, _, numbers = which.partition(":")
    size = Size(*map(int, numbers.split(",")))
    p = problem(CELLS[cell], size)
    call, named = compiled(p, task, kernels="numpy", dtype="float64")
    right, playing = named(call()), Playing()
    for name, prepare in CONTESTANTS.items():
        row = Row(cell, size, task, name)
        try:
            playing.append((row, entered(row, prepare, p, right, late)))
        except Absent as error:
            row.failed = f"left out: {error}"
        except Exception as error:
            row.failed = f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0][:200]}"
        print(f"  {name}: {row.failed or f'error {row.error:.1e}'}", flush=True)
        yield row
    for _ in range(turns):
        for row, one in playing:
            if not row.failed:
                take_turn(row, one)
    everyone += playing


def entered(row: Row, prepare: Prepare, p: Problem, right: Arrays, late: Callable[[], bool]) -> Contestant:
    """A contestant that is warm, and how many of its calls fill a turn."""
    if late():
        raise Absent("no time")
    one = prepare(p, row.task, row.cell)
    row.error = apart(one.results(), right)
    if not row.error < (30 * WRONG if "16" in row.name or "tf32" in row.name else WRONG):
        raise ValueError(f"wrong: an error of {row.error:.1e}")
    seconds = min(timed(one, 1) for _ in range(3))
    row.calls = min(MOST, max(1, round(TURN / seconds)))
    return one


def count(everyone: Playing, late: Callable[[], bool]) -> None:
    """Once all is timed, since who counts slows down whom he watches."""
    for row, one in everyone:
        if late() or row.failed:
            continue
        try:
            row.kernels = one.kernels()
        except Exception as error:
            print(f"not counted: {row.cell}, {row.task}, {row.name}: {type(error).__name__}: {error}")


def take_turn(row: Row, one: Contestant) -> None:
    try:
        row.turns.append(timed(one, row.calls))
    except Exception as error:
        row.failed = f"{type(error).__name__}: {error}"


def timed(one: Contestant, calls: int) -> float:
    """Seconds per call."""
    began = time.perf_counter()
    for _ in range(calls):
        one.call()
    one.wait()
    return (time.perf_counter() - began) / calls


def apart(found: Mapping[str, Any], right: Mapping[str, Any]) -> float:
    """The largest difference relative to the largest entry of its array."""
    pairs = [(np.asarray(found[name], float), array) for name, array in right.items()]
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in pairs)


# --- telling -------------------------------------------------------------------------------------------------------


def table(rows: list[Row]) -> str:
    """In Markdown."""
    lines = [
        "| cell | batch, steps, inputs, units | task | who | ms | us a step | kernels a step | error |",
        "|---|---|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        if row.failed.startswith("left out: PyTorch has"):
            continue  # a layer for a cell that has none, a loop where there is a layer
        told = row.told()
        start = f"| {row.cell} | {row.size} | {row.task} | {row.name}"
        if row.failed or not row.turns:
            lines.append(f"{start} | {row.failed or 'no turn'} | | | |")
            continue
        kernels = "" if row.kernels is None else f"{row.kernels / row.size.steps:.3g}"
        lines.append(f"{start} | {told['ms']:.3g} | {told['us_per_step']:.3g} | {kernels} | {row.error:.0e} |")
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """The card, its clocks as found, and the versions of everything."""
    query = "name,driver_version,clocks.sm,clocks.max.sm,memory.total"
    try:
        command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
        card = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        card = f"nvidia-smi: {error}"
    found = {"card": card, "when": time.strftime("%Y-%m-%d %H:%M"), "Python": platform.python_version()}
    for name in ("numpy", "cupy-cuda13x", "cupy-cuda12x", "torch", "nvidia-cudnn-cu13", "jax", "llvmlite"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


MEETING = """
extern "C" __global__ void __launch_bounds__(THREADS, 1) only_meet(unsigned* counts, Int times, Int parts) {
  Team team{counts + blockIdx.x / parts * 32, unsigned(parts), 0};
  for (Int n = 0; n < times; ++n) meet(team);
}
"""
OF_A_CLUSTER = """
extern "C" __global__ void __cluster_dims__(PARTS, 1, 1) __launch_bounds__(THREADS, 1) only_meet(Int times) {
  for (Int n = 0; n < times; ++n) cluster_barrier();
}
"""
HANDING_OVER = """
extern "C" __global__ void __cluster_dims__(PARTS, 1, 1) __launch_bounds__(THREADS, 1)
hand_on(float* far, Int times, int numbers) {
  float sum = 0, *rows = NEAR ? (float*)dynamic_shared() : far;
  const int part = int(blockIdx.x % PARTS), own = numbers / PARTS;
  const Share s{1, 0, 1, 0, 1, part, PARTS};
  cluster_barrier();
  for (Int n = 0; n < times; ++n) {
    float* to = rows + n % 2 * numbers;
    for (int i = part * own + threadIdx.x; i < (part + 1) * own; i += THREADS) {
      if (NEAR) hand_over(s, to + i, sum);
      else to[i] = sum;
    }
    cluster_barrier();
    for (int i = threadIdx.x; i < numbers; i += THREADS) sum += to[i];
  }
  cluster_barrier();
  if (sum != 0) far[0] = sum;
}
"""


def meetings(times: int = 10_000) -> str:
    """Microseconds that the blocks of a team take to meet, by how many they are: `shapes.MEETING` is a guess of it."""
    try:
        import cupy

        module = cupy.RawModule(code=prelude() + MEETING, options=OPTIONS, enable_cooperative_groups=True)
        kernel, found = module.get_function("only_meet"), []
        for parts in (2, 8, 32, 128):
            counts = cupy.zeros(32, "uint32")
            taken = elapsed(cupy, lambda n=parts, c=counts: kernel((n,), (256,), (c, np.int64(times), np.int64(n))))
            found.append(f"{parts}: {1e3 * taken / times:.2f}")
        return ", ".join(found)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def meetings_of_clusters(times: int = 10_000) -> str:
    """The same at the barrier of a cluster alone."""
    try:
        import cupy

        found = []
        for parts in (2, 8, 16):
            code = prelude() + OF_A_CLUSTER.replace("PARTS", str(parts))
            kernel = cupy.RawModule(code=code, options=OPTIONS).get_function("only_meet")
            cupy.cuda.driver.funcSetAttribute(kernel.kernel.ptr, LARGE_CLUSTERS, 1)
            taken = elapsed(cupy, lambda k=kernel, n=parts: k((n,), (256,), (np.int64(times),)))
            found.append(f"{parts}: {1e3 * taken / times:.2f}")
        return ", ".join(found)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def handing_over(times: int = 10_000, parts: int = 16) -> str:
    """Microseconds in which the blocks of a cluster hand over so many numbers to each other, in far and in shared
    memory: `shapes.CLUSTER_MEETING`, `HANDOVER` and `SENT_BYTES` are guesses of it."""
    try:
        import cupy

        found = []
        for way, numbers in product(("far", "near"), (128, 512, 2048, 8192)):
            code = prelude() + HANDING_OVER.replace("PARTS", str(parts)).replace("NEAR", "01"[way == "near"])
            kernel = cupy.RawModule(code=code, options=OPTIONS).get_function("hand_on")
            cupy.cuda.driver.funcSetAttribute(kernel.kernel.ptr, LARGE_CLUSTERS, 1)
            bytes, far = 8 * numbers, cupy.zeros(2 * numbers, "float32")
            kernel.max_dynamic_shared_size_bytes = bytes
            told = far, np.int64(times), np.int32(numbers)
            taken = elapsed(cupy, lambda k=kernel, t=told, b=bytes: k((parts,), (256,), t, shared_mem=b))
            found.append(f"{numbers} {way}: {1e3 * taken / times:.2f}")
        return ", ".join(found)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def elapsed(cupy: Any, call: Callable[[], Any]) -> float:
    """Milliseconds on the device."""
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    call()
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(begin, end))


class Walked(GeneratedBackend):
    """The device without chunks: every linear loop is walked."""

    def target(self, dtype: str) -> GpuTarget:
        return structs.replace(super().target(dtype), chunk=2**40)


def in_chunks(steps: int, units: int) -> str:
    """Milliseconds of a minGRU over one long row, in chunks at once and walked, by the bias of its gate: with 0 a state
    keeps about a half at each step, with -7 999 in 1,000."""
    try:
        text = f"model M {{\n input x: seq[8]\n net = MinGRU({units})\n y = unroll net over x\n output y\n}}\n"
        model, found = rg.parse(text), []
        programs = [model.compile(backend=one, dtype="float32") for one in ("cupy", Walked())]
        x = np.random.default_rng(0).normal(size=(1, steps, 8)).astype("float32")
        for bias in (0, -3, -5, -7):
            weights = model.init(0, "float32")
            weights["net.bias"][:units] = bias
            runs = [partial(program.run, {"x": x}, weights, device=True) for program in programs]
            results, times = zip(*[fastest(run, lambda found: found["y"][0, 0, :1].get()) for run in runs], strict=True)
            same = "" if np.array_equal(*(found["y"].get() for found in results)) else ", OTHER BITS"
            found.append(f"{bias}: {times[0]:.2f} and {times[1]:.2f}{same}")
        return "; ".join(found)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def replayed(steps: int, units: int, turns: int) -> str:
    """Microseconds of a small training step whose kernels are launched one by one and as a CUDA graph, from Python to
    the loss on the host; and the bytes of the device that the driver takes for the graph."""
    try:
        text = f"model M {{\n input x: seq[8]\n y = unroll LSTM({units}) over x\n output y\n loss mean(y * y)\n}}\n"
        model, found = rg.parse(text), []
        for name, backend in (("one by one", without_graphs()), ("as a graph", GeneratedBackend())):
            program, xp = model.compile(backend=backend, dtype="float32", gradient=True), backend.xp
            data = {"x": xp.asarray(np.random.default_rng(0).normal(size=(4, steps, 8)).astype("float32"))}
            weights = {n: xp.asarray(array) for n, array in model.init(0, "float32").items()}
            run = partial(program.gradients, data, weights, device=True)
            run()
            before = xp.cuda.runtime.memGetInfo()[0]
            run()
            taken = before - xp.cuda.runtime.memGetInfo()[0]
            _, fewest = fastest(run, lambda made: float(made[0]), turns)
            refused = backend.graphs is not None and backend.graphs.refused
            found.append(f"{name}{', refused' * refused}: {1e3 * fewest:.0f} ({taken:,} bytes)")
        return ", ".join(found)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def kept(steps: int, units: int) -> str:
    """Milliseconds of a training step of an LSTM, 32 rows, by where what its backward pass needs is kept."""
    try:
        text = f"model M {{\n input x: seq[8]\n y = unroll LSTM({units}) over x\n output y\n loss mean(y * y)\n}}\n"
        model, found = rg.parse(text), []
        data = {"x": np.random.default_rng(0).normal(size=(32, steps, 8)).astype("float32")}
        weights = model.init(0, "float32")
        for name, more in (("on the device", {}), ("on the host", {"swap": "host"}), ("sqrt", {"keep": "sqrt"})):
            program = model.compile(backend="cupy", dtype="float32", **{**model.training_step, **more})
            _, taken = fastest(partial(program.gradients, data, weights, device=True), lambda found: float(found[0]), 3)
            found.append(f"{name}: {taken:.1f}")
        return ", ".join(found)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def fastest(call: Callable[[], Any], wait: Callable[[Any], Any], times: int = 5) -> tuple[Any, float]:
    """What a call gives, and the milliseconds of the fastest of some more."""
    result, taken = call(), []
    for _ in range(times):
        begin = time.perf_counter()
        wait(call())
        taken.append(1e3 * (time.perf_counter() - begin))
    return result, min(taken)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contests", nargs="+", default=CONTESTS, help="cell:batch,steps,inputs,units")
    parser.add_argument("--minutes", type=float, default=4.5, help="after which nothing more is begun")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--long", default="100000,512", help="steps and units of the long row")
    parser.add_argument("--swapped", default="5000,512", help="steps and units of what is kept on the host")
    parser.add_argument("--small", default="20,32,50", help="steps and units of the small step, and its turns")
    parser.add_argument("--json", type=Path, help="where the figures are written after each contest")
    asked = parser.parse_args()
    end = time.monotonic() + 60 * asked.minutes
    rows, everyone, about = list[Row](), Playing(), machine()

    def late() -> bool:
        return time.monotonic() > end

    def keep() -> None:
        if asked.json:
            asked.json.write_text(json.dumps({"machine": about, "rows": [row.told() for row in rows]}, indent=1))

    about["a meeting, us"] = meetings()
    about["a meeting of a cluster, us"] = meetings_of_clusters()
    about["handing over in a cluster, us"] = handing_over()
    about["a minGRU over one long row, in chunks and walked, ms"] = in_chunks(*map(int, asked.long.split(",")))
    about["a small training step, us"] = replayed(*map(int, asked.small.split(",")))
    about["an LSTM by where the backward pass has its values, ms"] = kept(*map(int, asked.swapped.split(",")))
    print(about, flush=True)
    for which, task in product(asked.contests, TASKS):
        print(f"{which} {task}{': left out, no time' if late() else ''}", flush=True)
        try:
            if not late():
                rows += contest(which, task, asked.turns, late, everyone)
        except Exception as error:
            print(f"  {type(error).__name__}: {error}")
        keep()
    end += 30
    count(everyone, late)
    keep()
    print("\n" + table(rows))
    return int(any(row.failed.startswith("ValueError: wrong") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
