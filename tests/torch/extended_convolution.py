"""Convolution and its gradients as sums over windows; see extended.py."""

from typing import Any

import numpy as np
from accuracy import Array


def convolution_windows(x: Array, taps: tuple[int, ...], window: Any) -> tuple[Array, Any]:
    """A view of padded x, (batch, channels, pixels..., taps...), and what it is a view of."""
    stride, padding, dilation = (np.broadcast_to(v, len(taps)) for v in window)
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    spans = (padded.shape[2:] - dilation * (np.array(taps) - 1) - 1) // stride + 1
    steps = np.array(padded.strides[2:])
    shape = (*x.shape[:2], *spans, *taps)
    strides = (*padded.strides[:2], *(steps * stride), *(steps * dilation))
    return np.lib.stride_tricks.as_strided(padded, shape, strides), padded


def convolution(x: Array, w: Array, b: Any, *parameters: Any) -> Array:
    *window, _, _, groups = parameters
    view, _ = convolution_windows(x, w.shape[2:], window)
    pixels = view.shape[2 : x.ndim]
    columns = view.reshape(len(x), groups, w.shape[1], np.prod(pixels), -1)
    y = np.einsum(
        "ngcpt,gfct->ngfp", columns, w.reshape(groups, -1, *w.shape[1:2], columns.shape[4])
    )
    y = y.reshape(len(x), len(w), *pixels)
    return y if b is None else y + b.reshape(-1, *[1] * len(pixels))


def convolution_backward(grad: Array, x: Array, w: Array, _: Any, *parameters: Any) -> list[Array]:
    *window, _, _, groups, mask = parameters
    view, _ = convolution_windows(x, w.shape[2:], window)
    columns = view.reshape(len(x), groups, w.shape[1], np.prod(grad.shape[2:]), -1)
    g = grad.reshape(len(x), groups, -1, columns.shape[3])
    filters = w.reshape(groups, -1, w.shape[1], columns.shape[4])
    ways, padded = convolution_windows(np.zeros_like(x), w.shape[2:], window)
    terms = np.einsum("ngfp,gfct->ngcpt", g, filters).reshape(ways.shape)
    for tap in np.ndindex(*w.shape[2:]):  # pixels of one tap do not overlap
        ways[(..., *tap)] += terms[(..., *tap)]
    padding = np.broadcast_to(window[1], len(w.shape) - 2)
    inside = [slice(p, p + size) for p, size in zip(padding, x.shape[2:], strict=True)]
    grad_w = np.einsum("ngfp,ngcpt->gfct", g, columns).reshape(w.shape)
    every = [padded[(..., *inside)], grad_w, grad.sum((0, *range(2, grad.ndim)))]
    return [value for value, wanted in zip(every, mask, strict=True) if wanted]
