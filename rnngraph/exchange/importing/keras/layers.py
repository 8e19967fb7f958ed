"""A rule for each class of Keras layers: what a call of it is in the language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct, field

from rnngraph.exchange.formats.contents import Found, Key
from rnngraph.exchange.importing.body import Body, number
from rnngraph.exchange.importing.functions import FORMULAS, OLD_HARD, OURS, layer
from rnngraph.exchange.importing.products import product
from rnngraph.exchange.importing.shapes import elementwise, reduced, target_dims, with_dims
from rnngraph.exchange.importing.values import Axis, CannotSay, Learned, Value, sized
from rnngraph.files.safetensors import Arrays


class Model(Struct):
    """A model while it is read. `proofs` compare single layers with their definitions; `masked` says that steps of its
    rows may be left out."""

    found: Found
    version: str
    body: Body
    texts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    proofs: list[Callable[[], None]] = field(default_factory=list)
    masked: bool = False


class Call(Struct, frozen=True):
    """A layer that is called: the names around it and its own, its configuration, what it is given."""

    model: Model
    names: tuple[str, ...]
    kind: str
    config: Mapping[str, Any]
    inputs: tuple[Value, ...]
    states: tuple[Value, ...] = ()

    @property
    def body(self) -> Body:
        return self.model.body

    @property
    def hint(self) -> str:
        return "_".join(self.names)

    @property
    def x(self) -> Value:
        if len(self.inputs) != 1:
            raise CannotSay(f"it is given {len(self.inputs)} values")
        return self.inputs[0]

    def arrays(self, *names: str) -> Arrays:
        """The layer's arrays by local names. CannotSay where they are integers, which mean other numbers."""
        before = "/".join((*self.names, *names)) + "/"
        found = {n: np.asarray(a) for n, a in self.model.found.arrays.items() if n.startswith(before)}
        if whole := next((n for n, a in found.items() if a.dtype.kind != "f"), None):
            raise CannotSay(f"`{whole}` holds {found[whole].dtype} numbers: it is quantised, save it as floats")
        return {n.removeprefix(before): a for n, a in found.items()}

    def said(self, option: str, *names: str) -> Any:
        """What the file says of the layer, in our words."""
        says = self.model.found.says.get(Key("/".join((*self.names, *names))), {})
        return says[option].value if option in says else None


Result = Value | tuple[Value, ...]


def activation(call: Call, told: Any) -> str:
    """The name of a function in the language; `linear` is nothing."""
    name = _named(told)
    if (formula := _formula(call, name)) is not None:
        call.model.texts[formula[0]] = layer(*formula)
        return formula[0]
    if name not in OURS:
        raise CannotSay(f"there is no activation `{name}`")
    return OURS[name]


def _named(told: Any) -> str:
    return str(told.get("config", told.get("class_name")) if isinstance(told, dict) else told or "linear")


def _formula(call: Call, name: str) -> tuple[str, str] | None:
    """The name and the formula of a function that the language has not; Keras 2 has another `hard_sigmoid`."""
    if name == "hard_sigmoid" and call.model.version < "3":
        return OLD_HARD
    return FORMULAS.get(name)


def applied(call: Call, told: Any, value: Value) -> Value:
    formula = _formula(call, _named(told))
    if formula is not None and len(value.shape) != 1:  # a layer of one formula takes vectors
        return elementwise(call.body, call.hint, re.sub(r"\bz\b", "{0}", formula[1]), [value])
    name = activation(call, told)
    if name == "identity":
        return value
    return call.body.let(call.hint, f"{_callable(name)}({call.body.text_of(value)})", value.dims)


def _callable(name: str) -> str:
    return name if name[0].islower() else f"{name}()"


