"""What a unit makes of its sum, beside `tanh`, `sigmoid` and `relu`: formulas of other functions.

Their papers: `gelu`: D. Hendrycks, K. Gimpel (2016), arXiv:1606.08415; `silu` ("swish"): S. Elfwing, E. Uchibe, K. Doya
(2018), Neural Networks 107; `elu`: D.-A. Clevert, T. Unterthiner, S. Hochreiter (2016), ICLR; `selu`: G. Klambauer,
T. Unterthiner, A. Mayr, S. Hochreiter (2017), NIPS; `leaky_relu`: A. L. Maas, A. Y. Hannun, A. Y. Ng (2013), ICML;
`mish`: D. Misra (2020), BMVC; `softsign`: J. Bergstra, G. Desjardins, P. Lamblin, Y. Bengio (2009), Univ. de Montreal.
"""

from __future__ import annotations

import math

from rnngraph.ir.graph import Value
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.builtins.elementwise import sigmoid, softplus
from rnngraph.language.elaboration.values import Item

SATURATED = 10.0
"""Beyond this size the tanh form of `gelu` is 0 or x."""
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _times(use: Use, value: Value, factor: float) -> Value:
    return use.op("mul", value, use.number(factor))


def _plus(use: Use, value: Value, number: float) -> Value:
    return use.op("add", value, use.number(number))


def _positive(use: Use, x: Value) -> Value:
    return use.op("gt", x, use.number(0.0))


# --- smooth ---------------------------------------------------------------------------------------


def _gelu_number(x: float, approximate: bool = False) -> float:
    if approximate:
        return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


@define("gelu", "x approximate?", "float", _gelu_number)
def _(use: Use) -> Item:
    """x times the probability that a normal number is below it; `approximate = true` is the paper's form with tanh."""
    x = use.float("x")
    share = _tanh_share(use, x) if use.flag("approximate", False) else use.op("erf", _times(use, x, math.sqrt(0.5)))
    return use.op("mul", _times(use, x, 0.5), _plus(use, share, 1.0))


def _tanh_share(use: Use, x: Value) -> Value:
    near = use.op("minimum", use.op("maximum", x, use.number(-SATURATED)), use.number(SATURATED))
    cube = use.op("mul", use.op("square", near), near)
    return use.op("tanh", _times(use, use.op("add", near, _times(use, cube, 0.044715)), math.sqrt(2 / math.pi)))


@define("silu", "x", "float", lambda x: x * sigmoid(x))
def _(use: Use) -> Item:
    x = use.float("x")
    return use.op("mul", x, use.op("sigmoid", x))


@define("mish", "x", "float", lambda x: x * math.tanh(softplus(x)))
def _(use: Use) -> Item:
    x = use.float("x")
    return use.op("mul", x, use.op("tanh", use.op("softplus", x)))


@define("softsign", "x", "float", lambda x: x / (1 + abs(x)))
def _(use: Use) -> Item:
    x = use.float("x")
    return use.op("div", x, _plus(use, use.op("abs", x), 1.0))


# --- with a bend at 0 -----------------------------------------------------------------------------


def _elu_number(x: float, alpha: float = 1.0) -> float:
    return x if x > 0 else alpha * math.expm1(x)


def _elu(use: Use, x: Value, alpha: Value) -> Value:
    """alpha * (exp(x) - 1) below 0, which is tanh(x / 2) * (exp(x) + 1): to its last places where x is small.

    The gradient is that of alpha * exp(x).
    """
    below = use.op("minimum", x, use.number(0.0))
    grown = use.op("exp", below)
    value = use.op("mul", use.op("tanh", _times(use, below, 0.5)), _plus(use, grown, 1.0))
    smooth = use.op("straight_through", value, grown)
    return use.op("where", _positive(use, x), x, use.op("mul", alpha, smooth))


@define("elu", "x alpha?", "float", _elu_number)
def _(use: Use) -> Item:
    return _elu(use, use.float("x"), use.float("alpha") if use.has("alpha") else use.number(1.0))


@define("selu", "x", "float", lambda x: SELU_SCALE * _elu_number(x, SELU_ALPHA))
def _(use: Use) -> Item:
    return _times(use, _elu(use, use.float("x"), use.number(SELU_ALPHA)), SELU_SCALE)


@define("leaky_relu", "x slope?", "float", lambda x, slope=0.01: x if x > 0 else slope * x)
def _(use: Use) -> Item:
    x = use.float("x")
    slope = use.float("slope") if use.has("slope") else use.number(0.01)
    return use.op("where", _positive(use, x), x, use.op("mul", slope, x))


@define("hard_sigmoid", "x", "float", lambda x: min(max(x / 6 + 0.5, 0.0), 1.0))
def _(use: Use) -> Item:
    """x / 6 + 0.5 from -3 to 3, beyond it 0 or 1 with the gradient 0, the ends too."""
    x = use.float("x")
    line = _plus(use, use.op("div", x, use.number(6.0)), 0.5)
    above = use.op("where", use.op("ge", x, use.number(3.0)), use.number(1.0), line)
    return use.op("where", use.op("le", x, use.number(-3.0)), use.number(0.0), above)
