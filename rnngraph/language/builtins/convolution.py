"""Convolutions, poolings, dilations of images and lines. The channels stand last; the batch is not looked at."""

from __future__ import annotations

import math

from rnngraph.ir.graph import Value
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration.mistakes import Mistake, shape_in_words
from rnngraph.language.elaboration.sizes import checked_size
from rnngraph.language.elaboration.values import Item, Numbers
from rnngraph.ops.windows import Window, same, sees_nothing, valid


def _each(use: Use, name: str, rank: int, default: tuple[int, ...]) -> tuple[int, ...]:
    """One whole number for all dimensions, or one for each."""
    if not use.has(name):
        return default
    if not isinstance(use.given[name].item, Numbers):
        return (checked_size(use.whole(name, 1), use.span(name), least=1),) * rank
    sizes = use.sizes(name, least=1)
    if len(sizes) != rank:
        raise use.mistake("E204", f"`{name}` of `{use.function}` is one number, or {rank} numbers", name)
    return sizes


def _truth(use: Use, name: str, default: bool) -> bool:
    if not use.has(name):
        return default
    item = use.given[name].item
    if not isinstance(item, bool):
        raise use.mistake("E208", f"`{name}` of `{use.function}` is `true` or `false`", name)
    return item


def _image(use: Use, rank: int) -> Value:
    x = use.float("x")
    if len(x.type.shape) != rank + 1:
        wanted = ", ".join(("height", "width")[2 - rank :])
        raise use.mistake("E204", f"`{use.function}` takes [{wanted}, channels], but {use.has_shape('x', x)}", "x")
    return x


def window(use: Use, x: Value, sizes: tuple[int, ...], step: tuple[int, ...]) -> Window:
    """The attributes of the windows that the arguments ask for; `step` is the stride where none is given.

    With padding there is a result for each `stride`-th place, as if more were around; without, for whole windows only.
    """
    rank = len(sizes)
    if 0 in sizes:
        raise Mistake("E203", f"a window of `{use.function}` has no entries", use.at)
    stride, dilation = _each(use, "stride", rank, step), _each(use, "dilation", rank, (1,) * rank)
    if _truth(use, "padding", True):
        return same(x.type.shape[:-1], sizes, stride, dilation)
    reach = tuple((k - 1) * d + 1 for k, d in zip(sizes, dilation, strict=True))
    if any(n < r for n, r in zip(x.type.shape, reach, strict=False)):
        wide = " x ".join(map(str, reach))
        raise use.mistake("E201", f"windows of {wide} do not fit, as {use.has_shape('x', x)}", "x")
    return valid(sizes, stride, dilation)


def _convolution(use: Use, rank: int) -> Value:
    """The sum over the window and the channels: sum of x[p * stride + k * dilation, c] * kernel[k, c, o]."""
    x, kernel = _image(use, rank), use.float("kernel")
    sizes = kernel.type.shape
    if len(sizes) != rank + 2:
        raise use.mistake(
            "E204",
            f"a kernel of `{use.function}` is [{'height, ' * (rank - 1)}width, channels, results], but "
            f"{use.has_shape('kernel', kernel)}",
            "kernel",
        )
    if sizes[-2] != x.type.shape[-1]:
        raise use.mistake(
            "E201",
            f"`{use.span('x').text}` has {x.type.shape[-1]} channels, but `{use.span('kernel').text}` is for "
            f"{sizes[-2]}: it has {shape_in_words(sizes)}",
            "kernel",
        )
    seen = use.op("patches", x, **window(use, x, sizes[:rank], (1,) * rank))
    at, within = "pqr"[:rank], "ijk"[:rank]
    return use.trace.product(
        seen,
        kernel,
        at=use.at,
        left=f"{at}{within}c",
        right=f"{within}co",
        out=f"{at}o",
        reduce=(),
    )


@define("conv1d", "x kernel stride? dilation? padding?", "float")
def _(use: Use) -> Item:
    return _convolution(use, 1)


@define("conv2d", "x kernel stride? dilation? padding?", "float")
def _(use: Use) -> Item:
    return _convolution(use, 2)


# --- poolings ---------------------------------------------------------------------------------------


def _pooled(use: Use, fill: float) -> tuple[Value, Window, int]:
    """The windows of the image with their entries in one dimension: [..., entries, channels]."""
    x = use.float("x")
    rank = len(x.type.shape) - 1
    if rank < 1:
        raise use.mistake("E204", f"`{use.function}` takes [height, width, channels], but {use.has_shape('x', x)}", "x")
    sizes = _each(use, "size", rank, ())
    attrs = window(use, x, sizes, sizes)
    _check_seen(use, attrs, x)
    return _in_one(use, use.op("patches", x, **attrs, fill=fill), rank), attrs, rank


