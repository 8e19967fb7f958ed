"""The page of errors and warnings, from the code: what is said under each code, and what mends it.

Messages and hints are read from the calls that make them; `…` stands for what is filled in. Where a message is put
together elsewhere, or no hint is said beside it, one is written here. A test asks that no code is left without either.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = re.compile(r"[EW]\d{3}")
HEAD = """\
# Errors and warnings

Every message has a code, which stays; this page is made from the code of the program. `…` stands for names and numbers
of yours. A message tells the place, and mostly its own cure, which stands here behind the arrow. Errors of the text are
all told at once, by `rnngraph check` before anything runs; warnings (W) stop nothing.
"""
GROUPS = {
    "E0": "The text cannot be read",
    "E1": "Names",
    "E2": "Kinds, dimensions, sizes",
    "E3": "How things are put together",
    "E5": "Memory, devices, data, files",
    "E6": "What is asked for; weights, generation",
    "E7": "Training, frameworks, models from other tools",
    "E9": "Pictures, and the program itself",
    "W4": "Near-certain slips in the text",
    "W6": "Warnings of commands",
}
MESSAGES = {
    "E000": "something that has no code of its own",
    "E313": "an import that cannot be read, leads out of its folder, or has no such name",
    "E538": "`draw` has not as many classes with a weight above 0 as are to be drawn",
    "E544": "a file of data is damaged, or another kind of file than its ending says",
    "E614": "a way of keeping states cannot be had for this model: the message says why, and at which line",
    "E630": "options of text generation that exclude each other, or are out of range",
    "E682": "this needs the package `…`, which is not installed",
    "E730": "training was interrupted in epoch …, after … batches",
    "E731": "the loss, or the gradient, was no longer finite in epoch …, batch …",
    "E747": "PyTorch or JAX, which is an extra, is not installed",
    "E770": "a folder that is to be made has files already, or cannot be made",
    "W600": "something of a command that is probably not meant: the message says what",
    "W605": "one training of a sweep failed: the message says which, and why",
    "W607": "a kernel for a GPU is not compiled or not loaded: the message says what is done instead, and why",
    "W608": "the loss of all rows is not the mean of that of their parts: the message says of which, and why",
    "W609": "most of a column are numbers, and all of it is read as words: the message names the first that is none",
    "W610": "rows of one sequence have the same place in the order: the message names two of them",
}
"""Of codes whose messages are put together elsewhere."""
CURES = {
    "E000": "the message says it",
    "E001": "compare with the examples of the language's reference; the caret is where it stops making sense",
    "E002": "close the bracket, or take the other one away",
    "E005": "save the file as UTF-8",
    "E006": "split it, and `import` the parts",
    "E007": "look at the path",
    "E101": "a name that is nearly right is offered; values are defined above their use, cells and layers anywhere",
    "E102": "`rnngraph library NAME` shows the settings and inputs of a cell",
    "E103": "rename one of them",
    "E106": "declare it, `state h: [n] = 0`, or leave the `'` out",
    "E201": "the message has both sizes and where they come from: mend one of the two places",
    "E202": "`float(x)`, `int(x)` and comparisons make one kind of another",
    "E203": "sizes and counts are whole numbers of at least 1",
    "E204": "`reshape`, `x[0]`, `x[:, None]` and `concat` change the number of dimensions",
    "E206": "count from 0, or from the end with -1",
    "E207": "look at the numbers in the line",
    "E208": "sizes, counts and switches come from numbers and settings, not from data",
    "E303": "the message says how many are needed",
    "E304": "a cell is run by `unroll CELL over x`, a layer is applied: `LAYER(x)`",
    "E305": "`last(x)`, a mean or a sum with `axis = time` make one value of a sequence",
    "E306": "leave one of them out; `where(condition, a, b)` chooses between two",
    "E309": "`record(c = ..., h = ...)` gives each state by its name",
    "E311": "move it to where it belongs: inputs and losses into the model, states into a cell",
    "E313": "the path is relative to the file that imports; copy what is elsewhere beside it",
    "E319": "take the first gradient only, or another loss for the second",
    "E501": "take fewer steps, a smaller batch, or `--memory-limit`",
    "E514": "the message has the shape that is needed; data are batch first: (batch, time, ...)",
    "E515": "all inputs on one axis have as many steps, and all have as many rows",
    "E516": "give at least one row",
    "E517": "all inputs have as many rows, and those on one time axis as many steps",
    "E519": "give a dict of arrays by name, such as `{'x': x}`",
    "E520": "give one length for each row",
    "E521": "lengths and indices are integers: convert them with `.astype(int)`",
    "E522": "lengths count the real steps of a row, from 0 to the steps of the array",
    "E524": "give a value of that kind",
    "E530": "fill or remove such values; in the padding, behind `lengths`, they may stand",
    "E532": "the message names equation and step: look at a division, `log`, `exp` or `sqrt` there, or clip gradients",
    "E538": "give more classes a weight, draw fewer, or draw with `unique = false`",
    "E541": "rename one of them, or name one file only",
    "E543": "save it as `.npy`, which is mapped instead of read, or take a smaller part",
    "E544": "write the file anew; `.npz`, `.npy`, `.json`, `.jsonl` and tables are read",
    "E546": "take the file of weights of this model, or convert it: `rnngraph weights convert`",
    "E604": "give weights of this model: `model.init(seed)`, or `rg.load_weights(path)`",
    "E605": "`rnngraph summary` and the `output` lines of the model have the names",
    "E610": "`rnngraph show --help` lists the stages",
    "E614": "`--keep all` runs any model",
    "E616": "raise the limit to what is said, or take fewer steps, a smaller batch or a smaller model",
    "E617": "a cotangent has the shape of the output that it is named after",
    "E628": "give one of the values that the message names",
    "E630": "leave one of the two out",
    "E631": "the model's number of scores and the alphabet have to agree: set its size (`--set vocab=...`)",
    "E635": "use the alphabet that the model was trained with; weights of `train --text` keep it",
    "E640": "leave `reversed` out, or run the whole sequence at once",
    "E644": "write a line of numbers, or of JSON by the names of the inputs, for each step",
    "E645": "write as many numbers in a line as the inputs have at one step",
    "E654": "give weights of this model; `rnngraph weights show` lists those of a file",
    "E653": "begin with numbers that the type holds, or compute in float64",
    "E657": "weights are plain arrays of floats",
    "E658": "take an earlier checkpoint; train with a smaller rate or `clip_norm 1`",
    "E661": "take another copy of the file, or train anew",
    "E662": "look at the file and at who may read it",
    "E668": "make room, or ask for the permission that is missing",
    "E682": "the message has the command that installs it",
    "E699": "write what the message says into the `.rnn` file, or convert for another model",
    "E704": "give one of the values that the message names",
    "E710": "all arrays of the data have one row for each example",
    "E713": "train it without `segment`, or with `--unroll dynamic`",
    "E730": "continue with `--resume`",
    "E731": "a smaller `rate`, or `clip_norm 1`; the message names the equation where it began",
    "E747": "`pip install 'rnngraph[torch]'`, or `pip install 'rnngraph[jax]'`",
    "E760": "write that part by hand in the `.rnn` file, and convert the weights of the rest",
    "E770": "name a folder that is not there yet",
    "E912": "look at the folder, who may write there, and whether the disk has room",
    "W401": "use it, or remove it",
    "W600": "the message says it",
    "W603": "take fewer steps, if these sequences are needed",
    "W604": "name the layout with `--from`, if that is not meant",
    "W605": "look at that run's settings: the others go on",
    "W606": "leave `--host` out, or use it only in a network that you trust",
    "W607": "results are the same, and take longer; another version of CUDA may take the kernel",
    "W608": "the mean of parts is often as good to learn from; `batch` in place of `accumulate` gives that of all rows",
    "W609": "mend that cell where it should be a number",
    "W610": "name the column that tells sequences apart, by `--by`, where there are several",
}
"""Of messages without a hint beside them, by code."""


@dataclass
class Told:
    """What is said under one code: messages, each with its hints."""

    code: str
    messages: dict[str, list[str]] = field(default_factory=dict)

    @property
    def cures(self) -> list[str]:
        return [*(hint for hints in self.messages.values() for hint in hints), *filter(None, [CURES.get(self.code)])]


def page() -> str:
    parts = [HEAD]
    for group, codes in groupby(told().values(), key=lambda one: one.code[:2]):
        parts += [f"## {GROUPS[group]}\n", *(_entry(one) for one in codes)]
    return "\n".join(parts)


@cache
def told() -> dict[str, Told]:
    """Every code of the program, in order."""
    found: dict[str, Told] = {}
    for folder in ("rnngraph", "viz"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for code, message, hints in _said(path.read_text(encoding="utf-8")):
                one = found.setdefault(code, Told(code))
                if _says_something(message):
                    one.messages.setdefault(message, []).extend(hints)
    for code, message in MESSAGES.items():
        found[code].messages.setdefault(message, [])
    return dict(sorted(found.items()))


def _says_something(message: str) -> bool:
    return len(re.findall(r"[a-z]{2,}", message)) > 1


def _said(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Code, message and hints of each call (or row of a table) that has a code in it."""
    if not CODE.search(text):
        return
    module = ast.parse(text)
    shared = _named(module.body)
    scopes: list[ast.AST] = [module]
    for scope in scopes:  # grows by the functions that are found inside
        nodes = list(_own(scope, scopes))
        named = shared | _named(nodes)
        for node in nodes:
            yield from _call(node, named)


