"""Packs of convolutions by the CPU family's own kernel, whichever other families were built."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from polyops import _C

PACKER = "convolution_pack_panels__avx512"


@contextmanager
def own_packer() -> Iterator[None]:
    if any(kernel["name"] == PACKER and kernel["usable"] for kernel in _C.kernels()):
        _C.force("convolution_pack", PACKER)
    try:
        yield
    finally:
        _C.force("convolution_pack", None)


def why_no_convolutions() -> str | None:
    """Why this machine packs no weight of a convolution; None if it does."""
    weight = torch.randn(8, 32, 3, 3, dtype=torch.bfloat16)
    with own_packer():
        ones = [1, 1]
        return _C.pack_convolution(weight, ones, ones, ones, 1, gated=False)[1]
