"""What goes wrong on some of the processes, as all of them tell it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.unforeseen import unforeseen


class NoMpi(CannotDo):
    """This process cannot talk to any other."""


class OnSome(CannotDo):
    """Something failed on some of the processes; all raise the failure of the first of these, with its exit code."""

    known_to_all = True

    def __init__(self, rank: int, failure: Failure) -> None:
        whose = "" if failure.for_all else f"rank {rank}: "
        super().__init__(replace(d, message=f"{whose}{d.message}") for d in failure.diagnostics)
        self.exit_code = failure.exit_code


class Stopped(KeyboardInterrupt):
    """Some of the processes were interrupted, so all stop; `ranks` are theirs."""

    known_to_all = True

    def __init__(self, ranks: tuple[int, ...]) -> None:
        super().__init__()
        self.ranks = ranks


def known_to_all(error: BaseException) -> bool:
    """Whether all processes raise it, or what it comes from, so that none needs to be told."""
    return any(getattr(one, "known_to_all", False) for one in (error, error.__cause__))


class Failure(Struct, frozen=True):
    """What one process tells the others of an error; without diagnostics it was interrupted. `for_all`: the user is
    wrong in what this process did for all, so that its rank says nothing."""

    diagnostics: tuple[Diagnostic, ...]
    exit_code: int
    text: str
    for_all: bool = False


def failure_of(error: BaseException, for_all: bool = False) -> Failure:
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
        return Failure((), 130, "")
    if isinstance(error, UserError):
        wrong = not isinstance(error, CannotDo)
        return Failure(error.diagnostics, error.exit_code, str(error), for_all and wrong)
    told = unforeseen(error)
    return Failure((told,), getattr(error, "exit_code", 1), f"{type(error).__name__}: {error}")


def raised_by_all(error: BaseException, failures: Mapping[int, Failure], size: int) -> BaseException:
    """What a process raises, by the failures of all ranks that have one: its own error where all have the same."""
    errors = {rank: failure for rank, failure in failures.items() if failure.diagnostics}
    if not errors:
        return Stopped(tuple(failures))
    if len(errors) == size and len({failure.text for failure in errors.values()}) == 1:
        return error
    first = min(errors)
    return OnSome(first, errors[first])
