"""Machine code for the CPU at hand, compiled by LLVM in this process and kept on disk for the next."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from rnngraph.files.cache import Kept
from rnngraph.system.interrupts import held
from rnngraph.system.memory import has_room

COMMON = (
    "declare i64 @llvm.smin.i64(i64, i64)",
    "declare i64 @llvm.smax.i64(i64, i64)",
)


def _machine() -> Any:
    """The target: this CPU with all that it can do, full vectors included. An engine keeps the one it is given.

    What the second level of optimising adds takes a fourteenth of the time, and makes no kernel faster.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = _features()
    if "+avx512f" in features:
        features += ",-prefer-256-bit"
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=1, jit=True)


@cache
def _features() -> str:
    features: str = llvm.get_host_cpu_features().flatten()
    return features


def llvm_version() -> str:
    return ".".join(map(str, llvm.llvm_version_info))


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


ROOM = 64 << 20
"""Bytes that have to be free before LLVM is asked for anything."""


class Module:
    """Compiled functions by name; they live as long as this object. A kernel is written as it should run, and
    little is left to be done to it; code that branches more than it computes gains from `all_passes`."""

    def __init__(self, text: str, all_passes: bool = False) -> None:
        if not has_room(ROOM):
            raise MemoryError  # LLVM itself would end the process
        kept = Kept("kernels", text, llvm.get_host_cpu_name(), _features(), llvmlite.__version__)
        code = kept.read()
        module = llvm.parse_assembly(text if code is None else "")
        if code is None:
            module.verify()
            _optimise(module, all_passes)
        self.engine = llvm.create_mcjit_compiler(module, _machine())
        if code is None:
            self.engine.set_object_cache(lambda _, compiled: kept.write(compiled))
        else:
            self.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self.addresses: dict[str, int] = {}
        with held():  # inside of a call back from LLVM an interrupt would be lost
            self.engine.finalize_object()

    def address(self, name: str) -> int:
        if name not in self.addresses:
            self.addresses[name] = self.engine.get_function_address(name)
        return self.addresses[name]

    def function(self, name: str, *types: Any, returns: Any = None) -> Callable[..., Any]:
        made: Callable[..., Any] = ctypes.CFUNCTYPE(returns, *types)(self.address(name))
        return made


_TURN = Lock()
"""Held while something is compiled: of two modules of one text, asked for by two threads, only one would stay."""


def module(declared: frozenset[str], *texts: str, all_passes: bool = False) -> Module:
    """The functions of some texts, which use what is declared; compiled once in a process, however many threads ask."""
    with _TURN:
        return _kept(declared, *texts, all_passes=all_passes)


@cache
def _kept(declared: frozenset[str], *texts: str, all_passes: bool = False) -> Module:
    return Module("\n".join([*sorted({*COMMON, *declared}), *texts]), all_passes)


def _optimise(module: Any, all_passes: bool) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(_machine(), options)
    if all_passes:
        builder.getModulePassManager().run(module, builder)
        return
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()  # counters of loops into registers
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, builder)
