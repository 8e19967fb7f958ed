"""`python -m rnngraph`, the same as the command `rnngraph`. Signals are heard before anything is imported."""

from __future__ import annotations

import sys

from rnngraph.interrupts import heard


def main() -> None:
    """Runs a command and ends the process with its exit code."""
    with heard() as asked:
        try:
            from rnngraph.cli import exit_code

            code = exit_code(None, asked)
        except KeyboardInterrupt:
            print(asked.words, file=sys.stderr)
            code = asked.code
    sys.exit(code)


if __name__ == "__main__":
    main()
