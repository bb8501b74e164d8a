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


def cumsum(x: Array, dim: int, **_: Any) -> Array:
    return np.asarray(x.cumsum(dim) if x.ndim else x)


def finite(x: Array) -> Array:
    return np.where(np.isfinite(x), np.abs(x), np.longdouble(0))


FORMULAS: dict[str, Callable[..., Any]] = {
    "sum": total,
    "mean": mean,
    "amax": amax,
    "amin": amin,
    "cumsum": cumsum,
}
TERMS: dict[str, Callable[..., Any]] = {
    "sum": lambda x, *rest, **named: total(finite(x), *rest, **named),
    "mean": lambda x, *rest, **named: mean(finite(x), *rest, **named),
    "cumsum": lambda x, *rest, **named: cumsum(finite(x), *rest, **named),
}