def dense(call: Call) -> Value:
    x, w, told = call.x, call.arrays(), call.config.get("activation", "linear")
    if "kernel" not in w or sized(x.dims[-1]) != len(w["kernel"]):
        raise CannotSay("its weights have other sizes, or are not in the file")
    units = w["kernel"].shape[1]
    dims = (*x.dims[:-1], units)
    if "bias" in w and len(x.shape) == 1:
        name = activation(call, told)
        layer_text = f"Dense({units}{'' if name == 'identity' else f', {name}'})"
        own = call.body.instance(call.hint, layer_text, w)
        return call.body.let(f"{own}_y", f"{own}({x.text})", dims)
    kernel = call.body.param(f"{call.hint}_kernel", w["kernel"])
    bias = f" + {call.body.param(f'{call.hint}_bias', w['bias'])}" if "bias" in w else ""
    return applied(call, told, call.body.let(f"{call.hint}_y", f"({x.text}) @ {kernel}{bias}", dims))


def embedding(call: Call) -> Value:
    ids, table = call.x, call.arrays().get("embeddings")
    if table is None:
        raise CannotSay("its weights are not in the file")
    if ids.dtype != "int":
        if ids.text in call.body.inputs:
            raise Learned(f"type {ids.text}", "int")
        ids = elementwise(call.body, call.hint, "int({})", [ids], "int")
    if call.config.get("mask_zero"):
        note = f"`{call.hint}` says mask_zero = true: give lengths with the data, id 0 masks nothing here"
        call.model.notes[note], call.model.masked = None, True
    dims = (*ids.dims, table.shape[1])
    if ids.shape:
        name = call.body.param(f"{call.hint}_table", table)
        return call.body.let(f"{call.hint}_y", f"{name}[{ids.text}]", dims)
    name = call.body.instance(call.hint, f"Embedding({len(table)}, {table.shape[1]})", {"table": table})
    return call.body.let(f"{name}_y", f"{name}({ids.text})", dims)


def layer_norm(call: Call) -> Value:
    x, w = call.x, call.arrays()
    axis = np.ravel(call.config.get("axis", -1))
    last = len(axis) == 1 and int(axis[0]) % len(x.dims) == len(x.dims) - 1
    if not last or call.config.get("rms_scaling") or len(x.shape) != 1:
        raise CannotSay("it is another norm than over the last dimension")
    size = sized(x.dims[-1])
    weights = {"gain": w.get("gamma", np.ones(size, "f4")), "offset": w.get("beta", np.zeros(size, "f4"))}
    epsilon = number(np.float64(call.config.get("epsilon", 1e-3)))
    name = call.body.instance(call.hint, f"LayerNorm(epsilon = {epsilon})", weights)
    return call.body.let(f"{name}_y", f"{name}({x.text})", x.dims)


def _dropout(per_sequence: bool) -> Callable[[Call], Value]:
    def rule(call: Call) -> Value:
        settings = f"{call.config['rate']}{', per_sequence = true' if per_sequence else ''}"
        if len(call.x.shape) != 1:
            raise CannotSay("it drops entries of something else than vectors")
        if call.config.get("noise_shape"):
            raise CannotSay("its noise_shape has several entries dropped together")
        name = call.body.instance(call.hint, f"Dropout({settings})", {})
        return call.body.let(f"{name}_y", f"{name}({call.x.text})", call.x.dims)

    return rule


def _masking(call: Call) -> Value:
    note = f"`{call.hint}` masks steps of {call.config.get('mask_value', 0.0)}: give lengths with the data instead"
    call.model.notes[note], call.model.masked = None, True
    return call.x


def _nothing(call: Call) -> Value:
    return call.x


def _activation(call: Call) -> Value:
    return applied(call, call.config.get("activation", "linear"), call.x)


def _function(form: str, **usual: float) -> Callable[[Call], Value]:
    def rule(call: Call) -> Value:
        text = form
        for name, value in usual.items():
            old = {"negative_slope": "alpha"}.get(name, name)
            text = text.replace(name, number(np.float64(call.config.get(name, call.config.get(old, value)))))
        return elementwise(call.body, call.hint, text, [call.x])

    return rule


