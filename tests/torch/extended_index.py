"""Reference results of embedding's gradient in numpy's long double (see extended.py)."""

from typing import Any

import numpy as np
from accuracy import Array


def embedding_backward(
    grad: Array, index: Array, rows: int, padding: int, by_freq: bool, **_: Any
) -> Array:
    width = grad.shape[-1]
    taken = index.astype(np.int64).reshape(-1)
    result = np.zeros((rows, width), np.longdouble)
    np.add.at(result, taken, grad.reshape(-1, width))
    if by_freq:
        result /= np.maximum(np.bincount(taken, minlength=rows), 1)[:, None]
    if 0 <= padding < rows:
        result[padding] = 0
    return result


def embedding_backward_terms(grad: Array, *args: Any) -> Array:
    return embedding_backward(np.abs(grad), *args)
