"""The options of a layer, ours beside those of another tool: what a file says, what it cannot say, what differs.

Options have our names and values. What a tool calls them stands in `WORDS`; what is not there, its layer has not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.exchange.conversion.layers import Place, Plain
from rnngraph.exchange.formats.contents import Said, Says
from rnngraph.exchange.recognise import ACTIVATIONS, HARD, SIGMOID
from rnngraph.files.safetensors import Arrays

Options = Mapping[str, Any]

_RUN = {"reverse": "go_backwards", "activation": "activation"}
_GATED = {**_RUN, "gate": "recurrent_activation"}
_NODE = {"reverse": "direction", "activation": "activations", "clip": "clip"}
_GATES = {**_NODE, "gate": "activations"}
WORDS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "tf1": {
        "RNN": {"activation": "activation"},
        "GRU": {"activation": "activation", "reset_after": "reset_after"},
        "LSTM": {
            "forget_bias": "forget_bias", "activation": "activation", "peepholes": "use_peepholes",
            "cell_clip": "cell_clip", "projection_clip": "proj_clip",
        },
        "Dense": {"activation": "activation"},
        "LayerNorm": {"epsilon": "epsilon"},
    },
    "keras": {
        "RNN": _RUN, "GRU": {**_GATED, "reset_after": "reset_after"}, "LSTM": _GATED,
        "Dense": {"activation": "activation"}, "LayerNorm": {"epsilon": "epsilon"},
    },
    "torch": {"RNN": {"activation": "nonlinearity"}, "LayerNorm": {"epsilon": "eps"}},
    "onnx": {
        "RNN": _NODE, "GRU": {**_GATES, "reset_after": "linear_before_reset"},
        "LSTM": {**_GATES, "peepholes": "P", "coupled": "input_forget"},
        "LayerNorm": {"epsilon": "epsilon"},
    },
}  # fmt: skip
"""For each tool and kind of layer: the options that its layer has, ours to theirs."""


def ours(place: Place) -> Options:
    """What the model's own layer has."""
    if isinstance(place.layer, Plain):
        return place.layer.options
    none = {"peepholes": False, "cell_clip": 0.0, "projection_clip": 0.0, "coupled": False, "reset_after": False}
    joined = {"merge": "concat"} if place.joined else {}
    return {**none, **joined, "gate": SIGMOID, "clip": 0.0, "reverse": place.backwards, **place.layer.options}


class Theirs(Struct, frozen=True):
    """What the layer of a file has: all its options, how the file puts those that it says, and those it does not."""

    options: Options
    said: Says
    unsaid: tuple[str, ...]


def theirs(tool: str, place: Place, arrays: Arrays, says: Says, assumed: Options) -> Theirs:
    """The options of a file's layer: what it says, else what was told with `--assume`, else as the model has it."""
    kind, own = place.layer.kind, ours(place)
    words = WORDS[tool].get(kind, {})
    said = {**_shown(tool, kind, arrays), **{k: s for k, s in says.items() if k != "kind"}}
    for option in assumed.keys() & said.keys():
        if said[option].value != assumed[option]:
            raise UserError(
                f"`{words[option]}` is given as {text(assumed[option])}, but the file already says: "
                f"{said[option].words}",
                "E698",
                f"leave out `--assume {words[option]}=...` for `{place.name}`",
            )
    unsaid = [o for o in words if o not in said and _matters(place, o)]
    way = {"reverse": place.backwards} if "reverse" in own else {}
    options = way | {o: assumed.get(o, own[o]) for o in unsaid} | {o: s.value for o, s in said.items()}
    return Theirs(options, said, tuple(o for o in unsaid if o not in assumed))


def _matters(place: Place, option: str) -> bool:
    """Whether an option that is not said can be another: a clip of a projection needs one, and of the two cells of a
    module in two directions names say which way each goes."""
    if option == "projection_clip":
        return bool(ours(place).get("projection"))
    return option != "reverse" or not place.run


def _shown(tool: str, kind: str, arrays: Arrays) -> Says:
    """The options that the arrays themselves show."""
    if kind == "LSTM" and tool == "tf1":
        found = [name for name in ("w_i_diag", "w_f_diag", "w_o_diag") if name in arrays]
        return {"peepholes": Said(bool(found), "peepholes (`w_i_diag`)" if found else "no peepholes")}
    if kind == "LSTM" and tool == "onnx":
        seen = "P" in arrays and bool(arrays["P"].any())
        return {"peepholes": Said(seen, "peepholes (`P`)" if seen else "no peepholes")}
    if kind == "GRU" and tool == "tf1":
        after = "candidate/hidden_projection/kernel" in arrays
        return {"reset_after": Said(after, f"a reset gate {'behind' if after else 'before'} the product")}
    if kind == "GRU" and tool == "keras" and "bias" in arrays:
        after = arrays["bias"].size > arrays["kernel"].shape[-1]
        return {"reset_after": Said(after, f"a bias of {'two rows' if after else 'one row'}")}
    return {}


