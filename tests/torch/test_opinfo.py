"""PyTorch's own samples (OpInfo) of every function that ends in an overload of ours.

Patched against stock: values, layout, autograd, errors; then gradcheck and gradgradcheck in float64
through our kernels, which need hits in both directions to count.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from accuracy import Array, Errors, errors_of, row_scale, wide
from both import (
    CallParts,
    Outcome,
    assert_same_but_values,
    hits,
    in_float64,
    magnitudes,
    run,
    run_stock,
    tensors_of,
    values,
)
from conftest import SEED
from extended import term_sizes
from samples import PRODUCTS
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo, SampleInput
from torch.utils._python_dispatch import TorchDispatchMode

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

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


def samples_of(
    case: Case, dtype: torch.dtype, grad: bool = False, seed: int = 0
) -> Iterator[SampleInput]:
    """OpInfo's samples, each contiguous and not."""
    torch.manual_seed(SEED + seed)
    samples = case.op.sample_inputs("cpu", dtype, requires_grad=grad, set_seed=False)
    for sample in islice(samples, 0, None, case.every):
        yield sample
        if tensors_of(sample.input):
            yield sample.noncontiguous()


def fresh(tree: Any) -> Any:
    """The same layout and values in new memory, so that no run sees another's writes."""

    def copy(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        new = leaf.detach().clone(memory_format=torch.preserve_format)
        if new.stride() != leaf.stride():
            place = leaf.storage_offset(), leaf.shape, leaf.stride()
            new = torch.empty(0, dtype=leaf.dtype).set_(leaf.untyped_storage().clone(), *place)
        return new.requires_grad_(leaf.requires_grad)

    return torch.utils._pytree.tree_map(copy, tree)


def forward_call(op: Any, sample: SampleInput) -> Callable[[], CallParts]:
    def call() -> CallParts:
        return op, *fresh(((sample.input, *sample.args), sample.kwargs))

    return call


def floats(result: Any) -> list[torch.Tensor]:
    return [t for t in tensors_of(result) if t.requires_grad]


def backward_call(op: Any, sample: SampleInput) -> Callable[[], CallParts]:
    """Forward and backward. The gradients that come in are arguments, so that they are widened."""
    call = forward_call(op, sample)
    fn, args, kwargs = call()
    generator = torch.Generator().manual_seed(1)
    outputs = floats(fn(*args, **kwargs))
    incoming = [torch.randn(o.shape, generator=generator, dtype=F64).to(o.dtype) for o in outputs]

    def both_ways(args: Any, kwargs: Any, incoming: list[torch.Tensor]) -> Any:
        result = op(*args, **kwargs)
        wanted = [t for t in tensors_of((args, kwargs)) if t.requires_grad]
        return result, torch.autograd.grad(floats(result), wanted, incoming, allow_unused=True)

    def made() -> CallParts:
        _, args, kwargs = call()
        return both_ways, (args, kwargs, fresh(incoming)), {}

    return made


class LargestTerm(TorchDispatchMode):
    """Of all calls inside: the largest sum of magnitudes of terms."""

    size = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::")
        for terms in term_sizes(name, args, kwargs or {}) or []:
            self.size = max(self.size, float(terms.max(initial=0)))
        return func(*args, **(kwargs or {}))


def reference(case: Case, call: Callable[[], CallParts]) -> tuple[list[Array], list[Array]]:
    """Exact results, and scales. The samples' rows are a few elements, some of one: the whole
    result is taken for the row, and where gradients' terms cancel (see accuracy.py) the terms.
    """
    with LargestTerm() as largest:
        outcome = run_stock(in_float64(call))
    assert outcome.error is None
    exact = [wide(t) for t in values(outcome)]
    if case.product:
        return exact, [wide(t) for t in values(run_stock(magnitudes(call)))]
    whole = [row_scale(value, tuple(range(value.ndim))) for value in exact]
    return exact, [np.maximum(scale, largest.size) for scale in whole]


class Comparison:
    """Everything but accuracy is asserted as it comes; that, over the seeds, by ``kept``."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.hits: set[str] = set()
        self.errors: dict[tuple[object, ...], Errors] = {}

    def add(self, call: Callable[[], CallParts], sample: object = 0) -> None:
        stock, ours = run_stock(call), run(call)
        assert stock.error is None
        assert_same_but_values(stock, ours)
        self.hits.update(hits(ours))
        exact, sizes = reference(self.case, call)
        for i, (mine, theirs) in enumerate(zip(values(ours), values(stock), strict=True)):
            if not theirs.is_floating_point():
                assert torch.equal(mine, theirs)
                continue
            scale = np.maximum(sizes[i], 1) if theirs.dtype == F64 else sizes[i]
            new = errors_of(mine, theirs, exact[i], scale, self.case.name)
            self.errors.setdefault((sample, i, theirs.dtype), Errors()).add(new)

    def broken(self) -> list[str]:
        """Float64 has no better reference here than stock: 1e-13, of values of about 1. The promise
        is asserted in test_samples.py, against long double.
        """
        return [
            f"sample {key[0]}, tensor {key[1]}: {errors}"
            for key, errors in self.errors.items()
            if not (errors.ours <= 1e-13 if key[2] == F64 else errors.kept(key[2]))
        ]


def compare_all(case: Case, dtype: torch.dtype, make: Any, grad: bool) -> set[str]:
    """One seed; nineteen more if an error is not within the promise over that one alone."""
    comparison = Comparison(case)
    for seed in range(20):
        for index, sample in enumerate(samples_of(case, dtype, grad, seed)):
            comparison.add(make(case.op, sample), index)
        if not comparison.broken():
            break
    assert comparison.broken() == []
    return comparison.hits


@pytest.mark.parametrize(("case", "dtype"), BY_DTYPE, ids=name_of)
def test_forward(case: Case, dtype: torch.dtype) -> None:
    seen = compare_all(case, dtype, forward_call, grad=False)
    assert case.expected(dtype, "forward") <= seen


@pytest.mark.parametrize(("case", "dtype"), BY_DTYPE, ids=name_of)
def test_backward(case: Case, dtype: torch.dtype) -> None:
    seen = compare_all(case, dtype, backward_call, grad=True)
    assert case.expected(dtype, "forward") | case.expected(dtype, "backward") <= seen


def zeros(like: torch.Tensor, apart: int) -> torch.Tensor:
    """Whose elements lie that many times as far apart."""
    strides = [apart * stride for stride in like.stride()]
    return torch.empty_strided(like.shape, strides, dtype=like.dtype).zero_()


@pytest.mark.parametrize("case", [c for c in CASES if c.op.supports_out], ids=name_of)
def test_out(case: Case) -> None:
    comparison = Comparison(case)
    for sample in samples_of(case, F32):
        results = case.op(sample.input, *sample.args, **sample.kwargs)
        for apart in (1, 2):

            def call(
                sample: SampleInput = sample, apart: int = apart, results: Any = results
            ) -> CallParts:
                op, args, kwargs = forward_call(case.op, sample)()
                one = isinstance(results, torch.Tensor)
                out = [zeros(t, apart) for t in ([results] if one else results)]
                return op, args, {**kwargs, "out": out[0] if one else tuple(out)}

            comparison.add(call)
    assert comparison.broken() == []


@pytest.mark.parametrize("case", [c for c in CASES if c.op.inplace_variant], ids=name_of)
def test_inplace(case: Case) -> None:
    comparison = Comparison(case)
    for sample in samples_of(case, F32):
        call = forward_call(case.op.inplace_variant, sample)
        stock = run_stock(call)
        if stock.error is None:
            comparison.add(call)
        else:  # a sample whose result does not fit into its input
            assert run(call).error == stock.error
    assert comparison.broken() == []


# Of the others it would be stock against itself.
ON_CPU = [case for case in CASES if case.expected(F64, "forward") | case.expected(F64, "backward")]
ERRORS = [c for c in ON_CPU if c.op.error_inputs_func is not None]


@pytest.mark.parametrize("case", ERRORS, ids=name_of)
def test_error_inputs(case: Case) -> None:
    outcomes: list[Outcome] = []
    for wrong in case.op.error_inputs("cpu"):
        call = forward_call(case.op, wrong.sample_input)
        outcomes.append(run_stock(call))
        assert outcomes[-1].error is not None
        assert run(call).error == outcomes[-1].error
    assert outcomes


def differentiable(case: Case, most: int = 1200, reached: bool = False) -> Iterator[SampleInput]:
    """At most eight, none empty, of at most that many elements that need a gradient; those alone
    that reach the case's forward ops if reached is True and it has some.
    """
    found, names = 0, case.expected(F64, "forward") if reached else set()
    for sample in case.op.sample_inputs("cpu", F64, requires_grad=True):
        wanted = floats((sample.input, sample.args, sample.kwargs))
        small = 0 < sum(t.numel() for t in wanted) <= most and all(t.numel() for t in wanted)
        if small and (not names or names & {*hits(run(forward_call(case.op, sample)))}):
            found += 1
            yield sample
        if found == 8:
            return


def as_function(case: Case, sample: SampleInput) -> tuple[Callable[..., Any], list[torch.Tensor]]:
    """The sample as a function of its differentiable tensors."""
    tree = ((sample.input, *sample.args), sample.kwargs)
    leaves, spec = torch.utils._pytree.tree_flatten(tree)
    where = [i for i, t in enumerate(leaves) if isinstance(t, torch.Tensor) and t.requires_grad]

    def function(*inputs: torch.Tensor) -> Any:
        filled = list(leaves)
        for i, tensor in zip(where, inputs, strict=True):
            filled[i] = tensor
        args, kwargs = torch.utils._pytree.tree_unflatten(filled, spec)
        result = case.op.gradcheck_wrapper(case.op, *args, **kwargs)
        return tuple(floats(result)) if isinstance(result, tuple) else result

    return function, [leaves[i] for i in where]


@pytest.mark.parametrize("case", ON_CPU, ids=name_of)
def test_gradcheck(case: Case) -> None:
    """In reverse and in forward mode, and a batch of gradients through vmap. Every element of small
    samples, random directions (fast mode) for more than 40 elements.
    """
    checked, seen = 0, set()
    for sample in differentiable(case, 2000, reached=True):
        function, inputs = as_function(case, sample)

        def check(function: Any = function, inputs: Any = inputs) -> bool:
            return torch.autograd.gradcheck(
                function,
                inputs,
                check_batched_grad=True,
                check_forward_ad=case.op.supports_forward_ad,
                fast_mode=sum(t.numel() for t in inputs) > 40,
            )

        explained = polyops.explain(check)
        assert explained.result
        seen.update(call.overload for call in explained.calls if call.kernel is not None)
        checked += 1
    assert checked
    assert case.expected(F64, "forward") | case.expected(F64, "backward") <= seen


# OpInfo marks native_layer_norm's as an expected failure: stock's fails too.
TWICE = [c for c in CASES if c.name != "native_layer_norm" and c.op.supports_autograd]


@pytest.mark.parametrize("case", TWICE, ids=name_of)
def test_gradgradcheck(case: Case) -> None:
    """Fast mode: random directions instead of every element."""
    torch.manual_seed(2)
    checked = 0
    for sample in differentiable(case):
        function, inputs = as_function(case, sample)
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)
        checked += 1
    assert checked
