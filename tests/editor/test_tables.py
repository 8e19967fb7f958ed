"""One source: the words of the language come from its grammar and its tables, in every place that names them."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from importlib import import_module

import pytest
from pygments.token import Keyword, Name, Token

from rnngraph.check import check_source
from rnngraph.diagnostics.source import Source
from rnngraph.editor import words
from rnngraph.editor.analysis import analyse
from rnngraph.editor.completion import completions
from rnngraph.editor.highlighting import coloured
from rnngraph.editor.pygments_lexer import RnnLexer
from rnngraph.exchange.importing.body import reserved
from rnngraph.language.builtins.registry import TABLE, names
from rnngraph.language.elaboration.imports import library
from rnngraph.language.syntax.grammar import grammar
from rnngraph.language.syntax.parser import expected_at
from tests.support.paths import ROOT

TERMINALS = re.findall(r'^[A-Z_]+: "([a-z]+)"', (ROOT / "grammar" / "rnn.lark").read_text(), re.M)
"""The words of the grammar, from its text."""


def test_the_words_are_those_of_the_grammar() -> None:
    assert grammar().words == set(TERMINALS)
    assert grammar().words - grammar().reserved == {"stop", "reversed", "seq", "int", "float", "bool"}


def test_names_that_an_import_may_not_take_are_all_known() -> None:
    assert reserved() >= set(TERMINALS) | names() | set(library())


@pytest.mark.parametrize("before", ["", "model M {\n  "])
def test_a_word_that_is_misspelt_is_known_where_the_grammar_takes_it(before: str) -> None:
    """The messages of the parser know every word with which a statement or a definition can begin."""
    expected = expected_at(Source("a", before), len(before)).words
    assert len(expected) > 5
    for word in expected:
        found = check_source(Source("a", f"{before}{word}q x" if before else f"{word}q X {{ }}")).found
        assert f"did you mean `{word}`?" in [d.help for d in found], word


@pytest.mark.parametrize("block", ["trian {\n epochs 3\n optimizer adam(rate = 0.1)\n}", "schdule { unroll static }"])
def test_what_stands_in_the_block_of_a_misspelt_word_is_not_told_too(block: str) -> None:
    """They are options, as the word meant says; and what is wrong behind the block is told."""
    for before, after in (("model M {\n output 1\n ", "\n los 3\n}\n"), ("", "\nmodl M {\n output 1\n}\n")):
        found = check_source(Source("a", before + block + after)).found
        words = [d.help.removeprefix("did you mean ") for d in found if d.code == "E001"]
        assert words == ["`train`?" if "trian" in block else "`schedule`?", "`loss`?" if before else "`model`?"]
        assert len(words) == len([d for d in found if d.severity == "error"])


IN_A_MODEL = [
    ("foo {{\n y = unroll GRU(3) over x\n {odd} }}", "`foo` begins no statement"),
    ("foo bar {{\n y = 3 3\n {odd} }}", "`foo` begins no statement"),
    ("foo\n{{ optimizer adam(rate = 0.1)\n y 3\n {odd} }}", "`foo` begins no statement"),
    ("{{\n y = 3\n {odd} }}", "unexpected `{{` after `]`"),
    ("y = foo {{ {odd} }}", "unexpected `{{` after `foo`"),
    ("y = unroll GRU(3) over x {{ {odd}\n }}", "unexpected `{{` after `x`"),
    ("train {{\n foo {{ {odd} }}\n epochs 3\n }}\n y = x", "expected an expression after `foo`"),
]


@pytest.mark.parametrize("odd", ["a 3", "for k in 1..2 {\n b = ?\n }\n b c", "output z\n if y {}"])
@pytest.mark.parametrize("block, message", IN_A_MODEL)
def test_of_a_block_that_nobody_knows_only_its_beginning_is_told(block: str, message: str, odd: str) -> None:
    """What stands in it may be anything, and may define what is read behind it; what is wrong behind it is told."""
    text = f"model M {{\n input x: seq[2]\n {block.format(odd=odd)}\n output y\n los y\n}}\n"
    found = [d for d in check_source(Source("a", text)).found if d.severity == "error" and d.code != "E003"]
    assert [d.message for d in found] == [message.format(), "`los` begins no statement"]


@pytest.mark.parametrize("block", ["foo Bar {\n a 3\n output x\n}", "foo Bar(n = 3)\n{ if }", "foo { layer Bar { } }"])
def test_of_a_definition_that_nobody_knows_only_its_beginning_is_told(block: str) -> None:
    text = f"{block}\nmodel M {{\n input x: seq[2]\n output unroll Bar() over x as y\n los x\n}}\n"
    found = [d.message for d in check_source(Source("a", text)).found if d.severity == "error"]
    assert found == ["`foo` begins no definition", "`los` begins no statement"]


def test_every_word_has_its_colour() -> None:
    for word in grammar().reserved:
        assert next(coloured(Source("a", f"{word} x"))).colour == "keyword", word
    for word in names() - grammar().words:
        assert next(coloured(Source("a", f"{word}(x)"))).colour == "function", word
    for word in library():
        assert next(coloured(Source("a", f"{word}(3)"))).colour == "class"


def test_pygments_knows_the_language() -> None:
    text = "model M {\n  input x: seq[3] int  # a\n  stop = tanh(x)\n  h' = stop\n}\n"
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pygments.lexers"]["rnn"]
    module, _, name = entry.partition(":")
    lexer = getattr(import_module(module), name)()
    found = list(lexer.get_tokens(text))
    assert isinstance(lexer, RnnLexer) and "".join(piece for _, piece in found) == text
    kinds = {piece: kind for kind, piece in found}
    assert kinds["model"] is Keyword and kinds["seq"] is Keyword.Type and kinds["tanh"] is Name.Builtin
    assert kinds["stop"] is Name and kinds["h'"] is Name.Variable.Instance
    assert Token.Error not in kinds.values()


def test_every_function_is_explained() -> None:
    assert set(TABLE) <= set(words.reference())
    for name in names():
        assert f"{name}(" in words.about_function(name)


def test_every_function_and_cell_is_completed() -> None:
    text = "model M {\n  y = \n}\n"
    found = {c.label for c in completions(analyse(Source("a", text)), text.index("= ") + 2)}
    assert names() | set(library()) <= found


# --- the extension of VS Code -----------------------------------------------------------------------------

EXTENSION = ROOT / "grammar" / "vscode"


def test_the_extension_colours_the_words_of_the_language() -> None:
    """Its grammar is made by `python grammar/vscode/make_grammar.py`."""
    made = runpy.run_path(str(EXTENSION / "make_grammar.py"))["textmate"]()
    assert json.loads((EXTENSION / "syntaxes" / "rnn.tmLanguage.json").read_text()) == made
    text = json.dumps(made)
    assert all(re.search(rf"\b{word}\b", text) for word in {*grammar().words, *names(), *library()})


def test_the_snippets_are_sound() -> None:
    """Each as a person gets it who changes nothing, in a model or cell where it is no definition of its own."""
    snippets = json.loads((EXTENSION / "snippets" / "rnn.json").read_text())
    for name, snippet in snippets.items():
        text = re.sub(r"\$\{\d+:([^}]*)\}|\$\d+", r"\1", "\n".join(snippet["body"]))
        found = [d for d in check_source(Source(name, text)).found if d.severity == "error"]
        assert not found, (name, text, found)
