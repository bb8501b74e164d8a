"""What networks are trained for, and a step of it that can be repeated."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from agreement import Results, results
from networks import GPT2, ConvNeXt, ResNet
from torch import Tensor, nn
from unet import UNet

MODES = ("autocast", "bfloat16", "inference")
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

AdamW = partial(torch.optim.AdamW, lr=1e-4)
SGD = partial(torch.optim.SGD, lr=1e-3, momentum=0.9)


@dataclass(frozen=True)
class Task:
    """A network and what it is trained for. draw() gives its arguments and the target."""

    make: Callable[[], nn.Module]
    draw: Callable[[], tuple[list[Tensor], Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Callable[..., torch.optim.Optimizer] = AdamW
    layouts: Sequence[str] = ("contiguous",)


def texts(batch: int, tokens: int, vocabulary: int = 50257) -> tuple[list[Tensor], Tensor]:
    """Each token's target is the next one."""
    numbers = torch.randint(0, vocabulary, (batch, tokens + 1))
    return [numbers[:, :-1].contiguous()], numbers[:, 1:].flatten()


def images(batch: int, size: int, classes: int = 1000) -> tuple[list[Tensor], Tensor]:
    """With the numbers of their classes."""
    return [torch.randn(batch, 3, size, size)], torch.randint(0, classes, (batch,))


def noisy_images(batch: int, size: int) -> tuple[list[Tensor], Tensor]:
    """With their times, and the noise."""
    x, noise = torch.randn(2, batch, 3, size, size)
    return [x, torch.randint(0, 1000, (batch,))], noise


def next_token(logits: Tensor, target: Tensor) -> Tensor:
    """The loss of a language model."""
    return F.cross_entropy(logits.flatten(0, 1), target)


TASKS = {
    "gpt2": Task(GPT2, partial(texts, 8, 1024), next_token),
    "convnext": Task(ConvNeXt, partial(images, 64, 224), F.cross_entropy, layouts=(*LAYOUTS,)),
    "resnet50": Task(ResNet, partial(images, 128, 224), F.cross_entropy, SGD, (*LAYOUTS,)),
    "unet": Task(UNet, partial(noisy_images, 128, 32), F.mse_loss),
}


class Step:
    """A call is a step of the task in that mode and layout, as models.py explains them."""

    def __init__(self, task: Task, mode: str, layout: str, device: str) -> None:
        torch.manual_seed(0)
        with torch.device(device):
            model = task.make()
            arguments, self.target = task.draw()
        self.loss, self.mode, self.device = task.loss, mode, device
        dtype = torch.float32 if mode == "autocast" else torch.bfloat16
        form = LAYOUTS[layout]
        anything: Any = model  # types of torch know no memory_format here
        self.model: nn.Module = anything.to(dtype, memory_format=form).train(mode != "inference")
        self.arguments = [
            x.contiguous(memory_format=form) if x.dim() == 4 else x for x in arguments
        ]
        self._convert(dtype)
        self.optimizer = task.optimizer(self.model.parameters())

    def _convert(self, dtype: torch.dtype) -> None:
        self.arguments = [x.to(dtype) if x.is_floating_point() else x for x in self.arguments]
        if self.target.is_floating_point():
            self.target = self.target.to(dtype)

    def __call__(self) -> None:
        """Issues it; nothing waits for the device."""
        if self.mode == "inference":
            self.forward()
            return
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.forward()[1])
        self.optimizer.step()

    def forward(self) -> tuple[Tensor, Tensor]:
        """The output and its loss; for inference, which has none, the output twice."""
        autocast = torch.autocast(self.device, torch.bfloat16, self.mode == "autocast")
        with torch.set_grad_enabled(self.mode != "inference"), autocast:
            output = self.model(*self.arguments)
            return output, output if self.mode == "inference" else self.loss(output, self.target)

    def results(self) -> Results:
        """Of a forward and a backward, which change no weight."""
        return results(self.model, self.forward)

    def wide(self, dtype: torch.dtype) -> "Step":
        """The same on the same values, computed in that dtype."""
        other = copy.copy(self)
        other.model = copy.deepcopy(self.model).to(dtype)
        other._convert(dtype)
        other.mode = "inference" if self.mode == "inference" else "wide"
        return other
