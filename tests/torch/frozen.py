"""What the tests of polyops.freeze() share: a model, and who reads its packs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

import polyops


def model(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(70, 130), nn.ReLU(), nn.Linear(130, 40, bias=False)).to(dtype)


def tokens(rows: int = 9, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(rows, 70, generator=torch.Generator().manual_seed(2)).to(dtype)


def readers(fn: Callable[..., object], *args: object) -> int:
    """Calls that read a pack."""
    calls = polyops.explain(fn, *args).calls
    return sum("_prepacked" in (call.kernel or "") for call in calls)


def check(net: nn.Module, x: Tensor, expected: Tensor) -> None:
    """Sums of one scale: what is left of those that cancel is no measure."""
    unit = torch.finfo(x.dtype).eps * expected.abs().max().item()
    torch.testing.assert_close(net(x), expected, rtol=0, atol=8 * unit)
