"""Functions that an exported NumPy file brings along, each only where it is used. Texts, not code that runs here."""

from rnngraph.ops import error_function as ef


def _polynomial(coefficients: ef.Coefficients) -> str:
    """As `np.polyval` reads it."""
    return f"[{', '.join(map(repr, reversed(coefficients)))}]"


SNIPPETS = {
    "checked": '''
def checked(name, x, dtype, *shape):
    """An argument as an array of this type and shape; a size that is a word may be any."""
    x = np.asarray(x)
    fits = x.ndim == len(shape) and all(isinstance(n, str) or n == m for n, m in zip(shape, x.shape))
    if not fits or not np.can_cast(x.dtype, dtype, "same_kind"):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"`{name}` should be ({wanted}) {np.dtype(dtype)}, got {x.shape} {x.dtype}")
    return x.astype(dtype, copy=False)
''',
    "checked_lengths": '''
def checked_lengths(name, x, shape, steps):
    """The real length of each row, from 0 to the number of steps."""
    x = checked(name, x, np.int64, *shape)
    for row, length in enumerate(x):
        if (length < 0).any() or (length > steps).any():
            raise ValueError(f"`{name}` says {length} for row {row}, expected 0 to {steps}")
    return x
''',
    "sigmoid": """
def sigmoid(x):
    with np.errstate(over="ignore"):  # where exp(-x) is infinite, the result is 0
        return 1 / (1 + np.exp(-x))
""",
    "erf": f'''
def erf(x):
    """The error function: x + x * R(x**2) up to 1, 1 - exp(-x**2) * S(x) beyond (ranges of W. J. Cody, 1969)."""
    x = np.asarray(x)
    near, far = np.clip(x, -1, 1), np.clip(np.abs(x), 1, 6)
    y = near * near
    r = np.polyval({_polynomial(ef.NEAR[0])}, y)
    r = r / np.polyval({_polynomial(ef.NEAR[1])}, y)
    s = np.polyval({_polynomial(ef.FAR[0])}, far)
    s = s / np.polyval({_polynomial(ef.FAR[1])}, far)
    beyond = np.copysign(1 - np.exp(-far * far) * s, x)
    return np.where(np.abs(x) <= 1, near + near * r, beyond).astype(x.dtype)
''',
    "softmax": """
def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
""",
    "log_softmax": """
def log_softmax(x, axis):
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))
""",
    "shift": '''
def shift(x, by, axis):
    """Moves a sequence `by` steps later (or earlier), with zeros in the gap."""
    moved = np.zeros_like(x)
    rows, source = np.moveaxis(moved, axis, 0), np.moveaxis(x, axis, 0)
    gap = min(abs(by), len(rows))
    if by >= 0:
        rows[gap:] = source[: len(rows) - gap]
    else:
        rows[: len(rows) - gap] = source[gap:]
    return moved
''',
    "reverse_within": '''
def reverse_within(x, lengths, batch, time):
    """Each row of the batch reversed within its own length; `batch` and `time` say which axes these are."""
    y = x.copy()
    rows, sources = (np.moveaxis(a, (batch, time), (0, 1)) for a in (y, x))
    for length, row, source in zip(lengths, rows, sources):
        row[:length] = source[:length][::-1]
    return y
''',
    "last": '''
def last(x, axis):
    """The last step, or zeros where there are no steps."""
    return np.take(x, -1, axis=axis) if x.shape[axis] else np.zeros(x.shape[:axis] + x.shape[axis + 1 :], x.dtype)
''',
    "last_within": '''
def last_within(x, lengths, batch, time):
    """Each row's last real step, or zeros where it has none."""
    rows = np.moveaxis(x, (batch, time), (0, 1))
    found = np.zeros((rows.shape[0], *rows.shape[2:]), x.dtype)
    for b, length in enumerate(lengths):
        if length > 0:
            found[b] = rows[b, length - 1]
    return np.moveaxis(found, 0, batch - (time < batch))
''',
    "inside": '''
def inside(ids, size, where, axes, live=True):
    """The ids, where they are live each one of 0 to size - 1: IndexError tells of the first that is none."""
    ids = np.asarray(ids)
    wrong = live & ((ids < 0) | (ids >= size))
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0])
        place = ", ".join(f"{axis} {i}" for axis, i in zip(axes, at))
        value = f"{np.broadcast_to(ids, wrong.shape)[at]}{place and ' at '}{place}"
        raise IndexError(f"{where}: an index is {value}, expected 0 to {size - 1}")
    return np.where(live, ids, 0)
''',
    "largest": '''
def largest(x, axis):
    """The largest along axes, or zeros where there are no steps."""
    return x.max(axis=axis) if x.size else np.zeros_like(x.sum(axis=axis), x.dtype)
''',
    "scatter_rows": '''
def scatter_rows(values, ids, shape):
    """Adds each row of values to the row of a table of zeros that its id names."""
    table = np.zeros(shape, values.dtype)
    np.add.at(table, ids.reshape(-1), values.reshape(-1, *shape[1:]))
    return table
''',
    "solve": '''
def solve(a, b):
    """The x with a @ x = b; no numbers where a matrix has no inverse."""
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        if b.ndim == 2:
            return np.full_like(b, np.nan)
        rows = [solve(a if a.ndim == 2 else a[i], b[i]) for i in range(len(b))]
        return np.stack(rows)
''',
    "compact": '''
def compact(x, keep):
    """The steps that are kept, in order, moved to the front; zeros behind them."""
    moved = np.take_along_axis(x, np.argsort(~keep, axis=0, kind="stable"), axis=0)
    places = np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1))
    return np.where(places < keep.sum(axis=0), moved, np.zeros((), x.dtype))
''',
    "expand": '''
def expand(y, keep):
    """What stands at the front, put back at the steps that were kept; zeros elsewhere."""
    places = np.maximum(np.cumsum(keep, axis=0) - 1, 0)
    return np.where(keep, np.take_along_axis(y, places, axis=0), 0)
''',
    "patches": '''
def patches(x, window, stride, dilation, before, after, fill):
    """The windows of every place of an image side by side: (..., places, window, channels)."""
    lead = x.ndim - len(window) - 1
    x = np.pad(x, [(0, 0)] * lead + list(zip(before, after)) + [(0, 0)], constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(window, dilation)]
    seen = np.lib.stride_tricks.sliding_window_view(x, reach, tuple(range(lead, x.ndim - 1)))
    steps = tuple(slice(None, None, s) for s in stride)
    inner = tuple(slice(None, None, d) for d in dilation)
    return np.moveaxis(seen[(slice(None),) * lead + steps + (slice(None),) + inner], lead + len(window), -1)
''',
    "uniform": '''
def uniform(seed, step, key, lead, tail, dtype):
    """Random numbers in [0, 1) that depend on the seed, the key, the step and the place alone (SplitMix64)."""

    def mix(x):
        for by, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(by))) * np.uint64(factor)
        return x ^ (x >> np.uint64(31))

    with np.errstate(over="ignore"):
        places = np.cumsum(np.full(int(np.prod(tail)), 0x9E3779B97F4A7C15, np.uint64)).reshape(tail)
        x = mix(places + np.uint64(key) + np.asarray(seed, np.int64).view(np.uint64) * np.uint64(0xA0761D6478BD642F))
        steps = np.asarray(step, np.int64).view(np.uint64) * np.uint64(0xD1342543DE82EF95)
        x = mix(steps + np.broadcast_to(x, lead + tail))
    bits = 53 if dtype == np.float64 else 24
    return (x >> np.uint64(64 - bits)).astype(dtype) * dtype(2.0**-bits)
''',
}
