"""Reference results in numpy's long double (64 bits of mantissa), to judge float64 by.

Formulas as in registry/include/polyops/ops, none of torch's code. For what overflows or has NaN the
caller compares with stock instead.
"""

from collections.abc import Callable
from typing import Any

import extended_activations
import extended_index
import extended_norms
import extended_pool
import extended_reductions
import numpy as np
import torch
from accuracy import Array, wide
from extended_convolution import convolution, convolution_backward
from extended_losses import cross_entropy, nll_loss, nll_loss_backward
from extended_upsample import FORMULAS as UPSAMPLE
from extended_upsample import TERMS as UPSAMPLE_TERMS


@np.errstate(all="ignore")
def erfc(z: Array) -> Array:
    """Relative error 2e-17: a series of positive terms below 2, a continued fraction above."""
    size = np.abs(z)
    square = np.minimum(size, 4) ** 2
    term = total = np.ones_like(z)
    for n in range(1, 90):
        term = term * 2 * square / (2 * n + 1)
        total = total + term
    root_pi = np.sqrt(np.longdouble("3.14159265358979323846264338"))
    inside = 1 - 2 / root_pi * size * np.exp(-(size**2)) * total
    fraction = np.zeros_like(z)
    for n in range(120, 0, -1):
        fraction = (n / np.longdouble(2)) / (size + fraction)
    outside = np.exp(-(size**2)) / root_pi / (size + fraction)
    positive = np.where(size < 2, inside, outside)
    return np.where(z < 0, 2 - positive, positive)


def gelu(x: Array, approximate: str = "none") -> Array:
    if approximate == "none":
        return x * erfc(-x / np.sqrt(np.longdouble(2))) / 2
    return x * logistic(2 * tanh_argument(x))


def logistic(x: Array) -> Array:
    """1/2 (1 + tanh(x / 2)) without cancellation."""
    return 1 / (1 + np.exp(-x))


def root_2_over_pi() -> np.longdouble:
    return np.sqrt(2 / np.longdouble("3.14159265358979323846264338"))


def tanh_argument(x: Array) -> Array:
    return root_2_over_pi() * (x + np.longdouble("0.044715") * x**3)


def gelu_backward(grad: Array, x: Array, approximate: str = "none") -> Array:
    if approximate == "none":
        density = np.exp(-(x**2) / 2) * root_2_over_pi() / 2
        return grad * (erfc(-x / np.sqrt(np.longdouble(2))) / 2 + x * density)
    half = logistic(2 * tanh_argument(x))
    slope = root_2_over_pi() * (1 + 3 * np.longdouble("0.044715") * x**2)
    return grad * (half + 2 * x * half * (1 - half) * slope)


def softmax(x: Array, dim: int, *_: Any) -> Array:
    if x.ndim == 0:
        return x - x + 1
    e = np.exp(x - x.max(dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)


def softmax_backward(grad: Array, y: Array, dim: int, *_: Any) -> Array:
    inner = grad * y
    return y * (grad - (inner.sum(dim, keepdims=True) if inner.ndim else inner))


def log_softmax(x: Array, dim: int, *_: Any) -> Array:
    if x.ndim == 0:
        return x - x
    from_top = x - x.max(dim, keepdims=True)
    return from_top - np.log(np.exp(from_top).sum(dim, keepdims=True))


def log_softmax_backward(grad: Array, y: Array, dim: int, *_: Any) -> Array:
    return grad - np.exp(y) * (grad.sum(dim, keepdims=True) if grad.ndim else grad)


def layer_norm(x: Array, shape: list[int], w: Any, b: Any, eps: float) -> list[Array]:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    mean = x.mean(axes, keepdims=True)
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + np.longdouble(eps))
    y = (x - mean) * rstd * (1 if w is None else w) + (0 if b is None else b)
    return [y, mean, rstd]


def layer_norm_backward(
    grad: Array, x: Array, shape: list[int], mean: Array, rstd: Array, w: Any, b: Any, mask: Any
) -> list[Array]:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    rows = tuple(range(x.ndim - len(shape)))
    x_hat = (x - mean) * rstd
    g = grad if w is None else grad * w
    both = g - g.mean(axes, keepdims=True) - x_hat * (g * x_hat).mean(axes, keepdims=True)
    every = [rstd * both, (grad * x_hat).sum(rows), grad.sum(rows)]
    return [value for value, wanted in zip(every, mask, strict=True) if wanted]


def rms_norm(x: Array, shape: list[int], w: Any, eps: float | None) -> list[Array]:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    eps = float(np.finfo(np.float32).eps) if eps is None else eps
    rstd = 1 / np.sqrt((x**2).mean(axes, keepdims=True) + np.longdouble(eps))
    return [x * rstd * (1 if w is None else w), rstd]


def rms_norm_backward(
    grad: Array, x: Array, shape: list[int], rstd: Array, w: Any, mask: Any
) -> list[Array]:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    rows = tuple(range(x.ndim - len(shape)))
    x_hat = x * rstd
    g = grad if w is None else grad * w
    both = g - x_hat * (g * x_hat).mean(axes, keepdims=True)
    every = [rstd * both, (grad * x_hat).sum(rows)]
    return [value for value, wanted in zip(every, mask, strict=True) if wanted]


