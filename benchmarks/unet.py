"""The U-Net of Ho et al. 2020, "Denoising Diffusion Probabilistic Models", that of CIFAR-10.

As networks.py: plain torch.nn, no dropout. No convolution starts at zero, so that every layer
shows in the output.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _ResidualBlock(nn.Module):
    """Two convolutions behind group_norm and silu; the time is added between them."""

    def __init__(self, channels: int, filters: int, times: int, groups: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.GroupNorm(groups, channels), nn.GroupNorm(groups, filters)
        self.conv_1 = nn.Conv2d(channels, filters, 3, padding=1)
        self.conv_2 = nn.Conv2d(filters, filters, 3, padding=1)
        self.time = nn.Linear(times, filters)
        self.shortcut = nn.Conv2d(channels, filters, 1) if channels != filters else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y = self.conv_1(F.silu(self.norm_1(x))) + self.time(F.silu(time))[:, :, None, None]
        return self.shortcut(x) + self.conv_2(F.silu(self.norm_2(y)))


class _ImageAttention(nn.Module):
    """Of one head, between the places of an image."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv, self.projection = (
            nn.Conv2d(channels, 3 * channels, 1),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).chunk(3, dim=1)
        weights = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(x.shape[1]), -1)
        return x + self.projection((v @ weights.transpose(1, 2)).view_as(x))


class _Level(nn.Module):
    """A residual block, at some sizes with attention behind it."""

    def __init__(self, channels: int, filters: int, times: int, groups: int, attends: bool) -> None:
        super().__init__()
        self.block = _ResidualBlock(channels, filters, times, groups)
        self.attention = _ImageAttention(filters, groups) if attends else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.attention(self.block(x, time))


class UNet(nn.Module):
    """Noisy images and their times to the noise. Attention at 16x16 of images of `size`."""

    def __init__(
        self,
        width: int = 128,
        multiples: Sequence[int] = (1, 2, 2, 2),
        blocks: int = 2,
        size: int = 32,
        attention: int = 16,
        groups: int = 32,
    ) -> None:
        super().__init__()
        times, self.width = 4 * width, width
        self.time = nn.Sequential(nn.Linear(width, times), nn.SiLU(), nn.Linear(times, times))
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        channels, kept = width, [width]
        filters = [width * multiple for multiple in multiples]
        attends = [size >> level == attention for level in range(len(filters))]
        for level, (count, here) in enumerate(zip(filters, attends, strict=True)):
            if level > 0:
                self.down.append(nn.Conv2d(channels, channels, 3, 2, 1))
                kept.append(channels)
            for _ in range(blocks):
                self.down.append(_Level(channels, count, times, groups, here))
                channels = count
                kept.append(channels)
        self.middle_1 = _Level(channels, channels, times, groups, True)
        self.middle_2 = _Level(channels, channels, times, groups, False)
        for level, (count, here) in reversed([*enumerate(zip(filters, attends, strict=True))]):
            for _ in range(blocks + 1):
                self.up.append(_Level(channels + kept.pop(), count, times, groups, here))
                channels = count
            if level > 0:
                self.up.append(nn.Conv2d(channels, channels, 3, padding=1))
        self.norm, self.last = nn.GroupNorm(groups, channels), nn.Conv2d(channels, 3, 3, padding=1)

    def embedded(self, steps: Tensor) -> Tensor:
        """Sines and cosines of the times, in the dtype of the weights."""
        half = self.width // 2
        places = torch.arange(half, device=steps.device)
        angles = steps[:, None] * torch.exp(-math.log(10000) / (half - 1) * places)
        return self.time(torch.cat([angles.sin(), angles.cos()], 1).to(self.last.weight.dtype))

    def forward(self, x: Tensor, steps: Tensor) -> Tensor:
        """On the way up each block sees what one on the way down left."""
        time, x = self.embedded(steps), self.first(x)
        kept = [x]
        for layer in self.down:
            x = layer(x, time) if isinstance(layer, _Level) else layer(x)
            kept.append(x)
        x = self.middle_2(self.middle_1(x, time), time)
        for layer in self.up:
            if isinstance(layer, _Level):
                x = layer(torch.cat([x, kept.pop()], 1), time)
            else:
                x = layer(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.last(F.silu(self.norm(x)))
