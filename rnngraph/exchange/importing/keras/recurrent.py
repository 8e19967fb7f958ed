"""Keras's recurrent layers: SimpleRNN, GRU, LSTM, `RNN` around their cells, and `Bidirectional`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from rnngraph.exchange.conversion.layers import Place
from rnngraph.exchange.conversion.layouts import LAYOUTS
from rnngraph.exchange.conversion.verify import check
from rnngraph.exchange.formats.keras_config import KINDS
from rnngraph.exchange.importing.functions import FORMULAS, OLD_HARD, OURS
from rnngraph.exchange.importing.keras.layers import Call, Result
from rnngraph.exchange.importing.recurrent import LOGISTIC, Function, Functions, Recurrent, Run, converted, run
from rnngraph.exchange.importing.values import CannotSay, Value
from rnngraph.exchange.recognise import ACTIVATIONS, HARD, SIGMOID


def recurrent(call: Call) -> Result:
    """The sequence or the last output, then the states if they are wanted."""
    _refuse(call.config)
    made, back = _layer(call, call.kind), bool(call.config.get("go_backwards"))
    ran = run(call.body, call.model.texts, call.hint, [made], call.inputs[0], [_first(call, made, call.states)], True)
    y = _shown(call, ran, 0, call.config, back)
    return (y, *_states(ran, made, 0)) if call.config.get("return_state") else y


def around_cells(call: Call) -> Result:
    """`RNN` of a cell, or of several, each of which reads what the one before gives."""
    _refuse(call.config)
    cell = call.config["cell"]
    cells = cell["config"].get("cells")
    if call.states:
        raise CannotSay("it is given initial states of several cells")
    x, back, states = call.inputs[0], bool(call.config.get("go_backwards")), list[Value]()
    for inner in cells or [cell]:
        names = (inner["config"]["name"],) if cells else ()
        kind = str(inner["class_name"]).removesuffix("Cell")
        if kind not in KINDS:
            raise CannotSay(f"there is no cell `{inner['class_name']}`")
        made = replace(_layer(replace(call, config=inner["config"]), kind, *names), reverse=back)
        hint = "_".join((call.hint, *names))
        ran = run(call.body, call.model.texts, hint, [made], x, [{}], True)
        states += _states(ran, made, 0)
        x = ran.outputs[0]
    y = _shown(call, ran, 0, call.config, back)
    return (y, *states) if call.config.get("return_state") else y


def bidirectional(call: Call) -> Result:
    forward = call.config["layer"]["config"]
    _refuse(forward)
    kind, merge = call.config["layer"]["class_name"], call.config.get("merge_mode", "concat")
    if kind not in KINDS or forward.get("go_backwards"):
        raise CannotSay("its layer is another than SimpleRNN, GRU or LSTM, or goes backwards itself")
    other = (call.config.get("backward_layer") or {}).get("config", forward)
    layers = [_layer(replace(call, config=c), kind, way) for c, way in ((forward, "forward"), (other, "backward"))]
    layers[1] = replace(layers[1], reverse=True)
    half = len(call.states) // 2
    first = [_first(call, m, s) for m, s in zip(layers, (call.states[:half], call.states[half:]), strict=True)]
    whole, states = bool(forward.get("return_sequences")), bool(forward.get("return_state"))
    joined = whole and merge == "concat" and not states
    ran = run(call.body, call.model.texts, call.hint, layers, call.inputs[0], first, not joined)
    ys = [ran.joined] if ran.joined else [_shown(call, ran, i, forward, False) for i in range(2)]
    made = _merged(call, merge, ys)
    ends = [s for i in range(2) for s in _states(ran, layers[i], i)] if states else []
    return (*made, *ends) if len(made) + len(ends) > 1 else made[0]


def _merged(call: Call, merge: str | None, ys: Sequence[Value]) -> tuple[Value, ...]:
    if len(ys) == 1 or merge is None:
        return tuple(ys)
    forms = {"concat": "[{0}, {1}]", "sum": "{0} + {1}", "mul": "{0} * {1}", "ave": "({0} + {1}) / 2"}
    if merge not in forms:
        raise CannotSay(f"it joins its directions by `{merge}`")
    one, other = ys
    size = other.dims[-1] if isinstance(other.dims[-1], int) and merge == "concat" else 0
    dims = (*one.dims[:-1], one.shape[-1] + size)
    return (call.body.let(f"{call.hint}_y", forms[merge].format(one.text, other.text), dims),)


def _refuse(config: Mapping[str, Any]) -> None:
    if config.get("time_major"):
        raise CannotSay("its batch is the second dimension")


def _layer(call: Call, kind: str, *names: str) -> Recurrent:
    """The layer with its weights, and a proof of it where its functions are those of the definitions."""
    theirs, kind = call.arrays(*names), KINDS[kind]
    if not {"kernel", "recurrent_kernel"} <= theirs.keys():
        raise CannotSay("its weights are not in the file")
    units, inputs = len(theirs["recurrent_kernel"]), len(theirs["kernel"])
    options = {"reset_after": bool(call.said("reset_after", *names))} if kind == "GRU" else {}
    acts, gate = str(call.said("activation", *names)), str(call.said("gate", *names) or SIGMOID)
    made = converted("keras", kind, inputs, units, options, theirs, Functions(_function(acts), _gate(gate)))
    if acts in ACTIVATIONS and gate == SIGMOID:
        proven = replace(made.cell, path=(*call.names, *names), options={**made.cell.options, "activation": acts})
        has = {**proven.options, "gate": gate, "reverse": False}
        call.model.proofs.append(partial(check, Place(proven, call.hint), made.arrays, LAYOUTS["keras"], has, theirs))
    if call.config.get("stateful"):
        note = f"`{call.hint}` says stateful = true: give the final states of a run with the data of the next"
        call.model.notes[note] = None
    dropout = float(call.config.get("dropout") or 0), float(call.config.get("recurrent_dropout") or 0)
    return replace(made, reverse=bool(call.config.get("go_backwards")), dropout=dropout)


def _function(name: str) -> Function:
    if name in FORMULAS:
        return Function(*FORMULAS[name])
    if name == HARD[0]:
        return Function(*OLD_HARD)
    if name == HARD[1]:
        return Function("hard_sigmoid")
    if name in OURS or name in OURS.values():
        return Function(OURS.get(name, name))
    raise CannotSay(f"there is no activation `{name}`")


def _gate(name: str) -> Function:
    return LOGISTIC if name == SIGMOID else _function(name)


def _first(call: Call, made: Recurrent, states: Sequence[Value]) -> dict[str, Value]:
    """Initial states in Keras's order, h before c."""
    names = ("h", "c") if made.cell.kind == "LSTM" else ("h",)
    if states and len(states) != len(names):
        raise CannotSay(f"it is given {len(states)} initial states")
    return dict(zip(names, map(_of_a_row, states), strict=False))


