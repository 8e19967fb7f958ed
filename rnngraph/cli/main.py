"""The command `rnngraph`: its verbs, and the one place where what goes wrong becomes a message and a number."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import click
from msgspec.structs import replace

from rnngraph import __version__
from rnngraph.cli.arguments import Verbs
from rnngraph.cli.bench import bench
from rnngraph.cli.check import check
from rnngraph.cli.compare import compare
from rnngraph.cli.cost import cost
from rnngraph.cli.doctor import doctor
from rnngraph.cli.evaluate import evaluate
from rnngraph.cli.examples import examples
from rnngraph.cli.explore import explore
from rnngraph.cli.export import export
from rnngraph.cli.fmt import fmt
from rnngraph.cli.generate import generate
from rnngraph.cli.help import explain
from rnngraph.cli.import_ import import_
from rnngraph.cli.library import library
from rnngraph.cli.lsp import lsp
from rnngraph.cli.new import new
from rnngraph.cli.predict import predict
from rnngraph.cli.render import render
from rnngraph.cli.run import run
from rnngraph.cli.show import show
from rnngraph.cli.summary import summary
from rnngraph.cli.sweep import sweep
from rnngraph.cli.terminal import open_streams, say, tell
from rnngraph.cli.train import train
from rnngraph.cli.weights import weights
from rnngraph.diagnostics.errors import UserError, Warned
from rnngraph.diagnostics.unforeseen import unforeseen
from rnngraph.distributed.failures import NoMpi
from rnngraph.distributed.launch_detection import connected, launched
from rnngraph.distributed.processes import ALONE, Processes
from rnngraph.system.interrupts import Asked, die, held


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="New here? `rnngraph new first` makes a folder with a model and three commands to try.",
)
@click.version_option(__version__, prog_name="rnngraph")
def cli() -> None:
    """Recurrent networks as programs: write a .rnn file, run it unrolled or as a loop, see what each costs."""


for verb in (
    new, examples, library, doctor, check, fmt, lsp, show, summary, run, train, sweep, evaluate, predict, render,
    explore, compare, bench, cost, generate, weights, import_, export,
):  # fmt: skip
    cli.add_command(verb)
explain(cli)


def exit_code(arguments: Sequence[str] | None, asked: Asked | None = None) -> int:
    """Runs a command; the one place where what goes wrong becomes a message and a number.

    0: done; 1: could not be done (or the modes differ); 2: what the user wrote is wrong; 130 and 143: interrupted, or
    asked to end.
    """
    asked = asked or Asked()
    open_streams()
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("always", Warned)
        warnings.showwarning = partial(_shown, warnings.showwarning, set())
        return _exit_code(arguments, asked, stack)


def _shown(
    otherwise: Callable[..., None], told: set[Any], message: Warning | str, *place: Any, **more: Any
) -> None:
    """Our warnings as messages of ours, each once at its place; those of libraries as they are."""
    if not isinstance(message, Warned):
        otherwise(message, *place, **more)
        return
    found = message.diagnostic
    if (found.message, found.span) not in told:
        told.add((found.message, found.span))
        tell([found])


def _exit_code(arguments: Sequence[str] | None, asked: Asked, stack: ExitStack) -> int:
    try:
        with held() as heard:  # until all processes have met, none may leave the others waiting
            processes = _processes(sys.argv[1:] if arguments is None else arguments)
            stack.callback(processes.close)

            def work() -> Any:
                return cli.main(arguments, standalone_mode=False, obj=processes)

            code = processes.agreed(lambda: heard(work))
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UserError as error:
        tell(error.diagnostics)
        return asked.code if asked.came else error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        say(asked.words, err=True)
        return asked.code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        _abandon_output()
        return 1
    except Exception as error:
        if asked.came:  # a library made another error of the interrupt
            say(asked.words, err=True)
            return asked.code
        if "RNNGRAPH_TRACEBACK" in os.environ:
            raise
        tell([unforeseen(error)])
        _abandon_output()
        return 1


SHARED = ("train", "sweep", "evaluate")
"""Verbs whose work several processes share; others that a launcher starts do all of it, each for itself."""


def _processes(arguments: Sequence[str]) -> Processes:
    """Those that a launcher started together for this verb, of which only the first one speaks."""
    if not arguments or arguments[0] not in SHARED:
        return ALONE
    asked = launched()
    if asked.rank:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        return connected(asked)
    except NoMpi as error:
        _leave_others(error, asked.rank)
        raise


GRACE = 2.0
"""Seconds until a process that has no MPI believes that others have one."""


def _leave_others(error: NoMpi, rank: int) -> None:
    """Others would wait for a process that cannot talk to them; launchers end all where one dies of a signal. Where no
    process has MPI the first one says so, and all are gone before the others speak."""
    if rank:
        time.sleep(GRACE)
        sys.stderr = sys.__stderr__
    tell([replace(d, message=f"rank {rank}: {d.message}" if rank else d.message) for d in error.diagnostics])
    sys.stderr.flush()
    die()


def _abandon_output() -> None:
    """What cannot be written any more is not tried again when the interpreter ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
