"""Reference results of group_norm in numpy's long double, and the sizes of their terms."""

from typing import Any

import numpy as np
from accuracy import Array


def _rows(x: Array, samples: int, groups: int) -> Array:
    """Groups of channels as rows."""
    return x.reshape(samples * groups, -1)


def _by_channel(w: Any, shape: tuple[int, ...], channels: int, otherwise: int) -> Array:
    """A parameter, or none, as large as the input of (samples, channels, pixels)."""
    values = np.full(channels, otherwise, np.longdouble) if w is None else w
    return np.broadcast_to(values[None, :, None], shape)


def group_norm(
    x: Array, w: Any, b: Any, n: int, c: int, pixels: int, groups: int, eps: float
) -> list[Array]:
    rows = _rows(x, n, groups)
    mean = rows.mean(1, keepdims=True)
    rstd = 1 / np.sqrt(((rows - mean) ** 2).mean(1, keepdims=True) + np.longdouble(eps))
    shape = (n, c, pixels)
    y = ((rows - mean) * rstd).reshape(shape) * _by_channel(w, shape, c, 1)
    y = y + _by_channel(b, shape, c, 0)
    return [y.reshape(x.shape), mean.reshape(n, groups), rstd.reshape(n, groups)]


def group_norm_terms(
    x: Array, w: Any, b: Any, n: int, c: int, pixels: int, groups: int, eps: float
) -> list[Array]:
    """Of the result a group's largest; of the mean its sum's."""
    plain = np.abs(group_norm(x, w, None, n, c, pixels, groups, eps)[0]).reshape(n, c, pixels)
    sizes = _rows(plain + np.abs(_by_channel(b, plain.shape, c, 0)), n, groups)
    sizes = np.broadcast_to(sizes.max(1, keepdims=True), sizes.shape).reshape(x.shape)
    mean = np.abs(_rows(x, n, groups)).mean(1).reshape(n, groups)
    return [sizes, mean, np.zeros_like(mean)]


def _gradients(
    grad: Array, x_hat: Array, rstd: Array, weight: Array, groups: int, sign: int
) -> list[Array]:
    """sign -1: of the magnitudes of all terms."""
    shape, n = grad.shape, len(grad)
    g, rows = _rows(grad * weight, n, groups), _rows(x_hat, n, groups)
    both = g.mean(1, keepdims=True) + rows * (g * rows).mean(1, keepdims=True)
    of_x = rstd.reshape(-1, 1) * (g - sign * both)
    return [of_x.reshape(shape), (grad * x_hat).sum((0, 2)), grad.sum((0, 2))]


def _x_hat(x: Array, mean: Array, rstd: Array, shape: tuple[int, ...], groups: int) -> Array:
    rows = _rows(x, shape[0], groups)
    x_hat: Array = (rows - mean.reshape(-1, 1)) * rstd.reshape(-1, 1)
    return x_hat.reshape(shape)


def _wanted(every: list[Array], like: Array, mask: Any) -> list[Array]:
    every[0] = every[0].reshape(like.shape)
    return [value for value, wanted in zip(every, mask, strict=True) if wanted]


def group_norm_backward(
    grad: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    w: Any,
    n: int,
    c: int,
    pixels: int,
    groups: int,
    mask: Any,
) -> list[Array]:
    shape = (n, c, pixels)
    x_hat = _x_hat(x, mean, rstd, shape, groups)
    weight = _by_channel(w, shape, c, 1)
    return _wanted(_gradients(grad.reshape(shape), x_hat, rstd, weight, groups, 1), x, mask)


def group_norm_backward_terms(
    grad: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    w: Any,
    n: int,
    c: int,
    pixels: int,
    groups: int,
    mask: Any,
) -> list[Array]:
    shape = (n, c, pixels)
    x_hat = np.abs(_x_hat(x, mean, rstd, shape, groups))
    weight = np.abs(_by_channel(w, shape, c, 1))
    every = _gradients(np.abs(grad).reshape(shape), x_hat, rstd, weight, groups, -1)
    return _wanted(every, x, mask)
