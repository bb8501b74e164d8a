"""Reference results of mish, softplus, elu, log_sigmoid and glu in numpy's long double (see
extended.py).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from accuracy import Array


def logistic(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def log_of_1_and_exp(x: Array) -> Array:
    return np.fmax(x, 0) + np.log1p(np.exp(-np.abs(x)))


def mish(x: Array) -> Array:
    return x * np.tanh(log_of_1_and_exp(x))


def mish_slope_terms(x: Array) -> tuple[Array, Array]:
    tanh = np.tanh(log_of_1_and_exp(x))
    return tanh, x * logistic(x) * (1 - tanh**2)


def mish_backward(grad: Array, x: Array) -> Array:
    return grad * sum(mish_slope_terms(x))


def mish_backward_terms(grad: Array, x: Array) -> Array:
    return np.abs(grad) * sum(np.abs(term) for term in mish_slope_terms(x))


def softplus(x: Array, beta: float = 1, threshold: float = 20) -> Array:
    return np.where(x * beta > threshold, x, log_of_1_and_exp(x * beta) / np.longdouble(beta))


def softplus_backward(grad: Array, x: Array, beta: float, threshold: float) -> Array:
    return np.where(x * beta > threshold, grad, grad * logistic(x * beta))


def elu(x: Array, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Array:
    return scale * np.where(x > 0, x, alpha * np.expm1(x * input_scale))


def elu_backward(
    grad: Array, alpha: float, scale: float, input_scale: float, is_result: bool, x: Array
) -> Array:
    negative = np.longdouble(alpha) * scale
    curve = x + negative if is_result else negative * np.exp(x * input_scale)
    return grad * np.where(x <= 0, input_scale * curve, scale)


def elu_backward_terms(
    grad: Array, alpha: float, scale: float, input_scale: float, is_result: bool, x: Array
) -> Array:
    """A result near -alpha leaves little of the slope."""
    slope = np.abs(x) + abs(alpha * scale) if is_result else np.zeros_like(x)
    return np.abs(grad) * abs(input_scale) * slope


def log_sigmoid(x: Array, **_: Any) -> list[Array]:
    return [-log_of_1_and_exp(-x), np.zeros(0, np.longdouble)]


def log_sigmoid_backward(grad: Array, x: Array, _: Array) -> Array:
    return grad * logistic(-x)


def glu(x: Array, dim: int = -1) -> Array:
    a, b = np.split(x, 2, dim)
    return a * logistic(b)


def glu_backward(grad: Array, x: Array, dim: int) -> Array:
    a, b = np.split(x, 2, dim)
    return np.concatenate([grad * logistic(b), grad * a * (logistic(b) * logistic(-b))], dim)


FORMULAS: dict[str, Callable[..., Any]] = {
    "mish": mish,
    "mish_backward": mish_backward,
    "softplus": softplus,
    "softplus_backward": softplus_backward,
    "elu": elu,
    "elu_backward": elu_backward,
    "log_sigmoid_forward": log_sigmoid,
    "log_sigmoid_backward": log_sigmoid_backward,
    "glu": glu,
    "glu_backward": glu_backward,
}
TERMS: dict[str, Callable[..., Any]] = {
    "mish_backward": mish_backward_terms,
    "elu_backward": elu_backward_terms,
}
