"""Networks in plain torch.nn, written from their papers; widths and depths are parameters.

    GPT2       Radford et al. 2019, "Language Models are Unsupervised Multitask Learners": small
    ResNet     He et al. 2015, "Deep Residual Learning for Image Recognition": 50 layers, the stride
               at the 3x3 filters
    ConvNeXt   Liu et al. 2022, "A ConvNet for the 2020s": T

No dropout, so that a step can be repeated.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _TransformerBlock(nn.Module):
    """Causal attention and a perceptron, each behind its layer_norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        split = self.qkv(self.norm_1(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind()
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    """Token numbers to logits of the next ones."""

    def __init__(
        self,
        vocabulary: int = 50257,
        context: int = 1024,
        width: int = 768,
        heads: int = 12,
        blocks: int = 12,
    ) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(_TransformerBlock(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                into_residual = name.endswith(("projection.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * blocks if into_residual else 1))

    def forward(self, numbers: Tensor) -> Tensor:
        """The embedding of tokens is the last layer's matrix, too."""
        places = torch.arange(numbers.shape[1], device=numbers.device)
        x = self.blocks(self.tokens(numbers) + self.places(places))
        return F.linear(self.norm(x), self.tokens.weight)


# Branches beside a shortcut begin so small. With 1 gradients of a random ResNet of 50 layers are
# noise in bfloat16; with 0 and with 1e-6, as trainings may start, no branch shows in the output.
BRANCH = 0.2


def _normed(channels: int, filters: int, taps: int, stride: int = 1) -> nn.Sequential:
    """A convolution and its batch_norm."""
    conv = nn.Conv2d(channels, filters, taps, stride, taps // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(filters))


class _Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 filters beside a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first, self.middle = _normed(channels, width, 1), _normed(width, width, 3, stride)
        self.last = _normed(width, 4 * width, 1)
        nn.init.constant_(self.last.get_parameter("1.weight"), BRANCH)
        same = stride == 1 and channels == 4 * width
        self.shortcut = nn.Identity() if same else _normed(channels, 4 * width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first(x), inplace=True)
        y = F.relu(self.middle(y), inplace=True)
        return F.relu(self.last(y) + self.shortcut(x), inplace=True)


class ResNet(nn.Module):
    """Images to logits of classes."""

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (3, 4, 6, 3),
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.stem = _normed(3, widths[0], 7, stride=2)
        self.blocks = nn.Sequential()
        channels = widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                self.blocks.append(_Bottleneck(channels, width, stride))
                channels = 4 * width
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Of 224x224, or other sizes."""
        x = F.max_pool2d(F.relu(self.stem(x), inplace=True), 3, 2, 1)
        return self.head(F.adaptive_avg_pool2d(self.blocks(x), 1).flatten(1))


class _ChannelNorm(nn.LayerNorm):
    """layer_norm over the channels of images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _ConvNeXtBlock(nn.Module):
    """Depthwise 7x7 filters and a perceptron, scaled, beside the input."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, 1e-6)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """Images to logits of classes. Without stochastic depth."""

    def __init__(
        self,
        widths: Sequence[int] = (96, 192, 384, 768),
        blocks: Sequence[int] = (3, 3, 9, 3),
        classes: int = 1000,
        scale: float = BRANCH,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 4), _ChannelNorm(widths[0], 1e-6)]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            if stage > 0:
                before = widths[stage - 1]
                layers += [_ChannelNorm(before, 1e-6), nn.Conv2d(before, width, 2, 2)]
            layers += [_ConvNeXtBlock(width, scale) for _ in range(count)]
        self.layers = nn.Sequential(*layers)
        self.norm, self.head = nn.LayerNorm(widths[-1], 1e-6), nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Of 224x224, or other sizes."""
        return self.head(self.norm(self.layers(x).mean((2, 3))))
