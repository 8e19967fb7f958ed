"""Writes the page of recipes, recipes.md, from the files of `examples/papers/`: `python docs/recipes.py`."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).with_name("recipes.md")
PAPERS = Path(__file__).parents[1] / "examples" / "papers"
HEAD = """\
# Recipes: cells of papers

Made from the files of [examples/papers/](../examples/papers) by `docs/recipes.py`. Each recipe is the equations of a
paper, and the same in the language: a whole file, which runs as it stands. What differs from the paper is said. The
tests compare all of them with the equations in plain NumPy, in both modes. `rnngraph examples --copy FOLDER` copies
the files.

Equations are in the notation of the papers, where `W x` is a matrix times a column. The language writes `x @ w`, a row
times a matrix, so its `w` is the transpose. `*` is elementwise. Cells of the library (`rnngraph library`) are not
repeated here. Adaptive computation time and FastGRNN are among the [examples](../examples/README.md): `ponder.rnn` and
`invented.rnn`, with data.
"""
GROUPS = {
    "Recurrent matrices": ("irnn", "antisymmetric", "exp_rnn", "unitary", "mi_rnn"),
    "Differential equations": ("co_rnn", "lem", "ltc", "gru_d"),
    "State spaces": ("s4d", "lmu", "mamba_2", "rg_lru"),
    "Attention that is carried on": ("linear_attention", "retention", "gated_delta_net", "rwkv"),
    "Weights that change": ("fast_weights", "ttt", "hyper_lstm"),
    "LSTMs": ("mogrifier_lstm", "ordered_neurons", "hm_lstm", "skip_rnn", "rim"),
    "Memories, trees, images": ("neural_stack", "dnc", "tree_lstm", "md_lstm"),
}


def page() -> str:
    parts = [HEAD, "\n".join(map(_contents, GROUPS)) + "\n"]
    for group, names in GROUPS.items():
        parts += [f"## {group}\n", *map(_recipe, names)]
    return "\n".join(parts).rstrip() + "\n"


def _contents(group: str) -> str:
    return f"* {group}: " + ", ".join(f"[{name}](#{name}rnn)" for name in GROUPS[group])


def _recipe(name: str) -> str:
    """What the file says in its first comment, with the equations apart, and the text behind it."""
    head, _, body = (PAPERS / f"{name}.rnn").read_text(encoding="utf-8").partition("\n\n")
    said = re.sub(r"(?m)^# ?", "", head)
    blocks = [_block(block) for block in re.split(r"\n\n", said)]
    return "\n".join([f"### {name}.rnn\n", *blocks, f"```rnn\n{body.rstrip()}\n```\n"])


def _block(text: str) -> str:
    """Equations, which stand two columns further right, or sentences, with the paper as a paragraph of its own."""
    if text.startswith("  "):
        return f"```text\n{re.sub(r'(?m)^  ', '', text)}\n```\n"
    apart = re.sub(r"\n(?=[A-Z]\. )", "\n\n", text, count=1)
    return re.sub(r"arXiv:(\d+\.\d+)", r"[arXiv:\1](https://arxiv.org/abs/\1)", apart) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