def _relu(call: Call) -> Value:
    if any(call.config.get(n) for n in ("max_value", "negative_slope", "threshold")):
        raise CannotSay("it is another function than relu")
    return elementwise(call.body, call.hint, "relu({})", [call.x])


def _softmax(call: Call) -> Value:
    if call.config.get("axis", -1) not in (-1, len(call.x.dims) - 1):
        raise CannotSay("it goes over another dimension than the last")
    return call.body.let(call.hint, f"softmax({call.x.text})", call.x.dims)


def _merged(word: str, after: str = "{}") -> Callable[[Call], Value]:
    def rule(call: Call) -> Value:
        first, *others = call.inputs
        for other in others:
            form = f"{{}} {word} {{}}" if len(word) == 1 else f"{word}({{}}, {{}})"
            first = elementwise(call.body, call.hint, form, [first, other])
        if after == "{}":
            return first
        return elementwise(call.body, call.hint, after.format("{}", len(call.inputs)), [first])

    return rule


def _concatenate(call: Call) -> Value:
    first, rank = call.inputs[0], len(call.inputs[0].dims)
    if call.config.get("axis", -1) % rank != rank - 1 or any(v.dims[:-1] != first.dims[:-1] for v in call.inputs):
        raise CannotSay("it joins along another dimension than the last")
    size = sum(sized(v.dims[-1]) for v in call.inputs)
    return call.body.let(call.hint, f"[{', '.join(v.text for v in call.inputs)}]", (*first.dims[:-1], size))


def _refuse_turned(call: Call) -> None:
    if call.config.get("data_format") == "channels_first":
        raise CannotSay("its channels are not the last dimension")


def _flatten(call: Call) -> Value:
    _refuse_turned(call)
    total = int(np.prod([sized(d) for d in call.x.dims[1:]]))
    return with_dims(call.x, (call.x.dims[0], total))


def _reshape(call: Call) -> Value:
    for dim in call.x.dims[1:]:
        sized(dim)
    return with_dims(call.x, target_dims(call.x.dims, [call.x.dims[0], *call.config["target_shape"]], False))


def _pooled(form: str) -> Callable[[Call], Value]:
    def rule(call: Call) -> Value:
        _refuse_turned(call)
        dim = call.x.dims[1]
        if isinstance(dim, Axis) and dim.open:
            raise Learned(dim.key, "time")
        return reduced(call.body, call.hint, form, call.x, [1], bool(call.config.get("keepdims")))

    return rule


def _dot(call: Call) -> Value:
    a, b = call.inputs
    if list(np.ravel(call.config.get("axes", 0))) not in ([2, 1], [-1, 1]) or call.config.get("normalize"):
        raise CannotSay("it multiplies along other dimensions than those of matrices")
    return product(call.body, call.hint, a, b)


RULES: dict[str, Callable[[Call], Result]] = {
    "Dense": dense, "Embedding": embedding, "LayerNormalization": layer_norm, "Dropout": _dropout(False),
    "SpatialDropout1D": _dropout(True), "Masking": _masking, "Activation": _activation, "ReLU": _relu,
    "Softmax": _softmax, "LeakyReLU": _function("leaky_relu({}, negative_slope)", negative_slope=0.3),
    "ELU": _function("elu({}, alpha)", alpha=1.0),
    "Add": _merged("+"), "Multiply": _merged("*"), "Subtract": _merged("-"), "Maximum": _merged("max"),
    "Minimum": _merged("min"), "Average": _merged("+", "{} / {}"), "Concatenate": _concatenate, "Dot": _dot,
    "Flatten": _flatten, "Reshape": _reshape, "GlobalAveragePooling1D": _pooled("mean({}, {})"),
    "GlobalMaxPooling1D": _pooled("max({}, {})"),
    **dict.fromkeys(("ActivityRegularization", "Identity"), _nothing),
}  # fmt: skip

