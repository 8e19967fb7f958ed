"""Operators that work on each number alone, and those over dimensions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec.structs import replace

from rnngraph.exchange.importing.body import number
from rnngraph.exchange.importing.onnx.scope import TYPES, Op
from rnngraph.exchange.importing.shapes import along, elementwise, reduced
from rnngraph.exchange.importing.values import CannotSay, Value

Rule = Callable[[Op], "Value | tuple[Value | None, ...]"]
NARROW = {2: "uint8", 3: "int8", 5: "int16"}
"""Types by their number in ONNX; more than they hold becomes another number."""


def _form(form: str, dtype: str | None = None) -> Rule:
    return lambda op: elementwise(op.body, op.hint, form, op.values(), dtype)


def _joined(word: str) -> Rule:
    """An operator of any number of operands."""

    def rule(op: Op) -> Value:
        first, *others = op.values()
        for other in others:
            form = f" {word} ".join(("{}", "{}")) if len(word) < 3 else f"{word}({{}}, {{}})"
            first = elementwise(op.body, op.hint, form, [first, other])
        return first

    return rule


def _max(op: Op) -> Value:
    values = op.values()
    zero = [v for v in values if v.array is not None and v.array.size == 1 and not v.array.any()]
    rest = [v for v in values if v not in zero]
    if len(zero) == len(rest) == 1 and rest[0].dtype == "float" and len(zero[0].dims) <= len(rest[0].dims):
        return elementwise(op.body, op.hint, "relu({})", rest)
    return _joined("max")(op)  # type: ignore[return-value]


def _mean(op: Op) -> Value:
    total, count = _joined("+")(op), len(op.values())
    return elementwise(op.body, op.hint, f"{{}} / {count}", [total])  # type: ignore[list-item]


def _div(op: Op) -> Value:
    """Integers are divided towards 0."""
    whole = "where({0} % {1} == 0 or ({0} < 0) == ({1} < 0), {0} // {1}, {0} // {1} + 1)"
    return elementwise(op.body, op.hint, whole if _integers(op) else "{} / {}", op.values())


def _integers(op: Op) -> bool:
    return all(v.dtype == "int" for v in op.values())


def _mod(op: Op) -> Value:
    rest = "sign({0}) * mod(abs({0}), abs({1}))" if op.attribute("fmod", 0) else "mod({}, {})"
    return elementwise(op.body, op.hint, rest, op.values())


def _cast(op: Op) -> Value:
    value, kind = op.value(0), TYPES.get(op.attribute("to", 1))
    if kind is None:
        raise CannotSay("the language has no such type of numbers")
    if narrow := NARROW.get(op.attribute("to", 1)):
        raise CannotSay(f"it makes numbers of type {narrow}, and the language has one type of integers")
    if kind == value.dtype:
        return value
    form = {"float": "float({})", "int": "int({})", "bool": "{} != 0"}[kind]
    return elementwise(op.body, op.hint, form, [value], kind)


def _clip(op: Op) -> Value:
    low, high = (op.constant(i) if op.has(i) else op.attribute(n, None) for i, n in ((1, "min"), (2, "max")))
    given = [op.value(0)]
    if low is None and high is None:
        return given[0]
    words = [None if limit is None else number(np.ravel(np.asarray(limit, np.float32))[0]) for limit in (low, high)]
    if high is None or low is None:
        form = f"max({{}}, {words[0]})" if high is None else f"min({{}}, {words[1]})"
        return elementwise(op.body, op.hint, form, given)
    return elementwise(op.body, op.hint, f"clip({{}}, {words[0]}, {words[1]})", given)


def _with_numbers(form: str, **usual: float) -> Rule:
    """A formula with attributes by name."""

    def rule(op: Op) -> Value:
        numbers = {n: number(np.float32(op.attribute(n, value))) for n, value in usual.items()}
        text = form
        for name, told in numbers.items():
            text = text.replace(name, told)
        return elementwise(op.body, op.hint, text, [op.value(0)])

    return rule


def _gelu(op: Op) -> Value:
    form = "gelu({}, approximate = true)" if op.attribute("approximate", "none") == "tanh" else "gelu({})"
    return elementwise(op.body, op.hint, form, [op.value(0)])


def _swish(op: Op) -> Value:
    steep = number(np.float32(op.attribute("alpha", 1.0)))
    form = "silu({})" if float(steep) == 1 else f"{{0}} * sigmoid({steep} * {{0}})"
    return elementwise(op.body, op.hint, form, [op.value(0)])


def _identity(op: Op) -> Value:
    return op.value(0)


def _dropout(op: Op) -> tuple[Value | None, ...]:
    """Dropout does nothing where a network is used."""
    return (op.value(0), None)[: len(op.node.output)]


# --- over dimensions ------------------------------------------------------------------------------------------------


def _over(form: str, after: str = "") -> Rule:
    def rule(op: Op) -> Value:
        value = op.value(0)
        places = op.ints(1, "axes")
        if not places:
            if op.attribute("noop_with_empty_axes", 0):
                return value
            places = list(range(len(value.dims)))
        if value.array is not None:
            value = replace(value, text=op.body.text_of(value), array=None)
        made = reduced(op.body, op.hint, form, value, places, bool(op.attribute("keepdims", 1)))
        return elementwise(op.body, op.hint, after, [made]) if after else made

    return rule


def _mean_over(op: Op) -> Value:
    return _over("mean({}, {})")(op)  # type: ignore[return-value]


def _squares(form: str) -> Rule:
    """Sums of squares, and roots of them."""

    def rule(op: Op) -> Value:
        squared = elementwise(op.body, op.hint, "square({})", [op.value(0)])
        total = _over("sum({}, {})")(replace(op, inputs=(squared, *op.inputs[1:])))
        return elementwise(op.body, op.hint, form, [total])  # type: ignore[list-item]

    return rule


def _place(word: str) -> Rule:
    def rule(op: Op) -> Value:
        if op.attribute("select_last_index", 0):
            raise CannotSay("of equal entries it chooses the last")
        value = op.value(0)
        place, keep = op.attribute("axis", 0), bool(op.attribute("keepdims", 1))
        along(value, place)
        return replace(reduced(op.body, op.hint, f"{word}({{}}, {{}})", value, [place], keep), dtype="int")

    return rule


def _softmax(word: str) -> Rule:
    def rule(op: Op) -> Value:
        value = op.value(0)
        place = op.attribute("axis", -1 if op.whole.opset >= 13 else 1)
        if op.whole.opset < 13 and place % len(value.dims) != len(value.dims) - 1:
            raise CannotSay("it goes over several dimensions")
        axis = along(value, place)
        told = "" if axis == str(len(value.shape) - 1) else f", axis = {axis}"
        return op.body.let(op.hint, f"{word}({op.body.text_of(value)}{told})", value.dims)

    return rule


def _cumsum(op: Op) -> Value:
    if op.attribute("exclusive", 0) or op.attribute("reverse", 0):
        raise CannotSay("the language sums up to each entry, the first one first")
    value, place = op.value(0), op.constant(1)
    axis = along(value, int(np.ravel(place)[0]))
    if not axis.isdigit():
        raise CannotSay("it sums up along the steps")
    return op.body.let(op.hint, f"cumsum({op.body.text_of(value)}, axis = {axis})", value.dims, value.dtype)


RULES: dict[str, Rule] = {
    **{name: _form(form) for name, form in {
        "Neg": "-{}", "Abs": "abs({})", "Sign": "sign({})", "Floor": "floor({})", "Ceil": "ceil({})",
        "Round": "round({})", "Erf": "erf({})", "Atan": "atan2({}, 1)", "Exp": "exp({})",
        "Log": "log({})", "Sqrt": "sqrt({})", "Reciprocal": "reciprocal({})", "Sin": "sin({})", "Cos": "cos({})",
        "Tan": "sin({0}) / cos({0})", "Tanh": "tanh({})", "Sigmoid": "sigmoid({})", "Relu": "relu({})",
        "Softplus": "softplus({})", "Softsign": "softsign({})", "Sub": "{} - {}", "Pow": "{} ** {}",
        "HardSwish": "{0} * hard_sigmoid({0})", "Mish": "mish({})",
        "PRelu": "where({0} > 0, {0}, {1} * {0})",
    }.items()},
    **{name: _form(form, "bool") for name, form in {
        "Less": "{} < {}", "LessOrEqual": "{} <= {}", "Greater": "{} > {}", "GreaterOrEqual": "{} >= {}",
        "Equal": "{} == {}", "And": "{} and {}", "Or": "{} or {}", "Not": "not {}", "Xor": "{} != {}",
    }.items()},
    "Add": _joined("+"), "Mul": _joined("*"), "Sum": _joined("+"), "Max": _max, "Min": _joined("min"), "Mean": _mean,
    "Div": _div, "Mod": _mod, "Cast": _cast, "Clip": _clip, "Identity": _identity, "Dropout": _dropout,
    "Where": lambda op: _where(op),
    "HardSigmoid": _with_numbers("clip(alpha * {} + beta, 0, 1)", alpha=0.2, beta=0.5),
    "LeakyRelu": _with_numbers("leaky_relu({}, alpha)", alpha=0.01),
    "Elu": _with_numbers("elu({}, alpha)", alpha=1.0), "Celu": _with_numbers("alpha * elu({} / alpha)", alpha=1.0),
    "Selu": _with_numbers("gamma * elu({}, alpha)", alpha=1.6732632, gamma=1.050701),
    "ThresholdedRelu": _with_numbers("where({0} > alpha, {0}, 0)", alpha=1.0),
    "Gelu": _gelu, "Swish": _swish,
    "ReduceSum": _over("sum({}, {})"), "ReduceMean": _mean_over, "ReduceMax": _over("max({}, {})"),
    "ReduceMin": _over("min({}, {})"), "ReduceL2": _squares("sqrt({})"), "ReduceSumSquare": _squares("identity({})"),
    "ReduceProd": _over("prod({}, {})"),
    "ReduceLogSumExp": _over("logsumexp({}, {})"), "ReduceLogSum": _over("sum({}, {})", "log({})"),
    "ArgMax": _place("argmax"), "ArgMin": _place("argmin"), "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"), "CumSum": _cumsum,
}  # fmt: skip


def _where(op: Op) -> Value:
    condition, *both = op.values()
    kind = max((v.dtype for v in both), key=("bool", "int", "float").index)
    return elementwise(op.body, op.hint, "where({}, {}, {})", [condition, *both], kind)