def _own(scope: ast.AST, functions: list[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a module or function, without those of the functions in it, which are put on the list."""
    waiting = list(ast.iter_child_nodes(scope))
    for node in waiting:
        if isinstance(node, ast.FunctionDef):
            functions.append(node)
        else:
            yield node
            waiting.extend(ast.iter_child_nodes(node))


def _named(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """What names stand for that are given one value only."""
    assigned = [n for n in nodes if isinstance(n, ast.Assign)]
    found = [(n.targets[0].id, n.value) for n in assigned if isinstance(n.targets[0], ast.Name)]
    often = Counter(name for name, _ in found)
    return {name: value for name, value in found if often[name] == 1}


def _call(node: ast.AST, named: Mapping[str, ast.expr]) -> Iterator[tuple[str, str, list[str]]]:
    match node:
        case ast.Constant(value=str(text)) if CODE.fullmatch(text):
            yield text, "", []
        case ast.Tuple(elts=parts):
            yield from _parts(parts, named)
        case ast.Call(args=parts, keywords=more):
            yield from _parts([*parts, *(one.value for one in more)], named)


def _parts(parts: Iterable[ast.expr], named: Mapping[str, ast.expr]) -> Iterator[tuple[str, str, list[str]]]:
    texts = [_text(named.get(part.id, part) if isinstance(part, ast.Name) else part) for part in parts]
    codes = [text for text in texts if CODE.fullmatch(text)]
    if codes:
        message, *hints = [text for text in texts if not CODE.fullmatch(text)] or [""]
        yield codes[0], message, [hint for hint in hints if " " in hint or "(" in hint]


def _text(node: ast.expr) -> str:
    """A text as it stands in the code, with `…` for what is filled in; empty for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return re.sub("…+", "…", "".join(_text(part) or "…" for part in parts))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{_text(left) or '…'}{_text(right) or '…'}" if _text(left) or _text(right) else ""
        case ast.IfExp(body=one, orelse=other):
            return _text(one) or _text(other)
        case ast.BoolOp(values=values):
            return next(filter(None, map(_text, values)), "")
    return ""


def _entry(one: Told) -> str:
    lines = [_line(message, hints) for message, hints in one.messages.items()]
    own = [f"\n{_escaped(CURES[one.code])}.\n"] if one.code in CURES else []
    return "\n".join([f"### {one.code}\n", *lines, *(text[:2].upper() + text[2:] for text in own)]) + "\n"


def _line(message: str, hints: list[str]) -> str:
    shown = list(dict.fromkeys(hint for hint in hints if hint.count("`") % 2 == 0))
    return f"- {_escaped(message)}" + "".join(f" → _{_escaped(hint)}_" for hint in shown)


def _escaped(text: str) -> str:
    """As it is said, also where it has signs of the page; code in it stands as it is."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(part if i % 2 else re.sub(r"([*_<\[\]])", r"\\\1", part) for i, part in enumerate(parts))
