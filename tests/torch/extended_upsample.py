"""Interpolation of images in numpy's long double, by taps; positions in float64, as stock's own are
there.
"""

from typing import Any

import numpy as np
from accuracy import Array

Taps = list[tuple[Any, Any]]
"""For each tap: the place of each result, and its weight."""


def positions(start: int, end: int, align_corners: bool, factor: float | None) -> Any:
    i = np.arange(end, dtype=np.float64)
    if align_corners:
        return i * ((start - 1) / (end - 1) if end > 1 else 0.0)
    scale = 1 / factor if factor else start / end
    return scale * (i + 0.5) - 0.5


def linear(start: int, end: int, align_corners: bool, factor: float | None) -> Taps:
    position = np.maximum(positions(start, end, align_corners, factor), 0)
    first = np.floor(position).astype(np.int64)
    t = np.longdouble(position - first)
    return [(first, 1 - t), (np.minimum(first + 1, start - 1), t)]


def cubic(start: int, end: int, align_corners: bool, factor: float | None) -> Taps:
    position = positions(start, end, align_corners, factor)
    first = np.floor(position).astype(np.int64)
    t = np.longdouble(position - first)
    a = np.longdouble(-0.75)

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    weights = [far(1 + t), near(t), near(1 - t), far(2 - t)]
    return [(np.clip(first - 1 + k, 0, start - 1), w) for k, w in enumerate(weights)]


TAPS = {"upsample_bilinear2d": linear, "upsample_bicubic2d": cubic}


def upsample(name: str, size: bool = False) -> Any:
    """The formula of aten::<name>; size: of the magnitudes of its terms."""

    def formula(
        x: Array,
        to: list[int],
        align_corners: bool,
        factor_h: float | None = None,
        factor_w: float | None = None,
    ) -> Array:
        x = np.abs(x) if size else x
        if list(x.shape[2:]) == list(to):
            return x
        rows = TAPS[name](x.shape[2], to[0], align_corners, factor_h)
        columns = TAPS[name](x.shape[3], to[1], align_corners, factor_w)
        total: Array = np.zeros((*x.shape[:2], *to), np.longdouble)
        for row, row_weight in rows:
            for column, weight in columns:
                both = row_weight[:, None] * weight
                total += (np.abs(both) if size else both) * x[:, :, row][..., column]
        return total

    return formula


def upsample_backward(name: str, size: bool = False) -> Any:
    def formula(
        grad: Array,
        to: list[int],
        sizes: list[int],
        align_corners: bool,
        factor_h: float | None = None,
        factor_w: float | None = None,
    ) -> Array:
        grad = np.abs(grad) if size else grad
        if list(sizes[2:]) == list(to):
            return grad
        rows = TAPS[name](sizes[2], to[0], align_corners, factor_h)
        columns = TAPS[name](sizes[3], to[1], align_corners, factor_w)
        total: Array = np.zeros(sizes, np.longdouble)
        for row, row_weight in rows:
            for column, weight in columns:
                both = row_weight[:, None] * weight
                terms = (np.abs(both) if size else both) * grad
                places = (slice(None), slice(None), row[:, None], column)
                np.add.at(total, places, terms)
        return total

    return formula


FORMULAS = {name: upsample(name) for name in TAPS}
FORMULAS |= {f"{name}_backward": upsample_backward(name) for name in TAPS}
TERMS = {name: upsample(name, size=True) for name in TAPS}
TERMS |= {f"{name}_backward": upsample_backward(name, size=True) for name in TAPS}
