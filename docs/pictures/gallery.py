"""Draws docs/gallery.md and its pictures: every example as a loop, as steps, backward, its memory and its values;
and some cells by themselves.

`python docs/pictures/gallery.py` writes all anew, in some minutes; `... lstm4 stack` only those.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import rnngraph as rg
from rnngraph.analysis.equality import Asked
from rnngraph.analysis.gradients_by_lag import gradients_back
from rnngraph.analysis.memory_timeline import panels
from rnngraph.model import Model
from rnngraph.run_options import run_options
from rnngraph.viz.heat import HeatMap, recorded, steps_back, write_maps
from rnngraph.viz.memory import picture as memory_picture
from rnngraph.viz.write import svg

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "gallery"
STEPS, ROW = 24, "for a row of random data, with new weights"
WATCHED = {
    "chars": "h", "dates": "weights", "digits": "h", "forecast": "h", "invented": "z", "lstm4": "i,f,o,h",
    "ponder": "s", "stack": "h", "strips": "h", "sunspots": "h", "textbook": "h", "word_ends": "h",
}  # fmt: skip
CELLS = {
    "lstm": ("lstm4", "LSTM"), "gru": ("lstm4", "GRU"), "peepholes": ("lstm4", "LSTM(4, peepholes = true)"),
    "layer_norm": ("lstm4", "LayerNormLSTM"), "min_gru": ("lstm4", "MinGRU"), "slstm": ("lstm4", "SLSTM"),
    "nas": ("lstm4", "NAS"), "fast_grnn": ("invented", "FastGRNN"), "attention": ("dates", "writer"),
}  # fmt: skip
"""Cells by themselves: which file they are of, and their names there."""
VIEWS = {
    "loop": "the loop", "static": "its steps", "backward": "the backward pass",
    "memory": "bytes alive in a training step", "values": "values over time",
}  # fmt: skip


def drawn(name: str) -> list[str]:
    """Draws what there is to draw of an example; the views that it has."""
    model = rg.load(f"examples/{name}.rnn")
    ways: dict[str, Callable[[], None]] = {
        "loop": lambda: small(name, "loop", svg(model.render())),
        "static": lambda: small(name, "static", svg(model.render(unroll="static"))),
        "backward": lambda: small(name, "backward", svg(model.render(gradient=True))),
        "memory": lambda: memory(model, name),
        "values": lambda: values(model, name),
    }
    views = [view for view in ways if view != "values" or name in WATCHED]
    for view in views:
        ways[view]()
    return views


def small(name: str, view: str, text: str) -> None:
    """Without comments, names and tooltips, which a page does not show; the font is said once."""
    text = re.sub(r"<!--.*?-->|<title>.*?</title>|</?a\b[^>]*>", "", text, flags=re.DOTALL)
    text = re.sub(r"(\d+\.\d)\d+", r"\1", text)
    text = re.sub(r' (?:id|class|xml:space)="[^"]*"', "", text)
    fonts = set(re.findall(r' font-family="[^"]*"', text))
    text = re.sub(r' font-family="[^"]*"', "", text).replace("<svg", f"<svg{fonts.pop()}", 1)
    (FOLDER / f"{name}-{view}.svg").write_text(re.sub(r">\s+<", "><", text), encoding="utf-8")


def shrunk(path: Path) -> None:
    """A bitmap of few colours, as these are."""
    Image.open(path).quantize(96).save(path, optimize=True)


def memory(model: Model, name: str) -> None:
    asked = Asked(("static", "dynamic"), (STEPS,), 8, "float32", 1)
    heading = f"{model.block.definition}: bytes alive, {STEPS} steps, batch 8"
    memory_picture(list(panels(model, asked)), heading, FOLDER / f"{name}-memory.png")
    shrunk(FOLDER / f"{name}-memory.png")


def values(model: Model, name: str) -> None:
    write_maps(list(maps(model, name)), str(FOLDER / f"{name}-values.png"), f"{model.block.definition}: {ROW}")
    shrunk(FOLDER / f"{name}-values.png")


def maps(model: Model, name: str) -> Iterator[HeatMap]:
    rng = np.random.default_rng(0)
    sizes = {"batch": 1} | {axis: STEPS for i in model.inputs for axis in i.axes}
    data = {}
    for i in model.inputs:
        shape = [*(sizes[axis] for axis in ("batch", *i.axes)), *i.type.shape]
        data[i.name] = rng.normal(size=shape) if i.type.dtype == "float" else rng.integers(0, 2, shape)
    weights = model.init(seed=1)
    program = model.compile(watch=tuple(WATCHED[name].split(",")))
    results = program.run(data, weights)
    for output, axes in program.made.orders.items():
        if output.startswith("watch."):
            yield recorded(output[6:], results[output[6:]][0], axes[1:])
    over = {i.name: i.axes for i in model.inputs}
    for output in (o for o in model.graph.outputs if o == "y"):
        found = gradients_back(model, run_options(model), output, data, weights)
        yield from (steps_back(i, output, gradient[0], over[i]) for i, gradient in found.items())


def page(names: list[str]) -> str:
    parts = [HEAD]
    for name in names:
        views = [view for view in VIEWS if list(FOLDER.glob(f"{name}-{view}.*"))]
        parts += [f"## {name}", ""]
        for view in views:
            file = next(FOLDER.glob(f"{name}-{view}.*")).name
            parts += [f"![{name}: {VIEWS[view]}](pictures/gallery/{file})", ""]
    parts += ["## Cells by themselves", "", "    rnngraph render FILE --cell NAME --out cell.svg", ""]
    for name, (file, written) in CELLS.items():
        picture = f"![{written}](pictures/gallery/cell-{name}.svg)"
        parts += [f"`--cell '{written}'`, with `examples/{file}.rnn`:", "", picture, ""]
    return "\n".join(parts)


HEAD = """# Gallery

Every example, drawn by `python docs/pictures/gallery.py` in the ways that `rnngraph` draws;
[pictures.md](pictures.md) tells how to read them.

    rnngraph render FILE --out loop.svg
    rnngraph render FILE --unroll static --out steps.svg
    rnngraph render FILE --gradient --out backward.svg
    rnngraph compare FILE --memory memory.svg
    rnngraph run FILE --data DATA --watch NAMES --heat values.svg
"""


def main(names: list[str]) -> None:
    os.chdir(ROOT)  # so that no picture tells where the repository lies
    FOLDER.mkdir(exist_ok=True)
    every = sorted(path.stem for path in (ROOT / "examples").glob("*.rnn"))
    for name in names or every:
        print(name, *drawn(name), flush=True)
    for name, (file, written) in CELLS.items():
        small("cell", name, svg(rg.load(f"examples/{file}.rnn").render(cell=written)))
    (ROOT / "docs" / "gallery.md").write_text(page(every), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
