"""Functions of PyTorch's OpInfo that end in overloads of ours, and which of them each must hit."""

from dataclasses import dataclass
from typing import Any

import torch
from samples import PRODUCTS
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo

import polyops

KERNEL_OPS = {o["name"]: o["kernel_op"] for o in polyops._C.overloads()}
WITH_KERNELS = {(k["device"], k["op"]) for k in polyops._C.kernels()}
F32, BF16, F16, F64 = torch.float32, torch.bfloat16, torch.float16, torch.float64


@dataclass(frozen=True)
class Case:
    """An OpInfo entry and the overloads of ours that its samples must hit, over all of them."""

    name: str
    variant: str = ""
    forward: tuple[str, ...] = ()
    backward: tuple[str, ...] = ()
    product: bool = True
    cpu_alone: bool = False  # what must be hit
    every: int = 1
    """Of how many samples one is taken."""

    @property
    def op(self) -> OpInfo:
        return next(o for o in op_db if (o.name, o.variant_test_name) == (self.name, self.variant))

    def expected(self, dtype: torch.dtype, direction: str, device: str = "cpu") -> set[str]:
        """Those of which there are kernels on the device."""
        if (self.product and dtype not in PRODUCTS) or (self.cpu_alone and device != "cpu"):
            return set()
        names = [f"aten::{name}" for name in getattr(self, direction)]
        return {name for name in names if (device, KERNEL_OPS[name]) in WITH_KERNELS}


