"""Recurrent layers in the text: a cell of the library with its settings, or one written out where those do not do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.exchange.conversion.layout import Unsayable
from rnngraph.exchange.conversion.layouts import LAYOUTS
from rnngraph.exchange.importing.body import Body, Statement, numbered
from rnngraph.exchange.importing.functions import layer
from rnngraph.exchange.importing.values import CannotSay, Dims, Value, as_batch, as_sequence, sized
from rnngraph.exchange.recognise import SIGMOID, Cell
from rnngraph.files.safetensors import Arrays


class Function(Struct, frozen=True):
    """A function of one number: its name in the language, and its formula in z."""

    name: str
    formula: str = ""

    @property
    def of_z(self) -> str:
        return self.formula or f"{self.name}(z)"


TANH, LOGISTIC = Function("tanh"), Function(SIGMOID)


class Functions(Struct, frozen=True):
    """Those of a layer; `shown` is of an LSTM's cell as it is handed out, `clip` limits what goes into every one."""

    activation: Function = TANH
    gate: Function = LOGISTIC
    shown: Function | None = None
    clip: float = 0.0

    @property
    def usual(self) -> bool:
        """Whether a cell of the library has them, by its settings."""
        return self.shown in (None, self.activation)


class Recurrent(Struct, frozen=True):
    """A recurrent layer in one direction; `dropout` is of inputs and of states, with one mask for all steps."""

    cell: Cell
    arrays: Arrays
    functions: Functions
    reverse: bool = False
    dropout: tuple[float, float] = (0.0, 0.0)

    @property
    def inner(self) -> str:
        """The path of the cell in its instance."""
        return "inner." if any(self.dropout) else ""


def converted(
    tool: str, kind: str, inputs: int, units: int, options: Mapping[str, Any], theirs: Arrays, functions: Functions
) -> Recurrent:
    """The layer with its weights by local names, from the arrays of another tool."""
    bias = {"forget_bias": 1.0 if functions.usual else 0.0} if kind == "LSTM" and not options.get("coupled") else {}
    cell = Cell(kind, (), inputs, units, {}, {"activation": "tanh", **bias, **options})
    try:
        own = LAYOUTS[tool].read(cell, cell.options, theirs)
    except (Unsayable, KeyError, ValueError, IndexError) as error:
        raise CannotSay(str(error) if isinstance(error, Unsayable) else "its weights have other sizes") from error
    return Recurrent(cell, own, functions)


def cell_text(made: Recurrent, texts: dict[str, str]) -> str:
    """How the cell is written: `LSTM(128)`. What it needs beyond the library is added to the texts."""
    text, (inputs, states) = _bare(made, texts), made.dropout
    rates = [f"{name} = {rate}" for name, rate in (("inputs", inputs), ("states", states)) if rate]
    return f"DropoutAround({text}, {', '.join(rates)}, per_sequence = true)" if rates else text


def _bare(made: Recurrent, texts: dict[str, str]) -> str:
    functions, cell = made.functions, made.cell
    if not functions.usual:
        for name in numbered("OtherLSTM", ""):
            text = own_cell(name, made)
            if texts.setdefault(name, text) == text:
                return f"{name}({cell.units})"
    clip = functions.clip
    alone = clip and cell.kind == "RNN"
    told: dict[str, Any] = {"activation": _named(_clipped(functions, clip) if alone else functions.activation, texts)}
    if functions.gate != LOGISTIC:
        told["recurrent_activation"] = _named(functions.gate, texts)
    if clip and not alone:
        told["gate_clip"] = clip
    return replace(cell, options={**cell.options, **told}).text


def _clipped(functions: Functions, clip: float) -> Function:
    """The function of a plain RNN with its clip, for which that has no setting."""
    name = functions.activation.name
    return Function(f"Clipped{name[0].upper()}{name[1:]}", _put(functions.activation, "z", clip))


def _named(function: Function, texts: dict[str, str]) -> str:
    """A name for the function; one that is a formula is added to the texts as a layer."""
    if not function.formula:
        return function.name
    for name in numbered(function.name, ""):
        text = layer(name, function.formula)
        if texts.setdefault(name, text) == text:
            return name
    raise AssertionError


# --- cells written out ----------------------------------------------------------------------------------------------


def own_cell(name: str, made: Recurrent) -> str:
    """An LSTM with the functions of this layer, its weights named as in the library's."""
    return f"cell {name}(units) {{\n  input x: [n]\n" + "".join(f"  {line}\n" for line in _lstm(made)) + "}"


def _put(function: Function, text: str, clip: float = 0.0) -> str:
    """The function of an expression, which is clipped before."""
    inside = f"clip({text}, {-clip!r}, {clip!r})" if clip else text
    return re.sub(r"\bz\b", lambda _: f"({inside})", f"({function.of_z})")


