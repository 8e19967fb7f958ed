"""Whether what a user asks for is a schedule: the way to unroll, steps, number type, memory."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral

from rnngraph.checkpointing.memory_limit import bytes_in
from rnngraph.checkpointing.options import ALL, LONGEST_COUNT, Keep, is_count, parsed
from rnngraph.compilation.schedule import Gradient, Schedule
from rnngraph.diagnostics.errors import UserError, told_of


def checked_schedule(
    unroll: str | int,
    steps: int | Mapping[str, int] | None,
    dtype: str,
    gradient: Gradient,
    keep: str = "all",
    memory_limit: str | int | None = None,
    truncate: str | int | None = None,
    swap: str = "",
) -> Schedule:
    """The schedule of these choices; UserError where they are none."""
    _refuse_odd("unroll", unroll)
    if isinstance(unroll, str) and unroll.isascii() and unroll.isdecimal() and len(unroll) <= LONGEST_COUNT:
        unroll = int(unroll)
    if unroll not in ("static", "dynamic") and not (is_whole(unroll) and int(unroll) >= 1):
        raise UserError(
            f"`{unroll}` is not a way to unroll", "E606", "choose static, dynamic, or a number of steps per iteration"
        )
    if dtype not in ("float32", "float64"):
        raise UserError(f"`{dtype}` is not a number type to compute with", "E607", "choose float32 or float64")
    if unroll == "static":
        if steps is None:
            raise UserError(
                "a static program needs a number of steps, and none was given",
                "E601",
                "say steps=50, or `--steps 50`",
            )
        for n in steps.values() if isinstance(steps, Mapping) else [steps]:
            _refuse_odd("steps", n)
            if not is_whole(n) or n < 0:
                raise UserError(f"{n} is not a number of steps", "E601", "give a number of at least 0")
    unroll = unroll if isinstance(unroll, str) else int(unroll)
    return Schedule(unroll, steps, dtype, gradient, *checked_memory(keep, memory_limit, truncate, swap))


def _refuse_odd(name: str, value: object) -> None:
    """UserError for what is neither text nor a number of reasonable size."""
    if not isinstance(value, (str, float, Integral)) or (isinstance(value, Integral) and abs(int(value)) > 10**18):
        raise odd(name, value)


def odd(name: str, value: object) -> UserError:
    return UserError(f"`{name}` cannot be {told_of(value)}", "E628")


def is_whole(number: object) -> bool:
    """Whether it is a whole number of Python's or NumPy's, and no truth value."""
    return isinstance(number, Integral) and not isinstance(number, bool)


def checked_memory(
    keep: str = "all", memory_limit: str | int | None = None, truncate: str | int | None = None, swap: str = ""
) -> tuple[Keep, int | None, int | None, str]:
    """What is kept, the bytes that a run may take, where gradients are cut off, and where that is swapped to.

    UserError where they are none, or exclude each other.
    """
    for name, value in {"memory_limit": memory_limit, "truncate": truncate}.items():
        if value is not None:
            _refuse_odd(name, value)
    kept, cut_off = parsed(keep), "" if truncate is None else str(truncate)
    if cut_off and not is_count(cut_off):
        raise UserError(f"gradients cannot be truncated after {truncate} steps", "E618", "say --truncate 50, or so")
    flags = (("keep", keep if kept != ALL else ""), ("truncate", cut_off), ("swap", swap))
    told = [f"--{flag} {value}" for flag, value in flags if value]
    if len(told) > 1:
        raise UserError(f"{' and '.join(told)} exclude each other", "E618", "leave all but one of them out")
    limit = None if memory_limit is None or memory_limit == "" else bytes_in(memory_limit)
    return kept, limit, int(cut_off) if cut_off else None, swap
