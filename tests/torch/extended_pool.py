"""Pools and their gradients, window by window; see extended.py."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from accuracy import Array

Window = tuple[slice, ...]


def numbers(values: Any, dims: int) -> tuple[int, ...]:
    return tuple(values) if len(values) == dims else (values[0],) * dims


def edges(n: int, window: int, size: int, stride: int, padding: int) -> tuple[slice, int]:
    """The taps in the image, and how many there are together with those in the padding."""
    begin = window * stride - padding
    end = min(begin + size, n + padding)
    return slice(max(begin, 0), min(end, n)), end - begin


def extent(window: Window) -> int:
    return int(np.prod([part.stop - part.start for part in window]))


def average_windows(
    x: Array, results: tuple[int, ...], size: Any, stride: Any, padding: Any, *rest: Any
) -> Iterator[tuple[tuple[int, ...], Window, int]]:
    """Place of each result, its window and divisor."""
    _, count_include_pad, divisor = rest
    dims = len(results)
    parameters = zip(*(numbers(v, dims) for v in (size, stride or size, padding)), strict=True)
    axes = list(zip(x.shape[-dims:], parameters, strict=True))
    for place in np.ndindex(*results):
        taps = [edges(n, at, *each) for (n, each), at in zip(axes, place, strict=True)]
        window = tuple(inside for inside, _ in taps)
        counted = int(np.prod([count for _, count in taps]))
        default = counted if count_include_pad else extent(window)
        yield place, window, default if divisor is None else divisor


def windows_of(n: int, size: int, stride: int, padding: int, ceil: bool) -> int:
    windows: int = (n + 2 * padding - size + (stride - 1 if ceil else 0)) // stride + 1
    return windows - (ceil and (windows - 1) * stride >= n + padding)


def avg_pool(dims: int, x: Array, size: Any, stride: Any, padding: Any, *rest: Any) -> Array:
    parameters = zip(*(numbers(v, dims) for v in (size, stride or size, padding)), strict=True)
    results = tuple(
        windows_of(n, *each, rest[0]) for n, each in zip(x.shape[-dims:], parameters, strict=True)
    )
    y = np.zeros((*x.shape[:-dims], *results), x.dtype)
    for place, window, divisor in average_windows(x, results, size, stride, padding, *rest):
        y[(..., *place)] = x[(..., *window)].sum(tuple(range(-dims, 0))) / divisor
    return y


def avg_pool_backward(dims: int, grad: Array, x: Array, *parameters: Any) -> Array:
    total = np.zeros_like(x)
    for place, window, divisor in average_windows(x, grad.shape[-dims:], *parameters):
        total[(..., *window)] += grad[(..., *place, *[None] * dims)] / divisor
    return total


def adaptive_windows(x: Array, results: Any) -> Iterator[tuple[tuple[int, ...], Window]]:
    def share(n: int, m: int, window: int) -> slice:
        return slice(window * n // m, -(-(window + 1) * n // m))

    axes = list(zip(x.shape[-len(results) :], results, strict=True))
    for place in np.ndindex(*results):
        yield place, tuple(share(n, m, at) for (n, m), at in zip(axes, place, strict=True))


def adaptive_avg_pool(x: Array, results: Any) -> Array:
    dims = len(results)
    y = np.zeros((*x.shape[:-dims], *results), x.dtype)
    for place, window in adaptive_windows(x, results):
        y[(..., *place)] = x[(..., *window)].mean(tuple(range(-dims, 0)))
    return y


def adaptive_avg_pool_backward(dims: int, grad: Array, x: Array) -> Array:
    total = np.zeros_like(x)
    for place, window in adaptive_windows(x, grad.shape[-dims:]):
        total[(..., *window)] += grad[(..., *place, *[None] * dims)] / extent(window)
    return total


def max_pool_backward(dims: int, grad: Array, x: Array, *parameters: Any) -> Array:
    indices = parameters[-1]
    pixels = int(np.prod(grad.shape[-dims:]))
    places = indices.astype(np.int64).reshape(-1, pixels)
    total = np.zeros((len(places), int(np.prod(x.shape[-dims:]))), x.dtype)
    np.add.at(total, (np.arange(len(places))[:, None], places), grad.reshape(-1, pixels))
    return total.reshape(x.shape)


FORMULAS = {
    **{
        f"{name}_backward": partial(max_pool_backward, dims)
        for dims in (2, 3)
        for name in (f"max_pool{dims}d_with_indices", f"adaptive_max_pool{dims}d")
    },
    "_adaptive_avg_pool2d": adaptive_avg_pool,
    "_adaptive_avg_pool3d": adaptive_avg_pool,
    **{f"avg_pool{dims}d": partial(avg_pool, dims) for dims in (2, 3)},
    **{f"avg_pool{dims}d_backward": partial(avg_pool_backward, dims) for dims in (2, 3)},
    **{
        f"_adaptive_avg_pool{dims}d_backward": partial(adaptive_avg_pool_backward, dims)
        for dims in (2, 3)
    },
}
