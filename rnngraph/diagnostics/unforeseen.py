"""What is said of an error that no part of the program has words for."""

from __future__ import annotations

import errno

from rnngraph.diagnostics.diagnostic import Diagnostic

LITTLE = 32 << 20
"""Bytes that are free when there is hardly memory left."""


def unforeseen(error: BaseException) -> Diagnostic:
    free = _free()
    match error:
        case MemoryError() | OSError(errno=errno.ENOMEM):
            return _no_memory(error, free)
        case SystemError() | ImportError() if free < LITTLE:  # what an import says that gets no memory
            return _no_memory(error, free)
        case RecursionError():
            return Diagnostic("E509", "this is nested too deeply", help="make it flatter")
        case OSError(strerror=str(why)):
            place = f"`{error.filename}`" if error.filename else "standard output"
            return Diagnostic("E668", f"the system refuses {place}: {why}")
    said = f"{type(error).__name__}: {error}".strip()
    return Diagnostic("E999", f"rnngraph itself failed: {said}", help="this is a bug; RNNGRAPH_TRACEBACK=1 shows where")


def _free() -> int:
    """Bytes that are free; 0 where there are not even those to find it out."""
    try:
        from rnngraph.system.memory import free_bytes

        return free_bytes()
    except Exception:
        return 0


def _no_memory(error: BaseException, free: int) -> Diagnostic:
    """What was asked for, where NumPy says it, and what there is."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    asked = f" for an array of {list(shape)} {dtype}" if shape is not None and dtype is not None else ""
    return Diagnostic(
        "E500",
        f"memory is exhausted{asked}: {free / 1e6:,.1f} MB are free",
        help="take fewer steps, a smaller batch or a smaller model; `rnngraph cost` tells what a run takes",
    )
