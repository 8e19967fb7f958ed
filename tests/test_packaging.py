"""What is handed out: an sdist, the wheel built from it, and a model run by the installed command, elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from rnngraph.cli.examples import DATA
from tests.support.paths import ROOT

HANDED_OUT = {".py", ".lark", ".rnn", ".html", ".css", ".js", ".cuh", ".txt", ".typed"}


def run(command: Sequence[str | Path], folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "COV"))}
    done = subprocess.run([str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def built(kind: str, source: Path, out: Path) -> Path:
    """Builds without a network: with the setuptools that is installed."""
    run([sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, source], out)
    (found,) = out.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return found


def files() -> set[str]:
    """What the package consists of in the source tree, those folders that are links among it."""
    top = ROOT / "rnngraph"
    folders = [top, *(top / link for link in ("grammar", "viz"))]
    found = {f for folder in folders for f in folder.rglob("*") if f.suffix in HANDED_OUT}
    left_out = {"__pycache__", "vscode"}
    kept = [f.relative_to(top) for f in found if not left_out & {*f.parts}]
    code = {f"rnngraph/{f.as_posix()}" for f in kept if f.parts[:2] != ("viz", "web")} | {"rnngraph/grammar/README.md"}
    models = {f"rnngraph/{f.relative_to(ROOT).as_posix()}" for f in (ROOT / "examples").rglob("*.rnn")}
    return code | models | {f"rnngraph/examples/data/{name}" for names in DATA.values() for name in names}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tree as it is handed out, so that nothing lying about gets in."""
    folder = tmp_path_factory.mktemp("sdist")
    tree = folder / "tree"
    tree.mkdir()
    left = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in ("rnngraph", "grammar", "viz", "examples"):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=left)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tree / name)
    return built("sdist", tree, folder)


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "tarfile", "-e", sdist, folder], folder)
    (unpacked,) = folder.iterdir()
    return built("wheel", unpacked, folder)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment with the wheel; its dependencies are those installed here."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", folder], ROOT)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    purelib = Path(
        run([programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    )
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            programs / "python",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            wheel,
        ],
        folder,
    )
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (purelib / "dependencies.pth").write_text("\n".join(sorted(here)) + "\n")
    return programs


def test_the_sdist_holds_the_source(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert files() | {"pyproject.toml", "README.md"} <= inside


def test_the_wheel_holds_every_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == files()
    endings = {Path(name).suffix for name in inside}
    assert {".lark", ".rnn", ".css", ".typed"} <= endings
    assert wheel.stat().st_size < 2_100_000  # half of it is the page's layout engine and editor


def test_the_installed_command_runs_a_model_elsewhere(installed: Path, tmp_path: Path) -> None:
    examples = ROOT / "examples"
    arguments = [
        "run",
        examples / "textbook.rnn",
        "--data",
        examples / "data" / "textbook.npz",
        "--weights",
        examples / "data" / "textbook.safetensors",
    ]
    said = run([installed / "rnngraph", *arguments], tmp_path)
    assert "8.34561659e-01" in said
    where = run([installed / "python", "-c", "import rnngraph; print(rnngraph.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    run([installed / "rnngraph", "render", examples / "stack.rnn", "--out", "stack.svg"], tmp_path)
    assert (tmp_path / "stack.svg").stat().st_size > 1000


def test_the_installed_command_has_its_examples_and_its_library(installed: Path, tmp_path: Path) -> None:
    command = installed / "rnngraph"
    run([command, "new", "first"], tmp_path)
    train = re.search(r"^    rnngraph (train .+)$", (tmp_path / "first" / "README.md").read_text(), re.M)
    assert train is not None
    run([command, *train[1].split(), "--epochs", "1"], tmp_path / "first")
    run([command, "examples", "--copy", "demo", "textbook"], tmp_path)
    said = run([command, "run", "textbook.rnn", "--data", "data/textbook.npz"], tmp_path / "demo")
    assert "y [4, 2, 5]" in said
    assert "(1997)" in run([command, "library", "LSTM"], tmp_path)
    assert "A normal run has all that it needs." in run([command, "doctor"], tmp_path)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_the_installed_command(installed: Path, tmp_path: Path, shell: str) -> None:
    """As the script says that the README has people run; where the shell is here it reads it without a complaint."""
    script = run(["env", f"_RNNGRAPH_COMPLETE={shell}_source", installed / "rnngraph"], tmp_path)
    assert "_RNNGRAPH_COMPLETE" in script and "rnngraph" in script
    words = {"COMP_WORDS": "rnngraph comp", "COMP_CWORD": "comp" if shell == "fish" else "1"}
    asked = [f"{name}={value}" for name, value in words.items()]
    assert "compare" in run(["env", f"_RNNGRAPH_COMPLETE={shell}_complete", *asked, installed / "rnngraph"], tmp_path)
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        run([shell, "-n", "script"], tmp_path)


def test_the_installed_command_compares_and_writes_its_page(installed: Path, tmp_path: Path) -> None:
    model = ROOT / "examples" / "lstm4.rnn"
    run([installed / "rnngraph", "compare", model, "--steps", "2,3", "--repeats", "1", "--page", "r.html"], tmp_path)
    assert 'id="page-data"' in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("library", ["cupy", "lark", "matplotlib"])
def test_importing_the_installed_package_is_light(installed: Path, tmp_path: Path, library: str) -> None:
    code = f"import sys, rnngraph; print({library!r} in sys.modules)"
    assert run([installed / "python", "-c", code], tmp_path).strip() == "False"
