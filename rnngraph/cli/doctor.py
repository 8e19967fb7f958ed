"""`doctor`: what is installed here, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
from msgspec import Struct
from msgspec.structs import asdict

from rnngraph.cli.arguments import Verb
from rnngraph.cli.options import JSON
from rnngraph.cli.terminal import cell_lines, say, say_json, show_all, table
from rnngraph.diagnostics.errors import CannotDo

EXTRAS = {
    "matplotlib": ("plots: curves, times, memory, reports", "pip install matplotlib"),
    "svglib": ("pictures of models as PDF", "pip install svglib"),
    "onnx": ("models to and from ONNX", "pip install onnx"),
    "onnxruntime": ("checks of models that come from ONNX", "pip install onnxruntime"),
    "h5py": ("models and weights from Keras", "pip install h5py"),
    "keras": ("checks of models that come from Keras", "pip install keras tensorflow-cpu"),
    "cupy": ("NVIDIA GPUs", "pip install 'cupy-cuda12x[ctk]'  (CUDA 13: cupy-cuda13x)"),
    "torch": ("models inside PyTorch, weights from it", "pip install torch"),
    "jax": ("models inside JAX", "pip install jax"),
    "mpi4py": ("training over several processes", "pip install mpi4py mpich, or with the MPI of a cluster"),
    "pandas": ("tables other than CSV, data frames", "pip install pandas"),
}
"""Libraries that are not needed: what for, and what would bring them."""
CUPY = ("cupy", "cupy-cuda12x", "cupy-cuda13x")


class Finding(Struct, frozen=True):
    """One line: whether it is there, what was found, and what would mend it. `needed` is what a normal run needs."""

    what: str
    there: bool
    found: str
    help: str = ""
    needed: bool = False


@click.command(cls=Verb)
@JSON
def doctor(as_json: bool) -> int:
    """Tell what is installed here, and what is missing. Exit code 1 if a normal run lacks something."""
    found = [*_machine(), *_needed(), *_kernels(), _cache(), _memory(), *_extras(), *_mpi(), _gpu()]
    broken = [one for one in found if one.needed and not one.there]
    if as_json:
        say_json([asdict(one) for one in found], indent=2)
    else:
        rows = [("ok" if f.there else "MISSING" if f.needed else "no", f.what, _said(f)) for f in found]
        show_all(table(("", "what", "found"), rows, ("", "what", "found")))
        say("\nA normal run has all that it needs." if not broken else "\nA normal run lacks what is MISSING.")
    return 1 if broken else 0


def _said(finding: Finding) -> str:
    return cell_lines("\n".join(filter(None, (finding.found, finding.help))))


def _machine() -> Iterator[Finding]:
    import platform

    python = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Finding("Python", True, python)
    yield Finding("rnngraph", True, _version("rnngraph") or "not installed, run from its folder")


def _version(*names: str) -> str:
    """Of the first distribution that is there, or nothing."""
    from importlib import metadata

    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


def _needed() -> Iterator[Finding]:
    """What is installed with rnngraph."""
    versions = {name: _version(name) for name in _requirements()}
    if missing := [name for name, version in versions.items() if not version]:
        yield Finding("libraries", False, f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}", True)
    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    if there:
        yield Finding("libraries", True, there)


def _requirements() -> list[str]:
    """What the installed rnngraph says that it needs, extras aside."""
    from importlib import metadata

    try:
        lines = metadata.requires("rnngraph") or []
    except metadata.PackageNotFoundError:
        return []
    return [re.split(r"[^\w.-]", line)[0] for line in lines if "extra ==" not in line]


def _kernels() -> Iterator[Finding]:
    """Whether kernels are compiled here: without them NumPy does all, more slowly."""
    from rnngraph.runtime.choose_backend import backend_named

    try:
        backend_named("numpy", "native")
    except CannotDo as error:
        told = error.diagnostics[0].message.removeprefix("kernels ")
        yield Finding("kernels", False, told, "NumPy runs models instead, more slowly")
        return
    from rnngraph.kernels.cpu.machine_code import llvm_version
    from rnngraph.kernels.cpu.modules import target

    cpu = target("float32")
    threads = f"{cpu.threads} thread{'s' if cpu.threads > 1 else ''}"
    yield Finding("kernels", True, f"LLVM {llvm_version()}, vectors of {cpu.width * 32} bits, {threads}")


def _cache() -> Finding:
    from rnngraph.files.cache import folder

    place = folder()
    if place is None:
        told = "kernels are compiled anew in each process"
        return Finding("cache", False, told, "RNNGRAPH_CACHE=FOLDER names a folder of yours alone")
    sizes = [file.stat().st_size for file in place.iterdir() if file.is_file()]
    return Finding("cache", True, f"{place}: {len(sizes):,} files, {sum(sizes) / 1e6:,.1f} MB")


def _memory() -> Finding:
    from rnngraph.system.memory import free_bytes

    return Finding("memory", True, f"{free_bytes() / 1e9:,.1f} GB free")


def _extras() -> Iterator[Finding]:
    for name, (purpose, install) in EXTRAS.items():
        version = _version(*(CUPY if name == "cupy" else (name,)))
        yield Finding(name, bool(version), f"{version or 'not installed'}: {purpose}", "" if version else install)


def _mpi() -> Iterator[Finding]:
    """Whether two processes can talk by the MPI that mpi4py is for."""
    if _version("mpi4py"):
        from rnngraph.distributed.mpi import heard

        found, there = heard()
        yield Finding("MPI", there, found, "" if there else "pip install mpich, or use the `mpiexec` of mpi4py's MPI")


def _gpu() -> Finding:
    """The device that `--backend cupy` would run on."""
    from rnngraph.runtime.choose_backend import backend_named

    try:
        return Finding("GPU", True, backend_named("cupy").runs_on)
    except CannotDo as error:
        return Finding("GPU", False, error.diagnostics[0].message)
