"""What builds a call: tensors of a row's sizes and layout, and the call itself."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops._bench.shapes import Spec


@dataclass(frozen=True)
class Case:
    """A call that can be repeated."""

    fn: Callable[[], Any]
    """Calls the overload once."""
    check: Callable[[], list[Tensor]]
    """Calls it once on fresh copies of what it writes, and returns its results."""
    bytes: int
    """What has to be read and written at least."""
    flops: int
    """Multiplications and additions of a product; 0 of other ops, which memory or exp bounds."""
    footprint: int
    """Bytes of memory that the call touches."""


@dataclass(frozen=True)
class Inputs:
    """Makes the tensors of a row; `exact`: the same values, but as float64."""

    spec: Spec
    exact: bool

    def typed(self, values: Tensor, dtype: str = "") -> Tensor:
        rounded = values.to(getattr(torch, dtype or self.spec.dtype))
        return rounded.double() if self.exact else rounded

    def randn(self, *sizes: int) -> Tensor:
        return self.typed(torch.randn(sizes))

    def tensor(self, sizes: tuple[int, ...], layout: str) -> Tensor:
        rows, last = sizes[:-1], sizes[-1]
        if layout == "contiguous":
            return self.randn(*sizes)
        if layout == "channels_last":
            form = torch.channels_last if len(sizes) == 4 else torch.channels_last_3d
            return self.randn(*sizes).contiguous(memory_format=form)
        if layout == "transposed":
            return self.randn(*sizes[:-2], last, sizes[-2]).transpose(-1, -2)
        if layout == "padded":
            return self.randn(*rows, last + 24)[..., 8 : last + 8]
        if layout == "strided":
            return self.randn(*rows, 2 * last)[..., ::2]
        raise ValueError(f"unknown layout {layout!r}")

    def input(self) -> Tensor:
        """The tensor of the row's sizes."""
        layout = "transposed" if self.spec.layout == "mixed" else self.spec.layout
        return self.tensor(self.spec.sizes, layout)

    def gradient(self) -> Tensor:
        layout = "contiguous" if self.spec.layout == "mixed" else self.spec.layout
        return self.tensor(self.spec.sizes, layout)


SECTOR = 32  # bytes; less of them no memory moves


def nbytes(*tensors: Tensor | None) -> int:
    """What is moved to read or write these: of elements that lie apart, what lies between, too."""
    return sum(_moved(t) for t in tensors if t is not None)


def new_bytes(t: Tensor) -> int:
    """What is moved to write a new tensor like it, in which nothing lies between elements."""
    return t.numel() * t.element_size()


def _moved(t: Tensor) -> int:
    strides = [stride for stride, n in zip(t.stride(), t.shape, strict=True) if n > 1 and stride]
    size = t.element_size()
    return t.numel() * min(min(strides, default=1) * size, max(size, SECTOR))


def _listed(results: Any) -> list[Tensor]:
    return [results] if isinstance(results, Tensor) else [t for t in results if t is not None]


def new_results(fn: Callable[[], Any], moved: int, flops: int = 0) -> Case:
    """Of a call that returns new tensors, or fills out= tensors entirely."""
    return Case(fn, lambda: [t.clone() for t in _listed(fn())], moved, flops, moved)


def in_place(fn: Callable[[Tensor], Any], dst: Tensor, moved: int, flops: int = 0) -> Case:
    footprint = moved - nbytes(dst)
    return Case(partial(fn, dst), lambda: [fn(dst.clone())], moved, flops, footprint)
