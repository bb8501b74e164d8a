"""Reference results of group_norm and batch_norm in long double, and the sizes of their terms."""

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
    if x.size == 0:
        return []
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
    if x.size == 0:
        return []
    shape = (n, c, pixels)
    x_hat = np.abs(_x_hat(x, mean, rstd, shape, groups))
    weight = np.abs(_by_channel(w, shape, c, 1))
    every = _gradients(np.abs(grad).reshape(shape), x_hat, rstd, weight, groups, -1)
    return _wanted(every, x, mask)


def _channel(values: Array, x: Array) -> Array:
    """Of each channel, as something that broadcasts with the input."""
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def _all_but_channels(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _moments(x: Array, rm: Any, rv: Any, training: bool, eps: float) -> tuple[Array, Array]:
    """Mean and rstd."""
    axes = _all_but_channels(x)
    mean = x.mean(axes) if training else rm
    var = ((x - _channel(mean, x)) ** 2).mean(axes) if training else rv
    return mean, 1 / np.sqrt(var + np.longdouble(eps))


def batch_norm(
    x: Array, w: Any, b: Any, rm: Any, rv: Any, training: bool, momentum: float, eps: float
) -> list[Array]:
    mean, rstd = _moments(x, rm, rv, training, eps)
    y = (x - _channel(mean, x)) * _channel(rstd if w is None else rstd * w, x)
    return [y if b is None else y + _channel(b, x), mean, rstd]


def batch_norm_terms(
    x: Array, w: Any, b: Any, rm: Any, rv: Any, training: bool, momentum: float, eps: float
) -> list[Array]:
    """Of the result a channel's largest; of the mean its sum's. Other moments than the batch's do
    not follow the input, so that both sides of the difference count.
    """
    if x.size == 0:
        return []
    axes = _all_but_channels(x)
    mean, rstd = _moments(x, rm, rv, training, eps)
    far = np.abs(x - _channel(mean, x)) if training else np.abs(x) + np.abs(_channel(mean, x))
    sizes = far * np.abs(_channel(rstd if w is None else rstd * w, x))
    sizes = sizes.max(axes, keepdims=True) + (0 if b is None else np.abs(_channel(b, x)))
    return [np.broadcast_to(sizes, x.shape), np.abs(x).mean(axes), np.zeros_like(rstd)]


def cudnn_batch_norm(*args: Any) -> list[Array]:
    """With the moments in training alone, and an empty reserve."""
    results = batch_norm(*args)
    none = np.zeros(0, np.longdouble)
    return [*(results if args[5] else [results[0], none, none]), none]


def cudnn_batch_norm_terms(*args: Any) -> list[Array]:
    results = batch_norm_terms(*args)
    none = np.zeros(0, np.longdouble)
    return [*(results if args[5] else [*results[:1], none, none]), none]


def _channel_gradients(
    grad: Array, x_hat: Array, factor: Array, training: bool, sign: int
) -> list[Array]:
    """sign -1: of the magnitudes of all terms."""
    axes = _all_but_channels(grad)
    of_x = grad
    if training:
        mean = grad.mean(axes, keepdims=True)
        of_x = grad - sign * (mean + x_hat * (grad * x_hat).mean(axes, keepdims=True))
    return [_channel(factor, grad) * of_x, (grad * x_hat).sum(axes), grad.sum(axes)]


def batch_norm_backward(
    grad: Array,
    x: Array,
    w: Any,
    rm: Any,
    rv: Any,
    mean: Any,
    rstd: Any,
    training: bool,
    eps: float,
    mask: Any,
) -> list[Array]:
    if not training:
        mean, rstd = _moments(x, rm, rv, training, eps)
    x_hat = (x - _channel(mean, x)) * _channel(rstd, x)
    every = _channel_gradients(grad, x_hat, rstd if w is None else rstd * w, training, 1)
    return _wanted(every, x, mask)


def batch_norm_backward_terms(
    grad: Array,
    x: Array,
    w: Any,
    rm: Any,
    rv: Any,
    mean: Any,
    rstd: Any,
    training: bool,
    eps: float,
    mask: Any,
) -> list[Array]:
    if x.size == 0:
        return []
    if not training:
        mean, rstd = _moments(x, rm, rv, training, eps)
    x_hat = (np.abs(x) + np.abs(_channel(mean, x))) * _channel(rstd, x)
    factor = np.abs(rstd if w is None else rstd * w)
    every = _channel_gradients(np.abs(grad), x_hat, factor, training, -1)
    every[0] = np.broadcast_to(every[0].max(_all_but_channels(x), keepdims=True), x.shape)
    return _wanted(every, x, mask)


def cudnn_batch_norm_backward(
    x: Array, grad: Array, w: Array, rm: Any, rv: Any, mean: Array, rstd: Array, eps: float, *_: Any
) -> list[Array]:
    return batch_norm_backward(grad, x, w, rm, rv, mean, rstd, True, eps, (True,) * 3)


def cudnn_batch_norm_backward_terms(
    x: Array, grad: Array, w: Array, rm: Any, rv: Any, mean: Array, rstd: Array, eps: float, *_: Any
) -> list[Array]:
    return batch_norm_backward_terms(grad, x, w, rm, rv, mean, rstd, True, eps, (True,) * 3)


FORMULAS = {
    "native_group_norm": group_norm,
    "native_group_norm_backward": group_norm_backward,
    "native_batch_norm": batch_norm,
    "native_batch_norm_backward": batch_norm_backward,
    "cudnn_batch_norm": cudnn_batch_norm,
    "cudnn_batch_norm_backward": cudnn_batch_norm_backward,
}
TERMS = {
    "native_group_norm": group_norm_terms,
    "native_group_norm_backward": group_norm_backward_terms,
    "native_batch_norm": batch_norm_terms,
    "native_batch_norm_backward": batch_norm_backward_terms,
    "cudnn_batch_norm": cudnn_batch_norm_terms,
    "cudnn_batch_norm_backward": cudnn_batch_norm_backward_terms,
}
