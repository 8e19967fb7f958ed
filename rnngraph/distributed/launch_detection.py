"""Whether a launcher of MPI (`mpiexec`, `srun`) started this process among others, by the environment that it left."""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec import Struct

from rnngraph.diagnostics.errors import UserError
from rnngraph.distributed.processes import ALONE, Processes


class Launched(Struct, frozen=True):
    """The process's number, and how many were started."""

    rank: int
    size: int


KNOWN = {
    "MPICH, Intel MPI": ("PMI_RANK", "PMI_SIZE"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MVAPICH": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
}
"""The variables of each launcher."""
SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
"""Those of `srun`, which also starts other launchers: read where there are none of theirs."""


def launched(environment: Mapping[str, str] = os.environ) -> Launched:
    """UserError where the variables contradict each other."""
    pairs = [pair for pair in KNOWN.values() if pair[1] in environment] or [SLURM]
    found = {_read(environment, *pair) for pair in pairs if pair[1] in environment}
    if len(found) > 1:
        names = ", ".join(f"{name}={environment.get(name)}" for pair in pairs for name in pair)
        raise _contradiction(names)
    return found.pop() if found else Launched(0, 1)


def _read(environment: Mapping[str, str], rank: str, size: str) -> Launched:
    texts = environment.get(rank, "0"), environment[size]
    if not all(t.isascii() and t.isdigit() for t in texts) or int(texts[0]) >= int(texts[1]):
        raise _contradiction(f"{rank}={texts[0]}, {size}={texts[1]}")
    return Launched(int(texts[0]), int(texts[1]))


def _contradiction(told: str) -> UserError:
    help = "start it by one launcher, as in `mpiexec -n 4 rnngraph train ...`, or unset them"
    return UserError(f"the launcher's variables contradict each other: {told}", "E733", help)


def connected(asked: Launched) -> Processes:
    """The processes that were started together. CannotDo where they cannot talk to each other."""
    if asked.size == 1:
        return ALONE
    from rnngraph.distributed.mpi import world

    return world(asked.size)
