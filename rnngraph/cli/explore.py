"""`explore`: a page to look at a model, from a server of this machine or as one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from rnngraph.cli.arguments import Input, Output, Verb, Whole
from rnngraph.cli.data_options import DATA_OPTIONS, read_data
from rnngraph.cli.options import MODEL, SEED, dtype_option, given_once, read, read_weights, refuse_together, setting
from rnngraph.cli.terminal import console, say, warn

if TYPE_CHECKING:
    from rnngraph.explore.session import Given, Session

PAGE = Output("a page", "html")


@click.command(cls=Verb)
@MODEL
@DATA_OPTIONS
@click.option("--weights", type=Input(), help="A .safetensors file; without it, new weights by --seed.")
@click.option("--out", type=PAGE, help="Write the page as one .html file, which needs no server and no network.")
@click.option("--host", help="The address to be heard at.  [default: 127.0.0.1, this machine alone]")
@click.option("--port", type=Whole(0), help="The port.  [default: a free one]")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page in the browser.")
@dtype_option("float32")
@SEED
def explore(
    file: str,
    name: str | None,
    settings: Sequence[str],
    paths: Sequence[str],
    weights: str | None,
    out: str | None,
    host: str | None,
    port: int | None,
    browser: bool,
    dtype: str | None,
    seed: int,
    **asked: Any,
) -> None:
    """Open a page to explore the model: graph, cost, memory over time, values of a run, and the source to edit.

    The server listens on this machine alone, and the page's address holds a secret; Ctrl-C ends it.
    """
    from rnngraph.explore.page import page
    from rnngraph.explore.session import Session
    from rnngraph.files.atomic_writes import write_aside
    from rnngraph.language.syntax.parser import read_source

    refuse_together(out=out, host=host)
    refuse_together(out=out, port=port)
    given = _given(file, name, settings, paths, weights, seed, asked)
    known = given_once([setting(text) for text in settings], "the setting", "E620")
    session = Session(read_source(file), known, name, given, {"dtype": dtype})
    if out is None:
        _serve(session, host or "127.0.0.1", port or 0, browser)
        return
    with console(stderr=True).status("") as status:
        text = page(session.page(lambda words: status.update(words)))
    write_aside(out, text.encode())
    say(f"wrote {out}")


def _given(
    file: str,
    name: str | None,
    settings: Sequence[str],
    paths: Sequence[str],
    weights: str | None,
    seed: int,
    asked: Mapping[str, Any],
) -> Given:
    """The data and weights of files. Where none are named the model need not be right: the page tells its errors."""
    from rnngraph.explore.session import Given

    if not (paths or asked["text"] or weights):
        return Given()
    model = read(file, name, settings, weights)
    told = [f"`{path}`" for path in (*paths, asked["text"], weights) if path]
    found = read_weights(model, weights, seed, "float64") if weights else None
    data = read_data(model, paths, asked, found.about.data if found else {}) if paths or asked["text"] else None
    random = "" if found and data is not None else f", and random {'data' if found else 'weights'}"
    return Given(data, found, f"a run on {' and '.join(told)}{random}: its first rows")


def _serve(session: Session, host: str, port: int, browser: bool) -> None:
    import webbrowser

    from rnngraph.explore.server import LOOPBACK, Server

    with Server(session, host, port) as server:
        if host not in LOOPBACK:
            warn(f"the page can be opened from other machines, by whoever knows its address: {host}", "W606")
        say(f"open {server.address}    (Ctrl-C ends it)")
        if browser:
            webbrowser.open(server.address)
        with suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.2)
