"""Processes that talk by MPI, started from here for some work of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def mpiexec() -> str | None:
    """The launcher that belongs to this Python, else any."""
    beside = os.path.dirname(sys.executable)
    return shutil.which("mpiexec", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))


def started(
    count: int, code: str, *arguments: str, seconds: float | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """So many processes of a Python text, with more variables in their environment, once they have ended.

    OSError or TimeoutExpired where they cannot be started, or take longer. One alone needs no launcher.
    """
    launcher = [str(mpiexec()), "-n", str(count)] if count > 1 else []
    command = [*launcher, sys.executable, "-c", code, *arguments]
    free = {n: v for n, v in os.environ.items() if not n.startswith(("PMI_", "OMPI_", "MV2_"))}
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=free | variables)
