"""Notebooks: `%load_ext rnngraph`, then `%%rnn` makes a model of a cell and shows it; results draw themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnngraph.cli.options import setting
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source

if TYPE_CHECKING:
    from rnngraph.api import Model

NAME = "model"


def load_ipython_extension(shell: Any) -> None:
    """What IPython calls for `%load_ext rnngraph`."""

    def rnn(line: str, cell: str) -> Model:
        """%%rnn [NAME] [SETTING=VALUE ...]: a model of the text of this cell, as the variable NAME (`model`)."""
        name, settings = _asked(line)
        made = _model(cell, settings)
        shell.push({name: made})
        return made

    shell.register_magic_function(rnn, "cell", "rnn")
    html, svg = (shell.display_formatter.formatters[kind] for kind in ("text/html", "image/svg+xml"))
    html.for_type_by_name("rnngraph.analysis.results", "Comparison", _comparison)
    svg.for_type_by_name("rnngraph.training.fit", "Fitted", _fitted)


def _model(cell: str, settings: dict[str, Any]) -> Model:
    """Imports are looked for where the notebook runs."""
    from rnngraph.api import Model

    return Model.read(Source("<cell>", cell, Path.cwd()), settings)


def _asked(line: str) -> tuple[str, dict[str, Any]]:
    """The name of the variable and the settings; UserError for what is neither."""
    name, settings = NAME, dict[str, Any]()
    for at, word in enumerate(line.split()):
        if "=" in word:
            settings |= dict([setting(word)])
        elif at == 0 and word.isidentifier():
            name = word
        else:
            raise UserError(f"`{word}` is not a setting", "E620", "write it as `%%rnn NAME units=64`")
    return name, settings


def _comparison(results: Any) -> str:
    from rnngraph.viz.notebook_tables import drawn_comparison

    return drawn_comparison(results)


def _fitted(fitted: Any) -> str:
    from rnngraph.viz.training_curves import curves

    return curves(fitted.history, fitted.best_epoch, "svg").decode()