def _in_one(use: Use, seen: Value, rank: int) -> Value:
    """Patches with the dimensions of the window made one."""
    *places, channels = seen.type.shape
    return use.op("reshape", seen, shape=(*places[:rank], math.prod(places[rank:]), channels))


def _check_seen(use: Use, attrs: Window, x: Value) -> None:
    if sees_nothing(attrs, x.type.shape[:-1]):
        raise use.mistake("E201", f"some windows lie wholly in the padding, as {use.has_shape('x', x)}", "x")


@define("max_pool", "x size stride? dilation? padding?", "float")
def _(use: Use) -> Item:
    seen, _, _ = _pooled(use, -math.inf)
    return use.op("first_max", seen, dim=-2)


@define("avg_pool", "x size stride? dilation? padding? count_padding?", "float")
def _(use: Use) -> Item:
    """The mean over what is there; with `count_padding` zeros around the image count as well."""
    seen, attrs, rank = _pooled(use, 0.0)
    total = use.op("sum", seen, dims=(-2,))
    if _truth(use, "count_padding", False) or not any((*attrs["before"], *attrs["after"])):
        return use.op("mul", total, use.number(1.0 / seen.type.shape[-2]))
    ones = use.op("broadcast", use.number(1.0), shape=(*use.float("x").type.shape[:-1], 1))
    there = _in_one(use, use.op("patches", ones, **attrs), rank)
    return use.op("div", total, use.op("sum", there, dims=(-2,)))


# --- mathematical morphology ------------------------------------------------------------------------


@define("dilation2d", "x filter stride? dilation? padding?", "float")
def _(use: Use) -> Item:
    """The largest x[p * stride + k * dilation, c] + filter[k, c]; what lies outside never wins."""
    return _dilated(use, _image(use, 2), use.float("filter"))


@define("erosion2d", "x filter stride? dilation? padding?", "float")
def _(use: Use) -> Item:
    """The smallest x - filter, the filter turned around: the dual of the dilation."""
    x, turned = _image(use, 2), use.float("filter")
    for dim in (0, 1)[: len(turned.type.shape)]:
        turned = use.op("flip", turned, dim=dim)
    return use.op("neg", _dilated(use, use.op("neg", x), turned))


def _dilated(use: Use, x: Value, weights: Value) -> Value:
    sizes, channels = weights.type.shape, x.type.shape[-1]
    if len(sizes) != 3 or sizes[2] != channels:
        raise use.mistake(
            "E201",
            f"a filter of `{use.function}` is [height, width, {channels}] here, but {use.has_shape('filter', weights)}",
            "filter",
        )
    attrs = window(use, x, sizes[:2], (1, 1))
    _check_seen(use, attrs, x)
    seen = use.op("patches", x, **attrs, fill=-math.inf)
    return use.op("first_max", _in_one(use, use.op("add", seen, weights), 2), dim=-2)


# --- neighbouring channels --------------------------------------------------------------------------


@define("lrn", "x radius? bias? alpha? beta?", "float")
def _(use: Use) -> Item:
    """Local response normalisation: x / (bias + alpha * sum of x**2 over the channels within `radius`)**beta.

    A. Krizhevsky, I. Sutskever, G. E. Hinton (2012), "ImageNet classification with deep convolutional networks", NIPS.
    """
    x, radius = use.float("x"), use.whole("radius", 5)
    if radius < 0 or not x.type.shape:
        raise use.mistake("E204", "`lrn` takes channels, and a radius of 0 or more", "radius" if radius < 0 else "x")
    bias, alpha, beta = (use.float(n) if use.has(n) else use.number(d) for n, d in LRN_DEFAULTS.items())
    channels = x.type.shape[-1]
    # With x = scale * part: part * scale**(1 - 2 beta) / (bias / scale**2 + alpha * sum of part**2)**beta.
    largest = use.op("max_over", use.op("abs", x), dim=-1, keep=True)
    scale = use.op("maximum", use.op("detach", largest), use.number(1.0))
    part = use.op("div", x, scale)
    rows = use.op("reshape", use.op("square", part), shape=(math.prod(x.type.shape[:-1]), channels, 1))
    near = use.op("patches", rows, **same((1, channels), (1, 2 * radius + 1), (1, 1), (1, 1)))
    total = use.op("reshape", use.op("sum", near, dims=(-3, -2, -1)), shape=x.type.shape)
    below = use.op("add", use.op("div", bias, use.op("square", scale)), use.op("mul", alpha, total))
    rest = use.op("pow", scale, use.op("sub", use.number(1.0), use.op("mul", use.number(2.0), beta)))
    return use.op("mul", use.op("mul", part, use.op("pow", below, use.op("neg", beta))), rest)


LRN_DEFAULTS = {"bias": 1.0, "alpha": 1.0, "beta": 0.5}


@define("flip", "x axis?", "same")
def _(use: Use) -> Item:
    """A dimension the other way round."""
    x = use.any("x")
    return use.op("flip", x, dim=use.dim(x))
