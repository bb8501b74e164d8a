"""The networks of benchmarks/ in small: what they compute on a device, and what of it is taken."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from agreement import errors, no_tf32
from devices import found
from networks import GPT2, ConvNeXt, ResNet
from tasks import LAYOUTS, Step, Task, images, next_token, noisy_images, texts
from unet import UNet

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

DEVICES = found()
F32 = torch.float32
# Sizes by which each kind of layer is there, no more: on the harness a lane is a fiber.
TASKS = {
    "gpt2": Task(partial(GPT2, 61, 16, 32, 2, 2), partial(texts, 2, 12, 61), next_token),
    "convnext": Task(
        partial(ConvNeXt, (8, 16), (1, 1), 10), partial(images, 2, 32, 10), F.cross_entropy
    ),
    "resnet50": Task(
        partial(ResNet, (4, 8), (1, 2), 10), partial(images, 4, 32, 10), F.cross_entropy
    ),
    "unet": Task(
        partial(UNet, 8, (1, 2), 1, size=8, attention=4, groups=4),
        partial(noisy_images, 2, 8),
        F.mse_loss,
    ),
}
LAYER_NORM = {"layer_norm", "layer_norm_backward"}
# Kernels' ops. Those of pools to one element are means, and not the same everywhere.
TAKEN = {
    "gpt2": {*LAYER_NORM, "gelu", "gelu_backward", "embedding_backward", "cross_entropy"},
    "convnext": {*LAYER_NORM, "gelu", "gelu_backward", "convolution", "convolution_backward"},
    "resnet50": {"batch_norm", "batch_norm_backward", "relu", "relu_backward", "max_pool2d"},
    "unet": {
        "group_norm",
        "group_norm_backward",
        "softmax",
        "softmax_backward",
        "upsample_nearest2d",
    },
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_output_and_gradients(device: str, name: str, layout: str) -> None:
    """As near to float64 as stock's float32, or nearly."""
    if name == "gpt2" and layout == "channels_last":
        pytest.skip("no images")
    step = Step(TASKS[name], "autocast", layout, device)
    with no_tf32(), polyops.disable():
        exact = step.wide(torch.float64).results()
        stock = errors(step.wide(F32).results(), exact)
    with no_tf32():
        explained = polyops.explain(step.wide(F32).results)
    ours = errors(explained.result, exact)
    print(stock, ours)
    assert ours.within(stock, 2, torch.finfo(F32).eps), f"{ours}, stock has {stock}"
    op_of = {overload["name"]: overload["kernel_op"] for overload in polyops._C.overloads()}
    print(explained)
    taken = {op_of[c.overload.removeprefix("aten::")] for c in explained.calls if c.kernel}
    assert TAKEN[name] <= taken
