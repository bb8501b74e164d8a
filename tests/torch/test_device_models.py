"""The networks of benchmarks/ in small: what they compute on a device, and what of it is taken."""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from agreement import errors, no_tf32
from devices import found, on_harness
from networks import GPT2, ConvNeXt, ResNet
from tasks import LAYOUTS, Step, Task, images, next_token, noisy_images, texts
from unet import UNet

import polyops

pytestmark = pytest.mark.usefixtures("lifted", "no_cpu_kernels")

DEVICES = found()
F32 = torch.float32
# Sizes by which each kind of layer is there, no more: on the harness a lane is a fiber.
TASKS = {
    "gpt2": Task(partial(GPT2, 131, 40, 64, 2, 2), partial(texts, 2, 40, 131), next_token),
    "convnext": Task(
        partial(ConvNeXt, (16, 32), (1, 2), 10),
        partial(images, 2, 48, 10),
        F.cross_entropy,
        layouts=(*LAYOUTS,),
    ),
    "resnet50": Task(
        partial(ResNet, (8, 16), (1, 2), 10),
        partial(images, 4, 48, 10),
        F.cross_entropy,
        layouts=(*LAYOUTS,),
    ),
    "unet": Task(
        partial(UNet, 16, (1, 2), 1, size=16, attention=8, groups=4),
        partial(noisy_images, 2, 16),
        F.mse_loss,
    ),
}
LAYER_NORM = {"layer_norm", "layer_norm_backward"}
# Kernels' ops. Those of pools to one element are means, and not the same everywhere.
TAKEN = {
    "gpt2": {*LAYER_NORM, "gelu", "gelu_backward", "embedding_backward", "cross_entropy"},
    "convnext": {*LAYER_NORM, "gelu", "gelu_backward", "convolution", "cross_entropy"},
    "resnet50": {"batch_norm", "batch_norm_backward", "relu", "relu_backward", "cross_entropy"}
    | {"max_pool2d", "max_pool2d_backward"},
    "unet": {"group_norm", "group_norm_backward", "softmax", "softmax_backward"}
    | {"upsample_nearest2d", "upsample_nearest2d_backward"},
}
# A CPU leaves that of a contiguous weight and other images to stock.
TAKEN_LAST = {"convnext": {"convolution_backward"}}
# In float32 cuDNN's batch_norm keeps there what its gradient may need: stock's.
NOT_LAST = {"resnet50": {"batch_norm"}}


@pytest.fixture
def no_cpu_kernels() -> Iterator[None]:
    """Where the CPU's would come first, the last of the harness' is forced, the most general."""
    last: dict[str, dict[str, str]] = {"cpu": {}, "simt": {}}
    of_cpu = [kernel for kernel in polyops._C.kernels() if kernel["device"] == "cpu"]
    for kernel in of_cpu if on_harness() else []:
        last["simt" if kernel["family"] == "simt" else "cpu"][kernel["op"]] = kernel["name"]
    forced = last["cpu"].keys() & last["simt"].keys()
    for op in forced:
        polyops._C.force(op, last["simt"][op])
    yield
    for op in forced:
        polyops._C.force(op, None)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("name", "layout"), [(name, layout) for name, task in TASKS.items() for layout in task.layouts]
)
def test_output_and_gradients(device: str, name: str, layout: str) -> None:
    """As near to float64 as stock's float32, or nearly."""
    step = Step(TASKS[name], "autocast", layout, device)  # which keeps float32 weights
    with no_tf32():
        with polyops.disable():
            exact = step.wide(torch.float64).results()
            stock = errors(step.wide(F32).results(), exact)
        explained = polyops.explain(step.wide(F32).results)
    ours = errors(explained.result, exact)
    assert ours.within(stock, 2, torch.finfo(F32).eps), f"{ours}, stock has {stock}"
    op_of = {overload["name"]: overload["kernel_op"] for overload in polyops._C.overloads()}
    taken = {op_of[call.overload] for call in explained.calls if call.kernel}
    expected = TAKEN[name]
    if layout == "channels_last":
        expected = expected - NOT_LAST.get(name, set()) | TAKEN_LAST.get(name, set())
    assert expected <= taken, str(explained)
