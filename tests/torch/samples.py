"""Our own samples of the overloads in polyops._C.overloads(), called as torch.ops.aten.<overload>.

A sample says what must become of it with gates lifted: "hit"; the reason why it is declined;
"error" where stock raises; "none" where the call must not reach us; "any" where that is not ours to
say; "undefined" where even stock's values are garbage (it reads a meta tensor). So a kernel that
stops taking a call is seen, not just a wrong one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import polyops

F32, BF16, F64, F16 = torch.float32, torch.bfloat16, torch.float64, torch.float16
TAKEN = (F32, BF16, F16, F64)  # memory-bound ops
# mm and its kin: bfloat16 where the machine multiplies it as it is.
BF16_PRODUCTS = "avx512bf16" in polyops._C.families()[0]["features"]
PRODUCTS = TAKEN if BF16_PRODUCTS else (F32, F16, F64)

SPECIAL = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e30, -1e30, 1e-40, -1e-40, 88.0]


def lay_out(tensor: torch.Tensor, layout: str) -> torch.Tensor:
    """The same sizes and, unless expanded, the same values, in another layout."""
    if layout == "contiguous":
        return tensor
    if layout == "transposed":
        return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout == "reversed":
        order = tuple(range(tensor.dim()))[::-1]
        return tensor.permute(order).contiguous().permute(order)
    if layout == "strided":
        return torch.stack((tensor, torch.full_like(tensor, 7)), -1)[..., 0]
    if layout == "padded":
        return torch.nn.functional.pad(tensor, (0, 3))[..., : tensor.shape[-1]]
    if layout == "offset":
        flat = torch.cat((tensor.new_zeros(1), tensor.reshape(-1)))
        return flat[1:].view(tensor.shape)
    if layout == "expanded":
        return tensor[:1].expand(tensor.shape)
    if layout == "expanded_last":
        return tensor[..., :1].expand(tensor.shape)
    if layout == "channels_last":
        form = torch.channels_last if tensor.dim() == 4 else torch.channels_last_3d
        return tensor.contiguous(memory_format=form)
    if layout == "overlapping":
        strides = [max(1, s // 2) for s in tensor.stride()]
        return tensor.as_strided(tensor.shape, strides)
    raise ValueError(layout)


LAYOUTS = ["contiguous", "transposed", "reversed", "strided", "padded", "offset", "expanded"]
LAYOUTS += ["expanded_last", "overlapping"]


def pairs(layouts: list[str]) -> list[tuple[str, str]]:
    """Each with itself, with contiguous, and with two others; all of them would take minutes."""
    n = len(layouts)
    near = {(a, (a + step) % n) for a in range(n) for step in (0, 1, 4)}
    plain = {(a, 0) for a in range(n)} | {(0, a) for a in range(n)}
    return [(layouts[a], layouts[b]) for a, b in sorted(near | plain)]


class Make:
    """Makes tensors of one dtype; the same ones, in the same order, for the same seed."""

    def __init__(self, dtype: torch.dtype, seed: int) -> None:
        self.dtype = dtype
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(
        self,
        *shape: int,
        layout: str = "contiguous",
        dtype: torch.dtype | None = None,
        scale: float = 1.0,
        special: bool = False,
    ) -> torch.Tensor:
        tensor = torch.randn(shape, generator=self.generator, dtype=F64) * scale
        if special:
            flat = tensor.view(-1)
            where = torch.randperm(flat.numel(), generator=self.generator)[: len(SPECIAL)]
            flat[where] = torch.tensor(SPECIAL, dtype=F64)[: len(where)]
        return lay_out(tensor.to(dtype or self.dtype), layout)


def without_infinity(x: torch.Tensor) -> torch.Tensor:
    """NaN in its place: a mean of it is one or the other, as sums are formed."""
    return torch.where(x.isinf(), torch.nan, x)


Args = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Sample:
    """``dims`` of the result are one row, of which the accuracy promise takes the largest value.

    ``where`` it runs: "everywhere"; "cpu"; "devices", those other than the CPU, on which it is an
    error. ``result_dtype``: that of the results, if it is not the sample's.
    """

    overload: str
    title: str
    make: Callable[[Make], Args]
    expect: str = "hit"
    dtypes: tuple[torch.dtype, ...] = TAKEN
    dims: tuple[int, ...] = (-1,)
    where: str = "everywhere"
    result_dtype: torch.dtype | None = None

    def call(self, dtype: torch.dtype, seed: int) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        name, _, suffix = self.overload.partition(".")
        packet = getattr(torch.ops.aten, name)
        args, kwargs = self.make(Make(dtype, seed))
        return getattr(packet, suffix or "default"), args, kwargs


def args(*values: Any, **named: Any) -> Args:
    return values, named


def all_samples() -> list[Sample]:
    import samples_activations
    import samples_any
    import samples_attention
    import samples_cat
    import samples_convolution
    import samples_copy
    import samples_cross_entropy
    import samples_cumsum
    import samples_elementwise
    import samples_extremes
    import samples_index
    import samples_index_add
    import samples_losses
    import samples_max_pool
    import samples_norms
    import samples_pool
    import samples_pool3d
    import samples_products
    import samples_reductions
    import samples_rms_norm
    import samples_rows
    import samples_scatter_add
    import samples_upsample
    import samples_var
    import samples_vector_norm
    import samples_vectors

    modules = (samples_elementwise, samples_rows, samples_products, samples_attention)
    modules += (samples_convolution, samples_vectors, samples_rms_norm, samples_cat)
    modules += (samples_losses, samples_upsample, samples_pool, samples_norms)
    modules += (samples_pool3d, samples_max_pool, samples_activations, samples_reductions)
    modules += (samples_cumsum, samples_index, samples_copy, samples_cross_entropy)
    modules += (samples_extremes, samples_var, samples_vector_norm, samples_any)
    modules += (samples_index_add, samples_scatter_add)
    return [sample for module in modules for sample in module.samples()]
