"""exp, log, tanh, sigmoid and erf on vectors, as polynomials and quotients of such.

The coefficients are minimax fits of the relative error (Lawson's iteration over Chebyshev nodes in 40 digits), one set
for each width of float. Largest errors seen, in units in the last place, are in docs/native.md and held by
tests/kernels/test_native.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from rnngraph.kernels.cpu.vectors import Lanes
from rnngraph.ops import error_function as ef

LOG2_E = 1.4426950408889634
LN2_HIGH = {"float": 0.693359375, "double": 0.693147180369123816490}
LN2_LOW = {"float": -2.12194440054690583e-4, "double": 1.90821492927058770002e-10}

EXP = {  # (exp(r) - 1 - r) / r**2 for |r| <= ln(2) / 2; relative error 3e-9 and 4e-18
    "float": (
        0.49999993454454265763, 0.16666520651884247907, 0.041668385483338836823, 0.0083687146295868862026,
        0.0013814769347065121801,
    ),
    "double": (
        0.50000000000000105798, 0.16666666666666424731, 0.041666666666530305101, 0.0083333333334861016331,
        0.0013888888943609684553, 0.00019841269525138693935, 0.000024801493117785229677, 2.7557569731166097421e-6,
        2.7630240413581690942e-7, 2.500529116982393577e-8,
    ),
}  # fmt: skip
TANH_FAR = (  # tanh(x) / x as a quotient in x**2 for |x| <= 9; relative error 7e-9
    (
        0.99999999332049255, 0.13084010038150104, 0.0031039560666881884, 1.1154304841028309e-5,
        -2.0225199316180779e-8, 5.277925060222776e-11, -8.4886073763437929e-14,
    ),
    (1.0, 0.46417337142386288, 0.024495178018637171, 0.00025461448908027802),
)  # fmt: skip
TANH_NEAR = (  # (tanh(x) / x - 1) / x**2 as a quotient in x**2 for |x| <= 0.625; relative error of tanh 6e-19
    (-0.33333333333333323553, -0.020496786381117586888, -0.00019908892190000946697),
    (1.0, 0.46149035914333768926, 0.023288648518532091394, 0.00020643829536672339136),
)
LOG = {  # (2 atanh(s) / s - 2) / s**2 as a polynomial in s**2; relative error of log 8e-10 and 1e-18
    "float": (0.66666776517055796422, 0.39977525769781735549, 0.29872146063363304062),
    "double": (
        0.66666666666667344296, 0.39999999999414603046, 0.28571428742422501958, 0.22222198567207006806,
        0.18183564758039327056, 0.1531403663418109774, 0.14796115307074099327,
    ),
}  # fmt: skip
MANTISSA = {"float": 23, "double": 52}
BIAS = {"float": 127, "double": 1023}
SHIFTER, SHIFTER_BITS = 1.5 * 2.0**52, 0x4338 << 48
"""A float of 64 bits whose last bit counts 1."""
EXP_LIMITS = {"float": (-104.0, 89.0), "double": (-746.0, 710.0)}
"""Beyond these the result is 0 or infinite anyway; within them the scale fits two factors."""
SIGMOID_LIMITS = {"float": (-87.0, 89.0), "double": (-708.0, 710.0)}
"""Beyond these sigmoid(-x) is 1, or 0: at the upper one the scale, which is one factor, is infinite."""


def exp(v: Lanes, x: str) -> str:
    """2**n * exp(r), the scale as two factors: it may be beyond the range of one."""
    near, whole = _exp_parts(v, x, EXP_LIMITS)
    half = v.to.let(f"ashr {v.integers} {whole}, {_splat(v, 1)}")
    rest = v.to.let(f"sub {v.integers} {whole}, {half}")
    return v.two("fmul", v.two("fmul", near, _power_of_two(v, half)), _power_of_two(v, rest))


def _exp_parts(v: Lanes, x: str, limits: Mapping[str, tuple[float, float]]) -> tuple[str, str]:
    """`exp_parts` within the limits, the second as integers."""
    low, high = limits[v.element]
    near, n = exp_parts(v, v.at_most(v.at_least(x, v.number(low)), v.number(high)))
    return near, _as_integer(v, n)


def exp_parts(v: Lanes, x: str) -> tuple[str, str]:
    """exp(r) and n with x = n ln(2) + r, n whole and |r| <= ln(2) / 2."""
    n = v.intrinsic("rint", v.two("fmul", x, v.number(LOG2_E)))
    r = v.fma(n, v.number(-LN2_HIGH[v.element]), x)
    r = v.fma(n, v.number(-LN2_LOW[v.element]), r)
    near = v.two("fadd", v.fma(v.two("fmul", r, r), v.polynomial(r, EXP[v.element]), r), v.number(1.0))
    return near, n


def _as_integer(v: Lanes, n: str) -> str:
    """A whole number that is small. Many machines convert one of 64 bits at a time: those stand in the last bits of a
    sum with 1.5 * 2**52."""
    if v.element == "float":
        return v.to.let(f"fptosi {v.floats} {n} to {v.integers}")
    moved = v.to.let(f"bitcast {v.floats} {v.two('fadd', n, v.number(SHIFTER))} to {v.integers}")
    return v.to.let(f"sub {v.integers} {moved}, {_splat(v, SHIFTER_BITS)}")


def _as_float(v: Lanes, n: str) -> str:
    if v.element == "float":
        return v.to.let(f"sitofp {v.integers} {n} to {v.floats}")
    moved = v.to.let(f"add {v.integers} {n}, {_splat(v, SHIFTER_BITS)}")
    return v.two("fsub", v.to.let(f"bitcast {v.integers} {moved} to {v.floats}"), v.number(SHIFTER))


def _splat(v: Lanes, number: int) -> str:
    return f"splat ({'i32' if v.element == 'float' else 'i64'} {number})"


def _power_of_two(v: Lanes, n: str) -> str:
    biased = v.to.let(f"add {v.integers} {n}, {_splat(v, BIAS[v.element])}")
    bits = v.to.let(f"shl {v.integers} {biased}, {_splat(v, MANTISSA[v.element])}")
    return v.to.let(f"bitcast {v.integers} {bits} to {v.floats}")


def sigmoid(v: Lanes, x: str) -> str:
    """1 / (1 + exp(-x))."""
    near, whole = _exp_parts(v, v.to.let(f"fneg {v.floats} {x}"), SIGMOID_LIMITS)
    return v.two("fdiv", v.number(1.0), v.fma(near, _power_of_two(v, whole), v.number(1.0)))


def tanh(v: Lanes, x: str) -> str:
    return _tanh_narrow(v, x) if v.element == "float" else _tanh_wide(v, x)


def _quotient(v: Lanes, y: str, parts: ef.Quotient) -> tuple[str, str]:
    return v.polynomial(y, parts[0]), v.polynomial(y, parts[1])


def _tanh_narrow(v: Lanes, x: str) -> str:
    """A quotient all the way; from 9 on the result is 1 in 24 bits."""
    inside = v.at_most(v.at_least(x, v.number(-9.0)), v.number(9.0))
    above, below = _quotient(v, v.two("fmul", inside, inside), TANH_FAR)
    found = v.two("fdiv", v.two("fmul", inside, above), below)
    return v.at_most(v.at_least(found, v.number(-1.0)), v.number(1.0))


def _tanh_wide(v: Lanes, x: str) -> str:
    """Near 0 x + x**3 * quotient, else 1 - 2 / (exp(2 |x|) + 1) with the sign of x."""
    y = v.two("fmul", x, x)
    above, below = _quotient(v, y, TANH_NEAR)
    near = v.fma(v.two("fmul", x, y), v.two("fdiv", above, below), x)
    size = v.intrinsic("fabs", x)
    grown = v.two("fadd", exp(v, v.two("fadd", size, size)), v.number(1.0))
    far = v.two("fsub", v.number(1.0), v.two("fdiv", v.number(2.0), grown))
    signed = v.intrinsic("copysign", far, x)
    return v.select(v.compare("olt", size, v.number(0.625)), near, signed, v.floats)


def erf(v: Lanes, x: str) -> str:
    """x + x * R(x**2) up to 1, then 1 - exp(-x**2) * S(x) with the sign of x (`ops.error_function`)."""
    narrow = v.element == "float"
    near, far = (ef.NEAR_NARROW, ef.FAR_NARROW) if narrow else (ef.NEAR, ef.FAR)
    size, edge = v.intrinsic("fabs", x), v.number(ef.EDGE)
    inner = v.two("fmul", x, x)
    above, below = _quotient(v, inner, near)
    close = v.fma(x, above if narrow else v.two("fdiv", above, below), x)
    outer = v.at_most(v.at_least(size, edge), v.number(ef.END_NARROW if narrow else ef.END))
    above, below = _quotient(v, outer, far)
    fallen = exp(v, v.to.let(f"fneg {v.floats} {v.two('fmul', outer, outer)}"))
    rest = v.two("fmul", fallen, v.two("fdiv", above, below))
    signed = v.intrinsic("copysign", v.two("fsub", v.number(1.0), rest), x)
    return v.select(v.compare("olt", size, edge), close, signed, v.floats)


def log(v: Lanes, x: str) -> str:
    """n ln(2) + 2 atanh(s) with s = (m - 1) / (m + 1) and x = 2**n * m, m between sqrt(1/2) and sqrt(2)."""
    bits, tiny = MANTISSA[v.element], 2.0 ** (-126 if v.element == "float" else -1022)
    small = v.compare("olt", x, v.number(tiny))
    scaled = v.select(small, v.two("fmul", x, v.number(2.0**bits * 2)), x, v.floats)
    raw = v.to.let(f"bitcast {v.floats} {scaled} to {v.integers}")
    root = v.to.let(f"bitcast {v.floats} {v.number(0.5**0.5)} to {v.integers}")
    steps = v.to.let(f"ashr {v.integers} {v.to.let(f'sub {v.integers} {raw}, {root}')}, {_splat(v, bits)}")
    back = v.to.let(f"sub {v.integers} {raw}, {v.to.let(f'shl {v.integers} {steps}, {_splat(v, bits)}')}")
    m = v.to.let(f"bitcast {v.integers} {back} to {v.floats}")
    n = _as_float(v, steps)
    n = v.select(small, v.two("fsub", n, v.number(bits + 1.0)), n, v.floats)
    f = v.two("fsub", m, v.number(1.0))
    s = v.two("fdiv", f, v.two("fadd", m, v.number(1.0)))
    y = v.two("fmul", s, s)
    odd = v.two("fmul", v.two("fmul", s, y), v.polynomial(y, LOG[v.element]))
    low = v.fma(n, v.number(LN2_LOW[v.element]), v.two("fadd", odd, v.two("fadd", s, s)))
    found = v.fma(n, v.number(LN2_HIGH[v.element]), low)
    found = v.select(v.compare("oeq", x, v.number(float("inf"))), x, found, v.floats)
    found = v.select(v.compare("oeq", x, v.number(0.0)), v.number(float("-inf")), found, v.floats)
    return v.select(v.compare("ult", x, v.number(0.0)), v.number(float("nan")), found, v.floats)