def product(a: Array, b: Array) -> Array:
    return a @ b


def add_product(c: Array, a: Array, b: Array, beta: Any = 1, alpha: Any = 1) -> Array:
    total = np.longdouble(alpha) * (a @ b)
    return total + np.longdouble(beta) * c if beta != 0 else total


def attention(
    q: Array,
    k: Array,
    v: Array,
    dropout: float = 0,
    causal: bool = False,
    attn_mask: Any = None,
    scale: float | None = None,
) -> list[Array]:
    """Output and logsumexp; both 0 for a query that sees nothing."""
    v = np.repeat(v, q.shape[1] // v.shape[1], 1)
    scores = attention_scores(q, k, causal, attn_mask, scale)
    top = scores.max(-1, keepdims=True)
    top = np.where(top == -np.inf, 0, top)
    weights = np.exp(scores - top)
    total = weights.sum(-1, keepdims=True)
    total = np.where(total == 0, 1, total)
    return [weights @ v / total, (top + np.log(total))[..., 0]]


def attention_scale(q: Array, scale: float | None) -> np.longdouble:
    return 1 / np.sqrt(np.longdouble(q.shape[3])) if scale is None else np.longdouble(scale)


def attention_scores(q: Array, k: Array, causal: bool, mask: Any, scale: float | None) -> Array:
    """-inf where nothing is seen."""
    scores: Array = attention_scale(q, scale) * (
        q @ np.repeat(k, q.shape[1] // k.shape[1], 1).swapaxes(2, 3)
    )
    if mask is not None:
        scores = scores + wide(mask)
    return np.where(np.tri(*scores.shape[2:], dtype=bool), scores, -np.inf) if causal else scores


def attention_gradients(
    grad: Array, q: Array, k: Array, v: Array, out: Array, weights: Array, scale: np.longdouble
) -> list[Array]:
    """``out`` is added, so it comes negated, or as a magnitude."""
    shared = q.shape[1] // k.shape[1]
    k, v = (np.repeat(t, shared, 1) for t in (k, v))
    g = scale * weights * (grad @ v.swapaxes(2, 3) + (grad * out).sum(-1, keepdims=True))

    def of_keys(each: Array) -> Array:
        return each.reshape(len(each), -1, shared, *each.shape[2:]).sum(2)

    return [g @ k, of_keys(g.swapaxes(2, 3) @ q), of_keys(weights.swapaxes(2, 3) @ grad)]


def attention_backward(
    grad: Array,
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    logsumexp: Array,
    dropout: float = 0,
    causal: bool = False,
    attn_mask: Any = None,
    scale: float | None = None,
) -> list[Array]:
    """From weights and a result that are computed anew."""
    out, logsumexp = attention(q, k, v, dropout, causal, attn_mask, scale)
    weights = np.exp(attention_scores(q, k, causal, attn_mask, scale) - logsumexp[..., None])
    return attention_gradients(grad, q, k, v, -out, weights, attention_scale(q, scale))


def attention_backward_terms(
    grad: Array,
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    logsumexp: Array,
    dropout: float = 0,
    causal: bool = False,
    attn_mask: Any = None,
    scale: float | None = None,
) -> list[Array]:
    """The terms of delta, too, count before they cancel."""
    out, logsumexp = attention(q, k, v, dropout, causal, attn_mask, scale)
    weights = np.exp(attention_scores(q, k, causal, attn_mask, scale) - logsumexp[..., None])
    sizes = [np.abs(t) for t in (grad, q, k, v, out)]
    return attention_gradients(*sizes, weights, np.abs(attention_scale(q, scale)))


def attention_terms(
    q: Array,
    k: Array,
    v: Array,
    dropout: float = 0,
    causal: bool = False,
    attn_mask: Any = None,
    scale: float | None = None,
) -> list[Array]:
    """Of the output as a product of weights and values, of logsumexp the largest score's."""
    output, _ = attention(q, k, np.abs(v), dropout, causal, attn_mask, scale)
    sizes = attention_scores(
        np.abs(q), np.abs(k), causal, None, None if scale is None else abs(scale)
    )
    if attn_mask is not None:
        sizes = sizes + np.abs(np.where(np.isfinite(wide(attn_mask)), wide(attn_mask), 0))
    return [output, sizes.max(-1)]


FORMULAS: dict[str, Callable[..., Any]] = {
    "gelu": gelu,
    "gelu_backward": gelu_backward,
    "_softmax": softmax,
    "_softmax_backward_data": softmax_backward,
    "_log_softmax": log_softmax,
    "_log_softmax_backward_data": log_softmax_backward,
    "native_layer_norm": layer_norm,
    "native_layer_norm_backward": layer_norm_backward,
    "_fused_rms_norm": rms_norm,
    "_fused_rms_norm_backward": rms_norm_backward,
    "mm": product,
    "dot": product,
    "bmm": product,
    "addmm": add_product,
    "baddbmm": add_product,
    "addmv": add_product,
    "convolution": convolution,
    "convolution_backward": convolution_backward,
    "_scaled_dot_product_flash_attention_for_cpu": attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": attention_backward,
    **UPSAMPLE,
    **extended_activations.FORMULAS,
    **extended_index.FORMULAS,
    **extended_norms.FORMULAS,
    **extended_pool.FORMULAS,
    **extended_reductions.FORMULAS,
    "cross_entropy_loss": cross_entropy,
    "nll_loss_forward": nll_loss,
    "nll_loss_backward": nll_loss_backward,
    "nll_loss2d_forward": nll_loss,
    "nll_loss2d_backward": nll_loss_backward,
}


def evaluate(
    formula: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Array] | None:
    if formula is None:
        return None
    wide_args = [wide(a) if isinstance(a, torch.Tensor) else a for a in args]
    named = {k: v for k, v in kwargs.items() if k not in ("out", "grad_input")}
    result = formula(*wide_args, **named)
    return result if isinstance(result, list) else [result]


@np.errstate(all="ignore")
def exact_result(overload: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Array]:
    """The results of aten::<overload>; its out= arguments are not looked at."""
    result = evaluate(FORMULAS[overload.split(".")[0].rstrip("_")], args, kwargs)
    assert result is not None
    return result


def softmax_backward_terms(grad: Array, y: Array, dim: int, *_: Any) -> Array:
    inner = np.abs(grad * y)
    return np.abs(y) * (np.abs(grad) + (inner.sum(dim, keepdims=True) if inner.ndim else inner))


def log_softmax_terms(x: Array, dim: int, *_: Any) -> Array:
    """1: a result near 0 is a difference of numbers of about that size."""
    return np.ones_like(x)


def log_softmax_backward_terms(grad: Array, y: Array, dim: int, *_: Any) -> Array:
    size = np.abs(grad)
    return size + np.exp(y) * (size.sum(dim, keepdims=True) if size.ndim else size)


def layer_norm_backward_terms(
    grad: Array, x: Array, shape: list[int], mean: Array, rstd: Array, w: Any, b: Any, mask: Any
) -> list[Array]:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    rows = tuple(range(x.ndim - len(shape)))
    x_hat = np.abs((x - mean) * rstd)
    g = np.abs(grad if w is None else grad * w)
    both = g + g.mean(axes, keepdims=True) + x_hat * (g * x_hat).mean(axes, keepdims=True)
    every = [rstd * both, (np.abs(grad) * x_hat).sum(rows), np.abs(grad).sum(rows)]
    return [value for value, wanted in zip(every, mask, strict=True) if wanted]


def rms_norm_backward_terms(
    grad: Array, x: Array, shape: list[int], rstd: Array, w: Any, mask: Any
) -> list[Array]:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    rows = tuple(range(x.ndim - len(shape)))
    x_hat = np.abs(x * rstd)
    g = np.abs(grad if w is None else grad * w)
    both = g + x_hat * (g * x_hat).mean(axes, keepdims=True)
    every = [rstd * both, (np.abs(grad) * x_hat).sum(rows)]
    return [value for value, wanted in zip(every, mask, strict=True) if wanted]


def layer_norm_terms(x: Array, shape: list[int], *_: Any) -> list[Array]:
    """The mean is a sum; the others have no terms that cancel beyond what the row shows."""
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    mean = np.abs(x).mean(axes, keepdims=True)
    return [np.zeros_like(x), mean, np.zeros_like(mean)]


def gelu_backward_terms(grad: Array, x: Array, approximate: str = "none") -> Array:
    """Both approximations are sums of two terms, which cancel near -0.75; the erf form's do."""
    density = np.exp(-(x**2) / 2) * root_2_over_pi() / 2
    return np.abs(grad) * (erfc(-x / np.sqrt(np.longdouble(2))) / 2 + np.abs(x) * density)


TERMS: dict[str, Callable[..., Any]] = {
    "_scaled_dot_product_flash_attention_for_cpu": attention_terms,
    "_scaled_dot_product_flash_attention_for_cpu_backward": attention_backward_terms,
    "gelu_backward": gelu_backward_terms,
    "_softmax_backward_data": softmax_backward_terms,
    "_log_softmax": log_softmax_terms,
    "_log_softmax_backward_data": log_softmax_backward_terms,
    "native_layer_norm": layer_norm_terms,
    "native_layer_norm_backward": layer_norm_backward_terms,
    "_fused_rms_norm_backward": rms_norm_backward_terms,
    **extended_activations.TERMS,
    **extended_index.TERMS,
    **extended_norms.TERMS,
    **extended_reductions.TERMS,
    **UPSAMPLE_TERMS,
}


@np.errstate(all="ignore")
def term_sizes(overload: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Array] | None:
    """Sums of the magnitudes of the terms, or None: nothing of that overload cancels."""
    return evaluate(TERMS.get(overload.split(".")[0]), args, kwargs)
