"""Kernels in CUDA C++ through the real NVRTC, which needs no GPU: registers, spills, shared memory.

NVRTC comes as a wheel, `pip install 'rnngraph[cuda-tests]'`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.cuda.kept import kept

ARCHITECTURES = ("80", "90", "100")


class Used(NamedTuple):
    """What a kernel takes: registers of a thread; bytes that it stores and loads again for want of registers; bytes of
    static shared memory; bytes of each thread's local memory, where arrays are whose index is not known."""

    registers: int
    spilled: int
    shared: int
    local: int


class Refused(Exception):
    """All that NVRTC said."""


@cache
def nvrtc() -> Any:
    """The library, or None."""
    found = importlib.util.find_spec("nvidia")
    for folder in (found and found.submodule_search_locations) or ():
        for path in Path(folder).glob("*/lib/libnvrtc.so.*"):
            return ctypes.CDLL(str(path))
    return None


def available() -> bool:
    return nvrtc() is not None


@cache
def assembled(text: str, arch: str = "90", options: tuple[str, ...] = ()) -> dict[str, Used]:
    """What each kernel takes on an architecture ("90" is sm_90), by name; with the options that CuPy adds."""
    given = [*options, f"--gpu-architecture=sm_{arch}", "-ftz=true", "--ptxas-options=-v"]

    def make(place: Path) -> None:
        (place / "log").write_text(_log(text, given))

    return dict(_used(kept("log", (_version(), text, *given), make).read_text()))


@cache
def _version() -> str:
    numbers = ctypes.c_int(), ctypes.c_int()
    nvrtc().nvrtcVersion(*map(ctypes.byref, numbers))
    return f"{Path(nvrtc()._name).name} {[number.value for number in numbers]}"


def _log(text: str, options: Sequence[str]) -> str:
    library, program, size = nvrtc(), ctypes.c_void_p(), ctypes.c_size_t()
    library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None)
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = library.nvrtcCompileProgram(program, len(options), given)
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    if failed:
        raise Refused(log.value.decode())
    return log.value.decode()


def _used(log: str) -> Iterator[tuple[str, Used]]:
    name, frame = "", [0, 0, 0]
    for line in log.splitlines():
        if found := re.search(r"Function properties for (\w+)", line):
            name = found[1]
        elif found := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            frame = [int(number) for number in found.groups()]
        elif found := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            yield name, Used(int(found[1]), frame[1] + frame[2], int(shared[1]) if shared else 0, frame[0])
