"""`python -m rnngraph`, the same as the command `rnngraph`."""

from rnngraph.cli import main

main()
