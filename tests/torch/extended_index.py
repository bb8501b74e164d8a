"""Reference results of sums by an index in numpy's long double (see extended.py)."""

from collections.abc import Callable
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


def index_add(x: Array, dim: int, index: Array, source: Array, alpha: float = 1) -> Array:
    result = np.moveaxis(np.atleast_1d(x).astype(np.longdouble), dim, 0)  # of a copy
    rows = np.moveaxis(np.atleast_1d(source), dim, 0) * np.longdouble(alpha)
    np.add.at(result, np.atleast_1d(index).astype(np.int64), rows)
    return np.moveaxis(result, 0, dim).reshape(x.shape)


def index_add_terms(x: Array, dim: int, index: Array, source: Array, alpha: float = 1) -> Array:
    return index_add(np.abs(x), dim, index, np.abs(source), abs(alpha))


def scatter_add(x: Array, dim: int, index: Array, src: Array) -> Array:
    result = np.atleast_1d(x).astype(np.longdouble)
    named = np.atleast_1d(index).astype(np.int64)
    if named.size == 0:  # of any number of dimensions
        return result.reshape(x.shape)
    places = list(np.indices(named.shape))
    places[dim] = named
    taken = tuple(slice(size) for size in named.shape)
    np.add.at(result, tuple(places), np.atleast_1d(src)[taken])
    return result.reshape(x.shape)


def scatter_add_terms(x: Array, dim: int, index: Array, src: Array) -> Array:
    return scatter_add(np.abs(x), dim, index, np.abs(src))


def index_put(x: Array, indices: list[Any], values: Array, *_: Any) -> Array:
    result = x.astype(np.longdouble)
    places = tuple(slice(None) if i is None else i.cpu().numpy() for i in indices)
    np.add.at(result, places, values)
    return result


def index_put_terms(x: Array, indices: list[Any], values: Array, *_: Any) -> Array:
    return index_put(np.abs(x), indices, np.abs(values))


FORMULAS: dict[str, Callable[..., Any]] = {
    "embedding_dense_backward": embedding_backward,
    "index_add": index_add,
    "_index_put_impl": index_put,
    "scatter_add": scatter_add,
}
TERMS: dict[str, Callable[..., Any]] = {
    "embedding_dense_backward": embedding_backward_terms,
    "index_add": index_add_terms,
    "index_add_": index_add_terms,
    "index_put": index_put_terms,
    "_index_put_impl_": index_put_terms,
    "scatter_add": scatter_add_terms,
    "scatter_add_": scatter_add_terms,
}
