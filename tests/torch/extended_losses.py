"""Reference results of losses in numpy's long double (see extended.py)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from accuracy import Array


def rows_of(x: Array) -> Array:
    """Samples by classes, which are dimension 1."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def nll_loss(
    x: Array, target: Array, weight: Any, reduction: int, ignored: int, **_: Any
) -> list[Array]:
    sizes, x, target = target.shape, rows_of(x), target.reshape(-1)
    w, taken = sample_weights(target, weight, ignored, x.shape[-1])
    each = -w * np.where(w == 0, 0, x[np.arange(len(x)), taken])
    if reduction == 0:
        return [each.reshape(sizes), np.zeros((), np.longdouble)]
    total = w.sum()
    return [each.sum() / total if reduction == 1 else each.sum(), total]


def cross_entropy(
    x: Array,
    target: Array,
    weight: Any = None,
    reduction: int = 1,
    ignored: int = -100,
    smoothing: float = 0,
    **_: Any,
) -> Array:
    sizes, x, target = target.shape, rows_of(x), target.reshape(-1)
    w, taken = sample_weights(target, weight, ignored, x.shape[-1])
    counts = target.astype(np.int64) != ignored
    top = x.max(-1, keepdims=True)
    below = np.log(np.exp(x - top).sum(-1, keepdims=True)) + (top - x)
    of_class = np.ones(x.shape[-1], np.longdouble) if weight is None else weight
    each = (1 - smoothing) * of_class[taken] * below[np.arange(len(x)), taken]
    if smoothing > 0:
        each = each + smoothing / x.shape[-1] * (of_class * below).sum(-1)
    each = np.where(counts, each, 0)
    if reduction == 0:
        return each.reshape(sizes)
    return each.sum() / w.sum() if reduction == 1 else each.sum()


def sample_weights(
    target: Array, weight: Any, ignored: int, classes: int
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Of each sample its weight, 0 if it is ignored, and its class."""
    wanted = target.astype(np.int64)
    taken = np.where(wanted == ignored, 0, wanted)
    of_class = np.ones(classes, np.longdouble) if weight is None else weight
    return np.where(wanted == ignored, 0, of_class[taken]), taken


def nll_loss_backward(
    grad: Array,
    x: Array,
    target: Array,
    weight: Any,
    reduction: int,
    ignored: int,
    total: Array,
    **_: Any,
) -> Array:
    target, grad = target.reshape(-1), grad.reshape(-1)
    result = rows_of(np.zeros_like(x))
    w, taken = sample_weights(target, weight, ignored, x.shape[1])
    result[np.arange(len(result)), taken] = np.where(
        target == ignored, 0, -w * (grad / total if reduction == 1 else grad)
    )
    return np.moveaxis(result.reshape(len(x), *x.shape[2:], x.shape[1]), -1, 1)
