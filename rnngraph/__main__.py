"""`python -m rnngraph`, the same as the command `rnngraph`. Signals are heard before anything is imported."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress

from rnngraph.system.interrupts import die, heard, unheard


def main() -> None:
    """Runs a command and ends the process with its exit code. Warnings of other libraries are for its developers."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    with heard() as asked:
        try:
            from rnngraph.cli.main import exit_code

            code = exit_code(None, asked)
        except MemoryError:  # not even enough to say what there was none for
            print("error: memory is exhausted [E500]", file=sys.stderr)
            code = 1
        except KeyboardInterrupt:
            print(asked.words, file=sys.stderr)
            code = asked.code
        unheard()
    if asked.came:
        _end(code)
    sys.exit(code)


def _end(code: int) -> None:
    """Ends the process at once: the interpreter's own end could hang on a thread, print, or change the code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if "mpi4py.MPI" not in sys.modules and any(name.endswith(("PMI_SIZE", "_WORLD_SIZE")) for name in os.environ):
        die()  # others that a launcher started would wait for this one, which they have not met
    os._exit(code)


if __name__ == "__main__":
    main()
