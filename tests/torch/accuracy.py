"""The accuracy promise: at most twice stock's own error, plus one unit in the last place.

Errors are taken against a float64 run (for float64: against extended.py) and divided by a scale:
for products sum |a||b|, else the largest reference value of the element's row. A unit in the last
place is finfo.eps of the output's dtype, at that scale. Errors are the largest over 20 seeds.

test_accuracy.py does just that on rows of real length. In rows of a few elements the terms of a
gradient can cancel altogether, so that the largest value says nothing (stock's softmax_backward,
20,000 rows of 5: 49,000 units at worst, ours 28,000; by another draw 690 and 2,240): there the sum
of the magnitudes of the terms, the scale of products, is taken if it is larger.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.longdouble]


@dataclass
class Errors:
    """Largest error / scale over what was added."""

    ours: float = 0.0
    stock: float = 0.0

    def add(self, other: "Errors") -> None:
        self.ours, self.stock = max(self.ours, other.ours), max(self.stock, other.stock)

    def kept(self, dtype: torch.dtype) -> bool:
        return self.ours <= 2 * self.stock + torch.finfo(dtype).eps

    def check(self, dtype: torch.dtype, what: str) -> None:
        unit = torch.finfo(dtype).eps
        assert self.kept(dtype), (
            f"{what}: error {self.ours / unit:.3g} units in the last place of the scale, "
            f"stock has {self.stock / unit:.3g}"
        )


def wide(tensor: torch.Tensor) -> Array:
    return tensor.detach().double().cpu().numpy().astype(np.longdouble)


def row_scale(reference: Array, dims: tuple[int, ...] = (-1,)) -> Array:
    """The largest absolute reference value along ``dims``, finite ones only."""
    magnitude = np.where(np.isfinite(reference), np.abs(reference), np.longdouble(0))
    if magnitude.ndim == 0 or magnitude.size == 0:
        return magnitude
    return np.broadcast_to(magnitude.max(dims, keepdims=True), reference.shape)


def finite_in_both(ours: torch.Tensor, stock: torch.Tensor, exact: Array, what: str) -> Array:
    """Where either is not finite ours is stock's, or it is right and stock is not: stock's tanh
    gelu has NaN gradients above 1e13 (float32 overflows in x^3), its oneDNN gelu is NaN at +inf.
    """
    mine, theirs = wide(ours), wide(stock)
    finite = np.isfinite(mine) & np.isfinite(theirs)
    rounded = wide(torch.from_numpy(np.asarray(exact, np.float64)).to(ours.dtype))
    near = np.abs(mine - exact) <= torch.finfo(ours.dtype).eps * np.abs(exact)
    same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
    right = (mine == rounded) | (np.isnan(mine) & np.isnan(rounded)) | near
    good = finite | same | right
    assert np.all(good), f"{what}: {mine[~good]} instead of stock's {theirs[~good]}"
    return np.asarray(finite)


@np.errstate(all="ignore")
def errors_of(
    ours: torch.Tensor, stock: torch.Tensor, exact: Array, scale: Array, what: str
) -> Errors:
    """Below the smallest normal number of the dtype the last place is absolute, so is the scale."""
    finite = finite_in_both(ours, stock, exact, what) & np.isfinite(exact)
    if not finite.any():
        return Errors()
    scale = np.maximum(scale[finite], torch.finfo(stock.dtype).tiny)
    return Errors(
        float((np.abs(wide(ours)[finite] - exact[finite]) / scale).max()),
        float((np.abs(wide(stock)[finite] - exact[finite]) / scale).max()),
    )