def _lstm(made: Recurrent) -> list[str]:
    coupled, peepholes = (bool(made.cell.options.get(o)) for o in ("coupled", "peepholes"))
    gates, clip = ("i, j, o" if coupled else "i, j, f, o"), made.functions.clip
    shown = _put(made.functions.shown or made.functions.activation, "c'")  # onnxruntime does not clip this one
    seen = {g: f"{g} + w_{g} * {c}" if peepholes else g for g, c in (("i", "c"), ("f", "c"), ("o", "c'"))}
    forget = "1 - put" if coupled else _put(made.functions.gate, seen["f"], clip)
    count = len(gates.split())
    weights = [f"param w_{g}: [units] = 0" for g in ("io" if coupled else "ifo") if peepholes]
    return [
        "state c: [units] = 0", "state h: [units] = 0", f"param kernel: [n + units, {count} * units]",
        f"param bias: [{count} * units] = 0", *weights, "",
        f"{gates} = split([x, h] @ kernel + bias, {count})",
        f"put = {_put(made.functions.gate, seen['i'], clip)}",
        f"c' = ({forget}) * c + put * {_put(made.functions.activation, 'j', clip)}",
        f"h' = {_put(made.functions.gate, seen['o'], clip)} * {shown}",
        "output h'",
    ]  # fmt: skip


# --- running them ---------------------------------------------------------------------------------------------------


class Run(Struct, frozen=True):
    """What a recurrent layer gives: the sequence of each direction, and its final states by name."""

    outputs: tuple[Value, ...]
    finals: tuple[Mapping[str, Value], ...] = ()
    joined: Value | None = None


def run(
    body: Body,
    texts: dict[str, str],
    hint: str,
    layers: Sequence[Recurrent],
    x: Value,
    first: Sequence[Mapping[str, Value]],
    finals: bool,
) -> Run:
    """Runs a layer of one or two directions over `x`, whose dimensions are the batch, the steps and the inputs; `first`
    are the initial states of each direction that are not 0. Two directions without states are a `Bidirectional`."""
    dims = (as_batch(x.dims[0]), as_sequence(x.dims[1]))
    if len(x.dims) != 3 or sized(x.dims[2]) != layers[0].cell.inputs:
        raise CannotSay("its input has another size than its weights")
    written = [cell_text(made, texts) for made in layers]
    given = body.text_of(x)
    both = [made.reverse for made in layers] == [False, True]
    if both and not finals and not any(first):
        weights = {
            f"{way}.{m.inner}{n}": a
            for way, m in zip(("forward", "backward"), layers, strict=True)
            for n, a in m.arrays.items()
        }
        name = body.instance(hint, f"Bidirectional({written[0]}, {written[1]})", weights)
        joined = body.let(f"{name}_y", f"{name}({given})", (*dims, sum(m.cell.units for m in layers)))
        return Run((), (), joined)
    made = [
        _alone(body, f"{hint}_{way}" if both else hint, text, one, given, begun, dims)
        for way, text, one, begun in zip(("forward", "backward"), written, layers, first, strict=False)
    ]
    return Run(tuple(y for y, _ in made), tuple(final for _, final in made))


def _alone(
    body: Body, hint: str, text: str, made: Recurrent, given: str, begun: Mapping[str, Value], dims: Dims
) -> tuple[Value, Mapping[str, Value]]:
    if begun and made.inner:
        raise CannotSay("it has dropout and initial states")
    name = body.instance(hint, text, {f"{made.inner}{n}": array for n, array in made.arrays.items()})
    y, final = body.fresh(f"{name}_y"), body.fresh(f"{name}_final")
    back = " reversed" if made.reverse else ""
    units = made.cell.units
    body.statements.append(Statement((y, final), f"unroll {name} over {given}{back}{_begun(body, made, begun)}"))
    states = ("c", "h") if made.cell.kind == "LSTM" else ("h",)
    finals = {state: Value(f"{final}.{made.inner}{state}", (dims[0], units)) for state in states}
    return Value(y, (*dims, units)), finals


def _begun(body: Body, made: Recurrent, begun: Mapping[str, Value]) -> str:
    if not begun:
        return ""
    states = ("c", "h") if made.cell.kind == "LSTM" else ("h",)
    texts = {s: body.text_of(begun[s]) if s in begun else f"zeros([{made.cell.units}])" for s in states}
    return begin(texts)


def begin(texts: Mapping[str, str]) -> str:
    """The clause for initial states: a record as it is, if they are all its parts."""
    records = {text.removesuffix(f".{state}") for state, text in texts.items() if text.endswith(f".{state}")}
    whole = len(records) == 1 and all(text == f"{next(iter(records))}.{state}" for state, text in texts.items())
    told = next(iter(records)) if whole else f"record({', '.join(f'{s} = {text}' for s, text in texts.items())})"
    return f" from {told}"
