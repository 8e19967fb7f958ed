"""`lsp`: the language server, for editors."""

from __future__ import annotations

import click

from rnngraph.cli.arguments import Verb
from rnngraph.diagnostics.optional import needed


@click.command(cls=Verb)
@click.option("--stdio", is_flag=True, help="Speak over standard input and output, which is the only way.")
def lsp(stdio: bool) -> None:
    """Serve an editor in the language server protocol, over standard input and output."""
    with needed("pygls", help="install it with `pip install 'rnngraph[lsp]'`"):
        from rnngraph.language_server.server import serve
    serve()
