"""Pools and their gradients, window by window; see extended.py."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from accuracy import Array

Window = tuple[slice, slice]


def pair(values: Any) -> tuple[int, int]:
    return (values[0], values[-1])


def edges(n: int, window: int, size: int, stride: int, padding: int) -> tuple[slice, int]:
    """The taps in the image, and how many there are together with those in the padding."""
    begin = window * stride - padding
    end = min(begin + size, n + padding)
    return slice(max(begin, 0), min(end, n)), end - begin


def average_windows(
    x: Array, results: tuple[int, ...], size: Any, stride: Any, padding: Any, *rest: Any
) -> Iterator[tuple[int, int, Window, int]]:
    """Row and column of each result, its window and divisor."""
    _, count_include_pad, divisor = rest
    parameters = list(zip(pair(size), pair(stride or size), pair(padding), strict=True))
    for row, column in np.ndindex(*results):
        high, counted_high = edges(x.shape[-2], row, *parameters[0])
        wide, counted_wide = edges(x.shape[-1], column, *parameters[1])
        inside = (high.stop - high.start) * (wide.stop - wide.start)
        counted = counted_high * counted_wide if count_include_pad else inside
        yield row, column, (high, wide), counted if divisor is None else divisor


def windows_of(n: int, size: int, stride: int, padding: int, ceil: bool) -> int:
    windows: int = (n + 2 * padding - size + (stride - 1 if ceil else 0)) // stride + 1
    return windows - (ceil and (windows - 1) * stride >= n + padding)


def avg_pool2d(x: Array, size: Any, stride: Any, padding: Any, *rest: Any) -> Array:
    parameters = zip(pair(size), pair(stride or size), pair(padding), strict=True)
    results = tuple(
        windows_of(n, *each, rest[0]) for n, each in zip(x.shape[-2:], parameters, strict=True)
    )
    y = np.zeros((*x.shape[:-2], *results), x.dtype)
    for row, column, window, divisor in average_windows(x, results, size, stride, padding, *rest):
        y[..., row, column] = x[(..., *window)].sum((-2, -1)) / divisor
    return y


def avg_pool2d_backward(grad: Array, x: Array, *parameters: Any) -> Array:
    total = np.zeros_like(x)
    for row, column, window, divisor in average_windows(x, grad.shape[-2:], *parameters):
        total[(..., *window)] += grad[..., row, column, None, None] / divisor
    return total


def adaptive_windows(x: Array, results: Any) -> Iterator[tuple[int, int, Window]]:
    def share(n: int, m: int, window: int) -> slice:
        return slice(window * n // m, -(-(window + 1) * n // m))

    for row, column in np.ndindex(*results):
        high = share(x.shape[-2], results[0], row)
        yield row, column, (high, share(x.shape[-1], results[1], column))


def adaptive_avg_pool2d(x: Array, results: Any) -> Array:
    y = np.zeros((*x.shape[:-2], *results), x.dtype)
    for row, column, window in adaptive_windows(x, results):
        y[..., row, column] = x[(..., *window)].mean((-2, -1))
    return y


def adaptive_avg_pool2d_backward(grad: Array, x: Array) -> Array:
    total = np.zeros_like(x)
    for row, column, window in adaptive_windows(x, grad.shape[-2:]):
        part = total[(..., *window)]
        part += grad[..., row, column, None, None] / (part.shape[-2] * part.shape[-1])
    return total


def max_pool_backward(dims: int, grad: Array, x: Array, *parameters: Any) -> Array:
    indices = parameters[-1]
    pixels = int(np.prod(grad.shape[-dims:]))
    places = indices.astype(np.int64).reshape(-1, pixels)
    total = np.zeros((len(places), int(np.prod(x.shape[-dims:]))), x.dtype)
    np.add.at(total, (np.arange(len(places))[:, None], places), grad.reshape(-1, pixels))
    return total.reshape(x.shape)


max_pool2d_backward = partial(max_pool_backward, 2)
max_pool3d_backward = partial(max_pool_backward, 3)
