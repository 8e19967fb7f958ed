"""Kernels in CUDA C++, compiled for the CPU and run on it.

    module = compiled('extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }')
    module.launch("twice", 1, 4, (array,))

A launch raises `Fault` where threads wait for each other without end, meet at different barriers, or write behind an
array in shared memory. `sanitized` runs it in a process of its own, where ThreadSanitizer tells races between threads
(and blocks), AddressSanitizer what lies outside of an array. Blocks run one after another unless the launch is
cooperative or the blocks are a cluster. Shared memory begins as nan, and is nan when its block has ended.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.lib.array_utils import byte_bounds

from tests.support.cuda.kept import folder, kept

HERE = Path(__file__).resolve().parent
FLAGS = ("-std=c++17", "-fPIC", "-w", "-U_FORTIFY_SOURCE")
HEADER = HERE / "emulator.h"
OF_KERNELS = ("-ffp-contract=off", "-fvisibility=hidden")
"""No kernel runs long enough here to be worth optimising: that took longer than all else together."""
LINKED = ("-shared", "-nostdlib")
"""With no library: the scheduler, which is loaded before, has them all, and each takes time to look through."""
IGNORED = ("-std=", "--std=", "-fmad", "--fmad", "-ftz", "--ftz", "-default-device", "--device-as-default", "-lineinfo")
"""Options of NVRTC that mean nothing here."""

MAIN = """
extern "C" int emulated_main(const emulated::Kernel*, const char*);
int main(int, char** given) { return emulated_main(emulated_kernels, given[1]); }
"""
AVAILABLE = shutil.which("g++") is not None
QUICK = shutil.which("clang++") or "g++"
"""What compiles kernels: Clang, where there is one, takes half of the time."""
ITS_OWN = ("-Xclang", "-fno-pch-timestamp") if QUICK != "g++" else ("-fno-gnu-unique",)


class Fault(AssertionError):
    """What a kernel must not do."""


class CompileError(Exception):
    """All that the compiler said."""


# --- text --------------------------------------------------------------------------------------------------------

ATTRIBUTE = re.compile(r"__(launch_bounds|cluster_dims)__\s*\(([^()]*)\)")
KERNEL = re.compile(r'extern\s+"C"\s+__global__([^;{(]*(?:\([^()]*\)[^;{(]*)*?)\b(\w+)\s*\(')
SHARED = re.compile(r"\b__shared__\s+((?:__align__\s*\(\s*\d+\s*\)\s*)?)([\w:<>, ]+?)\s+(\w+)\s*((?:\[[^;]*?\])*)\s*;")


def translated(text: str, options: Sequence[str]) -> str:
    """The text with arrays in shared memory that are each block's own, and behind it the table of its kernels.

    What options define is defined before it, as behind the header: `-DT=3` is nothing to that.
    """
    defined = "".join(f"#define {name} {value}\n" for name, value in defines(options).items())
    numbers = iter(range(text.count("__shared__")))
    text = SHARED.sub(lambda m: f"auto& {m[3]} = emulated_array<{m[2]}{m[4]}, {next(numbers)}>();", text)
    entries = ((name, f"emulated::Entry<{name}>") for name in kernels(text))
    rows = "".join(f'{{"{name}", {entry}::call, {entry}::parameters}}, ' for name, entry in entries)
    exported = 'extern "C" __attribute__((visibility("default"))) const emulated::Kernel'
    return f"{defined}#line 1\n{text}\n{exported} emulated_kernels[] = {{{rows}{{}}}};\n"


def defines(options: Sequence[str]) -> dict[str, str]:
    for option in options:
        if not option.startswith(("-D", *IGNORED)):
            raise ValueError(f"the emulator does not know the option {option}")
    given = (option[2:].partition("=") for option in options if option.startswith("-D"))
    return {name: value or "1" for name, _, value in given}


def kernels(text: str) -> dict[str, dict[str, str]]:
    """The kernels of a text by name, each with its attributes: `launch_bounds`, `cluster_dims`."""
    bare = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    return {m[2]: {a[1]: a[2] for a in ATTRIBUTE.finditer(m[1])} for m in KERNEL.finditer(bare)}


# --- building ----------------------------------------------------------------------------------------------------


@cache
def toolchain(compiler: str) -> str:
    """What all depends on."""
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, text=True).stdout
    return version + "".join((HERE / name).read_text() for name in ("emulator.h", "emulator.cc"))


def built(name: str, *command: str, text: str = "", compiler: str = "g++") -> Path:
    """What the command makes of the text, which is in kernel.cu."""

    def make(place: Path) -> None:
        (place / "kernel.cu").write_text(text)
        done = subprocess.run(
            [compiler, *FLAGS, *command, "-o", name], cwd=place, capture_output=True, text=True, check=False,
            env=os.environ | {"LC_ALL": "C"},
        )  # fmt: skip
        if done.returncode:
            raise CompileError(done.stderr)

    without = (part.replace(str(HERE), "").replace(str(folder()), "") for part in command)
    return kept(name, (toolchain(compiler), *without, text), make)


def runtime() -> Path:
    return built("emulator.o", "-O1", "-c", str(HERE / "emulator.cc"))


@cache
def read_header() -> Path:
    """The header as the compiler keeps it once it has read it, which takes a third of the time of a small kernel.

    It lies beside the text that it was made of, for Clang looks at that again.
    """
    header = kept(HEADER.name, (HEADER.read_text(),), lambda place: shutil.copyfile(HEADER, place / HEADER.name))
    return built(f"{HEADER.name}.gch", *OF_KERNELS, *ITS_OWN, "-x", "c++-header", str(header), compiler=QUICK)


@cache
def library() -> Any:
    """The scheduler, one for all modules. While it runs, no other thread of Python does: its state is global."""
    loaded = ctypes.PyDLL(str(built("emulator.so", "-shared", str(runtime()))), ctypes.RTLD_GLOBAL)
    loaded.emulated_launch.restype = ctypes.c_char_p
    return loaded


# --- running -----------------------------------------------------------------------------------------------------


class Entry(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("call", ctypes.c_void_p), ("parameters", ctypes.POINTER(ctypes.c_uint)))


class Module:
    """The kernels of a text."""

    def __init__(self, text: str, options: Sequence[str] = ()) -> None:
        self.text, self.options = text, tuple(options)
        self.translated, self.attributes = translated(text, options), kernels(text)
        header = str(read_header().with_suffix(""))
        flags = *OF_KERNELS, *ITS_OWN, "-include", header, *LINKED, "-x", "c++", "kernel.cu"
        made = built("kernel.so", *flags, text=self.translated, compiler=QUICK)
        library()
        table = (Entry * (len(self.attributes) + 1)).in_dll(ctypes.PyDLL(str(made)), "emulated_kernels")
        self.kernels = {entry.name.decode(): entry for entry in table if entry.name}

    def told(self, name: str, attribute: str, usual: int) -> int:
        """The first number of an attribute of a kernel, which may be a name that an option defines."""
        first = self.attributes[name].get(attribute, "").split(",")[0].strip()
        number = defines(self.options).get(first, first)
        return int(number) if number.isdigit() else usual

    def launch(
        self,
        name: str,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        args: Sequence[Any],
        shared: int = 0,
        cooperative: bool = False,
        cluster: int | None = None,
        seed: int = 0,
    ) -> None:
        """Runs a kernel. `seed` is of a random order of threads, 0 for one after the other.

        An argument is an array, whose address goes in, or a number as CuPy takes it: NumPy's types as they are, of
        Python an int has 8 bytes and a float is a double. `cluster` is that of `__cluster_dims__`, unless told.
        """
        shape, cluster = self.shape(name, grid, block, cluster)
        given = [argument(value) for value in args]
        self.check(name, given)
        table = (ctypes.c_void_p * len(given))(*(value.ctypes.data for value, _ in given))
        wrong = library().emulated_launch(
            ctypes.byref(self.kernels[name]), table, (ctypes.c_uint * 4)(*shape), ctypes.c_size_t(shared), cluster,
            cooperative, ctypes.c_ulonglong(seed),
        )  # fmt: skip
        if wrong:
            raise Fault(quoted(f"{name}: {wrong.decode()}", self.text))

    def program(self, sanitizer: str) -> Path:
        """One that runs a launch, told in a file, under a sanitizer."""
        flags = *OF_KERNELS, "-include", str(HEADER), "-g", f"-fsanitize={sanitizer}", "-x", "c++", "kernel.cu"
        return built("kernel", *flags, "-x", "none", str(runtime()), text=self.translated + MAIN)

    def shape(
        self, name: str, grid: int | tuple[int, ...], block: int | tuple[int, ...], cluster: int | None
    ) -> tuple[list[int], int]:
        """Blocks and threads in x and y, and the blocks of a cluster; checked."""
        if name not in self.kernels:
            raise Fault(f"there is no kernel {name}, only {', '.join(self.kernels)}")
        shape, threads = [*plane(grid), *plane(block)], math.prod(plane(block))
        cluster, most = cluster or self.told(name, "cluster_dims", 1), self.told(name, "launch_bounds", 1024)
        if threads > most:
            raise Fault(f"{name}: {threads} threads in a block, at most {most} are allowed")
        if shape[0] % cluster:
            raise Fault(f"{name}: {shape[0]} blocks are no whole number of clusters of {cluster}")
        return shape, cluster

    def check(self, name: str, given: Sequence[tuple[np.ndarray, np.dtype | None]]) -> None:
        """That there are as many arguments as parameters, each of its kind and size."""
        wanted = list(parameters(self.kernels[name]))
        if len(wanted) != len(given):
            raise Fault(f"{name}: {len(given)} arguments, the kernel has {len(wanted)}")
        for i, ((value, of), (kind, pointee)) in enumerate(zip(given, wanted, strict=True)):
            if not fits(value.dtype, of, kind, pointee):
                has = f"an array of {of}" if of else f"{value.dtype}"
                wants = f"a pointer to {pointee}" if pointee else f"{kind}"
                raise Fault(f"{name}: argument {i} is {has}, the kernel wants {wants}")


@cache
def compiled(text: str, options: tuple[str, ...] = ()) -> Module:
    return Module(text, options)


def plane(size: int | tuple[int, ...]) -> tuple[int, int]:
    x, y, z = (*(size if isinstance(size, tuple) else (size,)), 1, 1)[:3]
    if z != 1:
        raise ValueError("the emulator has no third dimension")
    return int(x), int(y)


def argument(value: Any) -> tuple[np.ndarray, np.dtype | None]:
    """What goes in, and of an array, whose address that is, the type."""
    if isinstance(value, np.ndarray):
        return np.array(value.ctypes.data), value.dtype
    if value is None:
        return np.array(0), np.dtype("V1")
    if not isinstance(value, bool | int | float | np.generic):
        raise TypeError(f"Unsupported type {type(value)}")
    return np.array(value), None


def parameters(entry: Entry) -> Any:
    """Of each parameter the type; of a pointer, that of what it points to."""
    i = 0
    while code := entry.parameters[i]:
        kind, size, of, bytes = code.to_bytes(4, "little")
        yield numpy_type("u" if of else chr(kind), size), numpy_type(chr(of), bytes) if of else None
        i += 1


def numpy_type(kind: str, size: int) -> np.dtype:
    return np.dtype("?" if kind == "b" else f"{kind}{size}")


def fits(given: np.dtype, of: np.dtype | None, kind: np.dtype, pointee: np.dtype | None) -> bool:
    """Bytes may be taken for anything, and an address may be given as a number."""
    if pointee and of:
        return 1 in (of.itemsize, pointee.itemsize) or same(of, pointee)
    return not of and (same(given, kind) or (given.itemsize == kind.itemsize and kind.kind == "V"))


def same(a: np.dtype, b: np.dtype) -> bool:
    return a.itemsize == b.itemsize and (a.kind == "f") == (b.kind == "f")


def quoted(message: str, text: str) -> str:
    """With the lines that a message names."""
    lines = text.split("\n")
    return re.sub(r"line (\d+)", lambda m: f"line {m[1]} `{lines[int(m[1]) - 1].strip()}`", message)


# --- under a sanitizer -------------------------------------------------------------------------------------------


class Launch(Struct, frozen=True):
    """A launch as it was asked for, with copies of the memory."""

    module: Module
    name: str
    shape: tuple[int, ...]
    shared: int
    cluster: int
    cooperative: bool
    seed: int
    packed: bytes

    @classmethod
    def of(
        cls,
        module: Module,
        name: str,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        args: Sequence[Any],
        shared: int = 0,
        cooperative: bool = False,
        cluster: int | None = None,
        seed: int = 0,
    ) -> Launch:
        shape, cluster = module.shape(name, grid, block, cluster)
        module.check(name, [argument(value) for value in args])
        return cls(module, name, tuple(shape), shared, cluster, cooperative, seed, packed(args))

    def sanitized(self, kind: str) -> str:
        place = list(self.module.kernels).index(self.name)
        numbers = place, *self.shape, self.shared, self.cluster, self.cooperative, self.seed
        found = {"TSAN_OPTIONS": "exitcode=66 history_size=4", "ASAN_OPTIONS": "detect_leaks=0"}
        with tempfile.NamedTemporaryFile() as file:
            file.write(struct.pack("<9q", *numbers) + self.packed)
            file.flush()
            command = [str(self.module.program(kind)), file.name]
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=os.environ | found, timeout=600
            )
        assert not done.returncode or done.stderr, f"ended with {done.returncode}"
        return quoted(done.stderr, self.module.text)


def sanitized(
    text: str, name: str, grid: Any, block: Any, args: Sequence[Any], kind: str = "thread",
    options: tuple[str, ...] = (), **told: Any,
) -> str:  # fmt: skip
    """What the sanitizer ("thread" or "address"), or else the emulator, says of a launch; "" for nothing.

    The arrays stay as they are: copies are given, each with an end of its own. Those that overlap do so there too.
    """
    return Launch.of(compiled(text, options), name, grid, block, args, **told).sanitized(kind)


def packed(args: Sequence[Any]) -> bytes:
    """The memory that arrays are in, region by region; of each argument the region (-1 for a number) and the value."""
    bounds = [byte_bounds(value) if isinstance(value, np.ndarray) else None for value in args]
    regions: list[tuple[int, int]] = []
    for low, high in sorted(b for b in bounds if b):
        overlaps = regions and low < regions[-1][1]
        regions[-1:] = [(regions[-1][0], max(high, regions[-1][1]))] if overlaps else [*regions[-1:], (low, high)]
    memory = [struct.pack("<q", high - low) + ctypes.string_at(low, high - low) for low, high in regions]
    values = []
    for value, bound in zip(args, bounds, strict=True):
        if bound:
            i = next(i for i, (low, high) in enumerate(regions) if low <= bound[0] and bound[1] <= high)
            values.append(struct.pack("<2q", i, value.ctypes.data - regions[i][0]))
        else:
            values.append(struct.pack("<q", -1) + argument(value)[0].tobytes().ljust(8, b"\0"))
    return b"".join([struct.pack("<q", len(memory)), *memory, struct.pack("<q", len(values)), *values])
