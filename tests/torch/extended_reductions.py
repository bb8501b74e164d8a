"""Reference results of reductions and of cumsum in numpy's long double (see extended.py)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from accuracy import Array


def axes_of(x: Array, dims: Any) -> tuple[int, ...]:
    return tuple(dims) if dims and x.ndim else tuple(range(x.ndim))


def total(x: Array, dims: Any = None, keepdim: bool = False, **_: Any) -> Array:
    return np.asarray(x.sum(axes_of(x, dims), keepdims=keepdim))


def mean(x: Array, dims: Any = None, keepdim: bool = False, **_: Any) -> Array:
    return np.asarray(x.mean(axes_of(x, dims), keepdims=keepdim))


def amax(x: Array, dims: Any = None, keepdim: bool = False, **_: Any) -> Array:
    return np.asarray(x.max(axes_of(x, dims), keepdims=keepdim))


def amin(x: Array, dims: Any = None, keepdim: bool = False, **_: Any) -> Array:
    return np.asarray(x.min(axes_of(x, dims), keepdims=keepdim))


def logsumexp(x: Array, dims: Any, keepdim: bool = False, **_: Any) -> Array:
    axes = axes_of(x, dims)
    top = x.max(axes, keepdims=True)
    top = np.where(np.isfinite(top), top, np.longdouble(0))
    with np.errstate(all="ignore"):
        whole = np.log(np.exp(x - top).sum(axes, keepdims=True)) + top
    return np.asarray(whole if keepdim else whole.squeeze(axes))


def largest_term(x: Array, dims: Any, keepdim: bool = False, **_: Any) -> Array:
    """Of the largest element and the logarithm of a sum of so many that are at most 1."""
    axes = axes_of(x, dims)
    size = np.asarray(finite(x).max(axes, keepdims=keepdim))
    return size + np.log(np.longdouble(x.size / max(size.size, 1)) + 1)


def var(
    x: Array, dims: Any = None, correction: float | None = None, keepdim: bool = False, **_: Any
) -> Array:
    axes = axes_of(x, dims)
    mean = x.mean(axes, keepdims=True)
    squares = np.asarray(((x - mean) ** 2).sum(axes, keepdims=keepdim))
    divisor = x.size / max(squares.size, 1) - (1 if correction is None else correction)
    with np.errstate(all="ignore"):
        return squares / np.longdouble(max(divisor, 0))


def std(x: Array, *rest: Any, **named: Any) -> Array:
    return np.asarray(np.sqrt(var(x, *rest, **named)))


def with_mean(formula: Callable[..., Array]) -> Callable[..., list[Array]]:
    def both(x: Array, dims: Any = None, keepdim: bool = False, **named: Any) -> list[Array]:
        return [formula(x, dims, keepdim=keepdim, **named), mean(x, dims, keepdim)]

    return both


def var_terms(x: Array, *rest: Any, **named: Any) -> Array:
    """A mean of float32 is off by a share of itself, and every deviation by as much."""
    x = finite(x) * np.sign(np.where(np.isfinite(x), x, 0))
    spread = var(x, *rest, **named)
    return spread + np.sqrt(spread) * std_terms(x, *rest, **named)


def std_terms(x: Array, dims: Any = None, keepdim: bool = False, **_: Any) -> Array:
    return mean(finite(x), dims, keepdim)


def vector_norm(
    x: Array, order: float = 2, dims: Any = None, keepdim: bool = False, **_: Any
) -> Array:
    axes, size = axes_of(x, dims), np.abs(x)
    if np.isinf(order):
        return np.asarray((np.max if order > 0 else np.min)(size, axes, keepdims=keepdim))
    if order == 0:
        return np.asarray((x != 0).sum(axes, keepdims=keepdim).astype(np.longdouble))
    with np.errstate(all="ignore"):
        powers = (size ** np.longdouble(order)).sum(axes, keepdims=keepdim)
        return np.asarray(powers ** (1 / np.longdouble(order)))


def cumsum(x: Array, dim: int, **_: Any) -> Array:
    return np.asarray(x.cumsum(dim) if x.ndim else x)


def finite(x: Array) -> Array:
    return np.where(np.isfinite(x), np.abs(x), np.longdouble(0))


FORMULAS: dict[str, Callable[..., Any]] = {
    "sum": total,
    "mean": mean,
    "amax": amax,
    "amin": amin,
    "logsumexp": logsumexp,
    "var": var,
    "std": std,
    "var_mean": with_mean(var),
    "std_mean": with_mean(std),
    "linalg_vector_norm": vector_norm,
    "cumsum": cumsum,
}
TERMS: dict[str, Callable[..., Any]] = {
    "sum": lambda x, *rest, **named: total(finite(x), *rest, **named),
    "mean": lambda x, *rest, **named: mean(finite(x), *rest, **named),
    "logsumexp": largest_term,
    "var": var_terms,
    "std": std_terms,
    "var_mean": lambda x, *rest, **named: [
        var_terms(x, *rest, **named),
        std_terms(x, *rest, **named),
    ],
    "std_mean": lambda x, *rest, **named: [std_terms(x, *rest, **named)] * 2,
    "cumsum": lambda x, *rest, **named: cumsum(finite(x), *rest, **named),
}