def _of_a_row(state: Value) -> Value:
    """A first state; one that is constant is the same for all rows."""
    if state.array is None:
        return state
    if state.array.ndim != 2 or len(state.array) != 1:
        raise CannotSay("its initial states are constants that differ between rows")
    return Value("first_state", state.dims[1:], state.dtype, state.array[0])


def _shown(call: Call, ran: Run, i: int, config: Mapping[str, Any], back: bool) -> Value:
    """All outputs, in Keras's order, or the last."""
    if not config.get("return_sequences"):
        return ran.finals[i]["h"]
    y = ran.outputs[i]
    if back and call.model.masked:
        told = "of a row that is padded its outputs begin at the first step here, and behind the padding in the file"
        call.model.notes[f"`{call.hint}` goes backwards over masked steps: {told}"] = None
    return replace(y, text=f"reversed({y.text})") if back else y


def _states(ran: Run, made: Recurrent, i: int) -> list[Value]:
    return [ran.finals[i][state] for state in ("hc" if made.cell.kind == "LSTM" else "h")]


RULES = {**dict.fromkeys(("SimpleRNN", "GRU", "LSTM", "CuDNNGRU", "CuDNNLSTM"), recurrent), "RNN": around_cells,
         "Bidirectional": bidirectional}  # fmt: skip