SOFTMAX = {"forward": ("_softmax",), "backward": ("_softmax_backward_data",), "product": False}
LOG_SOFTMAX = {
    "forward": ("_log_softmax",),
    "backward": ("_log_softmax_backward_data",),
    "product": False,
}
# Its gradient is recorded under the name of what was called.
CROSS_ENTROPY = {
    "forward": ("cross_entropy_loss",),
    "backward": ("cross_entropy_loss",),
    "product": False,
}
NLL_LOSS = {
    "forward": ("nll_loss_forward", "nll_loss2d_forward"),
    "backward": ("nll_loss_backward", "nll_loss2d_backward"),
    "product": False,
}
EMBEDDING = {
    "forward": ("index_select",),
    "backward": ("embedding_dense_backward",),
    "product": False,
}
NORM = {
    "forward": ("native_layer_norm",),
    "backward": ("native_layer_norm_backward",),
    "product": False,
}
RMS_NORM = {
    "forward": ("_fused_rms_norm",),
    "backward": ("_fused_rms_norm_backward",),
    "product": False,
}
GROUP_NORM = {
    "forward": ("native_group_norm",),
    "backward": ("native_group_norm_backward",),
    "product": False,
}
BATCH_NORM = {
    "forward": ("native_batch_norm",),
    "backward": ("native_batch_norm_backward",),
    "product": False,
}
ATTENTION = {
    "forward": ("_scaled_dot_product_flash_attention_for_cpu",),
    "backward": ("_scaled_dot_product_flash_attention_for_cpu_backward",),
    "product": False,
}
UPSAMPLE = {
    "nearest": "upsample_nearest2d",
    "nearest-exact": "_upsample_nearest_exact2d",
    "bilinear": "upsample_bilinear2d",
    "bicubic": "upsample_bicubic2d",
}
MAX_POOL = {
    "forward": ("max_pool2d_with_indices",),
    "backward": ("max_pool2d_with_indices_backward",),
    "product": False,
}
AVG_POOL = {"forward": ("avg_pool2d",), "backward": ("avg_pool2d_backward",), "product": False}
AVG_POOL_3D = {"forward": ("avg_pool3d",), "backward": ("avg_pool3d_backward",), "product": False}
ADAPTIVE_POOL_3D = {
    "forward": ("_adaptive_avg_pool3d",),
    "backward": ("_adaptive_avg_pool3d_backward",),
    "product": False,
}
ADAPTIVE_POOL = {
    "forward": ("_adaptive_avg_pool2d",),
    "backward": ("_adaptive_avg_pool2d_backward",),
    "product": False,
}
MAX_POOL_3D = {
    "forward": ("max_pool3d_with_indices",),
    "backward": ("max_pool3d_with_indices_backward",),
    "product": False,
}
ADAPTIVE_MAX_POOL = {
    "forward": ("adaptive_max_pool2d",),
    "backward": ("adaptive_max_pool2d_backward",),
    "product": False,
}
ADAPTIVE_MAX_POOL_3D = {
    "forward": ("adaptive_max_pool3d",),
    "backward": ("adaptive_max_pool3d_backward",),
    "product": False,
}
CONVOLUTION = {"forward": ("convolution",), "backward": ("convolution_backward",)}
ACTIVATIONS = [
    Case(f"nn.functional.{name}", "", (op,), (backward,), product=False)
    for name, op, backward in (
        ("celu", "elu", "elu_backward"),
        ("elu", "elu", "elu_backward"),
        ("glu", "glu", "glu_backward"),
        ("logsigmoid", "log_sigmoid_forward", "log_sigmoid_backward"),
        ("mish", "mish", "mish_backward"),
        ("selu", "elu", "elu_backward"),
        ("softplus", "softplus", "softplus_backward"),
    )
]
CASES = [
    Case("softmax", **SOFTMAX),
    Case("softmax", "with_dtype", **SOFTMAX),
    Case("nn.functional.softmin", **SOFTMAX),
    Case("nn.functional.softmin", "with_dtype", **SOFTMAX),
    Case("log_softmax", **LOG_SOFTMAX),
    Case("log_softmax", "with_dtype", **LOG_SOFTMAX),
    Case("nn.functional.cross_entropy", **CROSS_ENTROPY),
    Case("nn.functional.nll_loss", **NLL_LOSS),
    Case("sum", forward=("sum.dim_IntList",), product=False),
    Case("mean", forward=("mean.dim",), product=False),
    Case("all", forward=("all", "all.dim", "all.dims"), product=False),
    Case("any", forward=("any", "any.dim", "any.dims"), product=False),
    Case("amax", forward=("amax",), product=False),
    Case("amin", forward=("amin",), product=False),
    Case("argmax", forward=("argmax",), product=False),
    Case("argmin", forward=("argmin",), product=False),
    Case("max", "reduction_with_dim", forward=("max.dim",), product=False),
    Case("min", "reduction_with_dim", forward=("min.dim",), product=False),
    Case("logsumexp", forward=("logsumexp",), product=False),
    *(
        Case(name, variant, forward=(f"{name}.correction",), product=False)
        for name in ("var", "std", "var_mean", "std_mean")
        for variant in ("", "unbiased")
    ),
    *(
        Case(name, variant, forward=("linalg_vector_norm",), product=False)
        for name, variant in (("linalg.vector_norm", ""), ("norm", ""), ("norm", "inf"))
    ),
    Case("cumsum", forward=("cumsum",), product=False),
    Case("cat", forward=("cat",), product=False),
    Case("stack", forward=("cat",), product=False),
    Case("__getitem__", "", ("index.Tensor",), ("_index_put_impl_",), product=False),
    Case("gather", "", ("gather",), ("scatter_add_",), product=False),
    Case("index_add", forward=("index_add",), product=False),
    Case("index_put", forward=("_index_put_impl_",), product=False),
    Case("index_select", forward=("index_select",), product=False),
    Case("scatter_add", forward=("scatter_add",), product=False),
    Case("nn.functional.embedding", **EMBEDDING),
    Case("clone", forward=("copy_",), product=False),
    Case("contiguous", forward=("copy_",), product=False),
    Case("native_layer_norm", **NORM),
    Case("nn.functional.layer_norm", **NORM),
    Case("nn.functional.rms_norm", **RMS_NORM),
    Case("nn.functional.group_norm", **GROUP_NORM),
    Case("nn.functional.batch_norm", **BATCH_NORM),
    Case("nn.functional.instance_norm", **BATCH_NORM),
    Case("nn.functional.gelu", forward=("gelu",), backward=("gelu_backward",), product=False),
    Case("nn.functional.relu", forward=("relu",), backward=("threshold_backward",), product=False),
    Case("nn.functional.threshold", backward=("threshold_backward",), product=False),
    *ACTIVATIONS,
    Case("mm", forward=("mm",), backward=("mm",)),
    Case("__rmatmul__", forward=("mm", "bmm"), backward=("mm", "bmm")),
    Case("matmul", forward=("mm", "bmm"), backward=("mm", "bmm")),
    Case("addmm", forward=("addmm",), backward=("mm",)),
    Case("addmm", "decomposed", forward=("addmm",), backward=("mm",)),
    Case("bmm", forward=("bmm",), backward=("bmm",)),
    Case("baddbmm", forward=("baddbmm",), backward=("bmm",)),
    Case("addbmm", forward=("addmm_",)),
    Case("addmv", forward=("addmv",), backward=("addmv_",)),
    Case("dot", forward=("dot",)),
    Case("vdot", forward=("dot",)),
    Case("mv", forward=("addmv_",), backward=("addmv_",)),
    Case("nn.functional.linear", forward=("addmm", "mm"), backward=("mm",)),
    Case("nn.functional.bilinear", forward=("bmm",), backward=("bmm",)),
    Case("einsum", forward=("bmm",), backward=("bmm",)),
    Case("tensordot", forward=("mm",), backward=("mm",)),
    Case("nn.functional.max_pool2d", every=29, **MAX_POOL),  # of 1440
    Case("nn.functional.avg_pool1d", **AVG_POOL),
    Case("nn.functional.avg_pool2d", **AVG_POOL),
    Case("nn.functional.adaptive_avg_pool1d", **ADAPTIVE_POOL),
    Case("nn.functional.adaptive_avg_pool2d", **ADAPTIVE_POOL),
    Case("nn.functional.avg_pool3d", **AVG_POOL_3D),
    Case("nn.functional.adaptive_avg_pool3d", **ADAPTIVE_POOL_3D),
    Case("nn.functional.max_pool3d", every=97, **MAX_POOL_3D),
    Case("nn.functional.adaptive_max_pool1d", **ADAPTIVE_MAX_POOL),
    Case("nn.functional.adaptive_max_pool2d", every=3, **ADAPTIVE_MAX_POOL),
    Case("nn.functional.adaptive_max_pool3d", every=3, **ADAPTIVE_MAX_POOL_3D),
    Case("nn.functional.scaled_dot_product_attention", **ATTENTION),
    Case("nn.functional.conv1d", **CONVOLUTION),
    Case("nn.functional.conv2d", **CONVOLUTION),
    Case("nn.functional.conv3d", **CONVOLUTION, cpu_alone=True),
    Case("nn.functional.conv_transpose1d"),
    Case("nn.functional.conv_transpose2d"),
    Case("nn.functional.conv_transpose3d"),
    Case("linalg.multi_dot", forward=("mm",), backward=("mm",)),
    *(
        Case("nn.functional.interpolate", mode, (name,), (f"{name}_backward",), product=False)
        for mode, name in UPSAMPLE.items()
    ),
]
# Stock has these in 16 bits on devices alone.
WIDE_ON_CPU = ("avg_pool3d",)


def in_stock(overload: str, device: str, dtype: torch.dtype) -> bool:
    return device != "cpu" or dtype in (F32, F64) or not overload.startswith(WIDE_ON_CPU)


BY_DTYPE = [
    (case, dtype)
    for case in CASES
    for dtype in (F32, BF16, F16, F64)
    if all(in_stock(name, "cpu", dtype) for name in case.forward)
]


def name_of(value: Any) -> str:
    if isinstance(value, Case):
        return f"{value.name}{'.' if value.variant else ''}{value.variant}"
    return str(value).removeprefix("torch.")
