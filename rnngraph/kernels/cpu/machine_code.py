"""Machine code for the CPU at hand, compiled by LLVM in this process and kept on disk for the next."""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from rnngraph.diagnostics.errors import CannotDo
from rnngraph.files.outputs import write_aside
from rnngraph.system.interrupts import held
from rnngraph.system.memory import has_room

COMMON = (
    "declare i64 @llvm.smin.i64(i64, i64)",
    "declare i64 @llvm.smax.i64(i64, i64)",
)
STAMP = b"rnngraph kernels 1\n"
"""The first bytes of a kept file; the number changes with the form of the files."""


def _machine() -> Any:
    """The target: this CPU with all that it can do, full vectors included. An engine keeps the one it is given."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    if "+avx512f" in features:
        features += ",-prefer-256-bit"
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True)


@cache
def vector_bytes() -> int:
    """Bytes of a vector: 64 with AVX-512, 32 with AVX2, else 16."""
    found = llvm.get_host_cpu_features()
    if found.get("avx512f") and found.get("avx512bw") and found.get("avx512vl"):
        return 64
    return 32 if found.get("avx2") and found.get("fma") else 16


@cache
def across() -> int:
    """Vectors across a tile: four where there are 32 registers, else two."""
    return 2 if vector_bytes() == 32 else 4


FILES = 2000
"""So many modules are kept."""

SELDOM = 32
"""The folder is looked through at one in so many writes."""


ROOM = 64 << 20
"""Bytes that have to be free before LLVM is asked for anything."""


class Module:
    """Compiled functions by name; they live as long as this object. `often` for those that every program shares: there
    all that LLVM can do is worth its time. A chain is written as it should run; little is left to be done to it."""

    def __init__(self, text: str, often: bool = False) -> None:
        if not has_room(ROOM):
            raise MemoryError  # LLVM itself would end the process
        kept = _Kept(text)
        code = kept.read()
        module = llvm.parse_assembly(text if code is None else "")
        if code is None:
            module.verify()
            _optimise(module, often)
        self.engine = llvm.create_mcjit_compiler(module, _machine())
        if code is None:
            self.engine.set_object_cache(lambda _, compiled: kept.write(compiled))
        else:
            self.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        with held():  # inside of a call back from LLVM an interrupt would be lost
            self.engine.finalize_object()

    def address(self, name: str) -> int:
        found: int = self.engine.get_function_address(name)
        return found

    def function(self, name: str, *types: Any, returns: Any = None) -> Callable[..., Any]:
        made: Callable[..., Any] = ctypes.CFUNCTYPE(returns, *types)(self.address(name))
        return made


@cache
def module(declared: frozenset[str], *texts: str, often: bool = False) -> Module:
    """The functions of some texts, which use what is declared; compiled once in a process."""
    return Module("\n".join([*sorted({*COMMON, *declared}), *texts]), often)


def _optimise(module: Any, often: bool) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(_machine(), options)
    if often:
        builder.getModulePassManager().run(module, builder)
        return
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()  # counters of loops into registers
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, builder)


# --- kept on disk ----------------------------------------------------------------------------------------------


class _Kept:
    """The file of one module. What is read must be whole and made for this text, this CPU and these versions."""

    def __init__(self, text: str) -> None:
        about = (text, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), llvmlite.__version__)
        self.key = hashlib.sha256("\0".join(about).encode()).digest()
        self.folder = folder()

    @property
    def path(self) -> Path | None:
        return self.folder / f"{self.key.hex()[:40]}.kernels" if self.folder else None

    def read(self) -> bytes | None:
        if self.path is None:
            return None
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        head = STAMP + self.key
        code = data[len(head) + 32 :]
        whole = data.startswith(head) and data[len(head) : len(head) + 32] == hashlib.sha256(code).digest()
        return code if whole and code else None

    def write(self, code: bytes) -> None:
        """Kept where it can be; a disk that is full or closed only costs the next start its time."""
        if self.path is None:
            return
        with suppress(CannotDo, OSError, MemoryError):
            write_aside(self.path, STAMP, self.key, hashlib.sha256(code).digest(), code, durable=False)
            if self.key[0] < 256 // SELDOM:
                _thin_out(self.path.parent)


def _thin_out(folder: Path) -> None:
    """Removes the oldest files where there are many."""
    files = sorted(folder.glob("*.kernels"), key=lambda file: file.stat().st_mtime)
    for file in files[:-FILES]:
        file.unlink(missing_ok=True)


@cache
def folder() -> Path | None:
    """Where compiled kernels are kept: a folder that is the user's alone; None where there can be none.

    `RNNGRAPH_CACHE` names another one, or is empty for none.
    """
    named = os.environ.get("RNNGRAPH_CACHE")
    if named == "":
        return None
    path = Path(named) if named else _usual() / "rnngraph" / "kernels"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = path.stat()
        if hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & 0o077):
            return None
        return path if os.access(path, os.W_OK) else None
    except (OSError, RuntimeError):
        return None


def _usual() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