# --- what differs, and what would mend it -------------------------------------------------------------------------


def differences(place: Place, found: Theirs) -> list[str]:
    """For each option in which the model's layer is another one: what the file says, and what to write."""
    own = ours(place)
    return [
        f"{_put(found, o)}: {_remedy(place, o, value)}"
        for o, value in found.options.items()
        if o in own and not _same(own[o], value) and not _absorbed(place, o)
    ]


def _put(found: Theirs, option: str) -> str:
    """An option as the file puts it, or as it was told."""
    if option in found.said:
        return f"the file says {found.said[option].words}"
    return f"`--assume` says {text(found.options[option])} for it"


def _same(own: Any, value: Any) -> bool:
    """Equal, numbers as they are after a float32 has held them."""
    if isinstance(value, float) and isinstance(own, (int, float)):
        return abs(own - value) <= 1e-6 * abs(value)
    return bool(own == value)


def _absorbed(place: Place, option: str) -> bool:
    """Whether a difference goes into the weights (a forget bias), or may stand in the model's own text behind the
    layer (what a `Dense` without an activation gives)."""
    return option == "forget_bias" or (place.layer.kind == "Dense" and place.layer.options["activation"] == "identity")


def _remedy(place: Place, option: str, value: Any) -> str:
    layer = place.layer
    if option == "reverse":
        return "write `unroll ... over ... reversed`" if value else "leave out `reversed`"
    if option == "merge":
        return "a layer of your own can join the two directions so"
    if option == "gate" and value in (HARD[1], SIGMOID):
        return f"write `{replace(layer, options={**layer.options, option: value}).text}`"
    if option == "gate" and value == HARD[0]:
        source = f"rnngraph/language/library/{layer.kind.lower()}.rnn"
        return f"write a cell of your own, a copy of `{layer.kind}` in `{source}`, with `{value}` for its gates"
    if option in layer.options and (option != "activation" or value in ACTIVATIONS):
        return f"write `{replace(layer, options={**layer.options, option: value}).text}`"
    if option == "coupled":
        return f"write `{layer.kind}(..., coupled = true)`"
    return f"no setting of `{layer.kind}` says that"


# --- what is assumed ----------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    """A value as it is written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.7g}" if isinstance(value, (int, float)) else str(value)


def listed(tool: str, kind: str, options: Sequence[str], values: Options) -> str:
    """`forget_bias = 1, activation = tanh`, in the tool's words."""
    words = WORDS[tool][kind]
    return ", ".join(f"{words[o]} = {text(values[o])}" for o in options)


def told(tool: str, places: Sequence[Place], texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What was told with `--assume`, by layer and option. UserError where no layer has such an option."""
    found: dict[str, dict[str, Any]] = {place.name: {} for place in places}
    for name, written in texts.items():
        layer, _, word = name.rpartition(".")
        taken = [(p, o) for p in places if layer in ("", p.name) for o in _options(tool, p.layer.kind, word)]
        if not taken:
            raise UserError(
                f"there is no assumption called `{name}`", "E698", _assumable(tool, places, name)
            )
        for place, option in taken:
            found[place.name][option] = _value(written)
    return found


def _options(tool: str, kind: str, word: str) -> list[str]:
    return [ours for ours, theirs in WORDS[tool].get(kind, {}).items() if theirs == word]


def _assumable(tool: str, places: Sequence[Place], name: str) -> str:
    known = sorted({word for p in places for word in WORDS[tool].get(p.layer.kind, {}).values()})
    return did_you_mean(name, known) or f"the assumptions are: {', '.join(f'`{w}`' for w in known) or 'none'}"


def _value(written: str) -> Any:
    """`true`, `0.5` and `tanh` as our values; `linear` is what others call our `identity`, `none` no clip."""
    words = {"true": True, "false": False, "none": 0.0, "linear": "identity"}
    if written.lower() in words:
        return words[written.lower()]
    try:
        return float(written)
    except ValueError:
        return written
