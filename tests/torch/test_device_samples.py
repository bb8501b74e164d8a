"""Samples and OpInfo on every device other than the CPU that a family serves here.

With POLYOPS_PLUGIN_PATH=build/release/lib/libpolyops_simt_torch.so also without any: ops of which
only GPUs have kernels, run by the harness behind stock's key of the CPU.
"""

import zlib

import pytest
import torch
from accuracy import Errors, errors_of
from both import (
    Call,
    Outcome,
    assert_same_but_values,
    hits,
    in_float64,
    run,
    run_stock,
    tensors_of,
    values,
)
from conftest import SEED
from devices import Mover, found, on_device, served_kernel_ops, served_ops
from extended import exact_result
from opinfo_cases import CASES as OPINFO
from opinfo_cases import Case, in_stock, name_of
from samples import Sample
from test_opinfo import Comparison, backward_call, forward_call, samples_of
from test_samples import (
    ALL_CASES,
    KERNEL_OPS,
    assert_equal,
    built,
    case_id,
    is_exact,
    scales,
    written_and_results,
)

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

DEVICES = found()
F32, BF16, F16, F64 = torch.float32, torch.bfloat16, torch.float16, torch.float64
OP_OF = {o["name"]: o["op"] for o in polyops._C.overloads()}


def served(sample: Sample, device: str) -> bool:
    there = sample.where == "everywhere" or sample.where == (
        "cpu" if device == "cpu" else "devices"
    )
    return there and KERNEL_OPS[f"aten::{sample.overload}"] in served_kernel_ops(device)


# Without a device nothing is collected, and pytest says so.
SAMPLES = [
    (d, s, dtype)
    for d in DEVICES
    for s, dtype in ALL_CASES
    if served(s, d) and in_stock(s.overload, d, dtype)
]


# Stock's kernels of these add in an order that changes from call to call.
BY_CHANCE = ("convolution", "upsample_bi", "_adaptive_avg_pool2d_backward")
BY_CHANCE += ("_adaptive_avg_pool3d_backward", "avg_pool3d_backward")
BY_CHANCE += ("adaptive_max_pool", "max_pool3d_with_indices_backward", "index_add")
BY_CHANCE += ("scatter_add",)
# Its total weight is not written where each pixel's loss is asked for.
BY_CHANCE += ("nll_loss2d_forward",)


def sample_id(case: tuple[str, Sample, torch.dtype]) -> str:
    return f"{case[0]}-{case_id(case[1:])}"


def must_hit(sample: Sample, call: Call, dtype: torch.dtype) -> bool:
    """A device's kernels of convolution are those of one channel each, in one or two dimensions."""
    if sample.expect != "hit" or dtype == F64:
        return False
    if not sample.overload.startswith("convolution"):
        return True
    _, args, _ = call()
    x, weight = args[1:3] if sample.overload == "convolution_backward" else args[:2]
    groups = next(a for a in reversed(args) if type(a) is int)
    return groups > 1 and groups == x.shape[1] and weight.shape[1] == 1 and x.dim() < 5


def writes_twice(stock: Outcome) -> bool:
    """Elements of a result share memory: which of a device's threads writes last is chance."""
    results = [t for t in tensors_of(stock.results) if t.layout == torch.strided]
    return any(torch._debug_has_internal_overlap(t) != 0 for t in results)


def one_seed(device: str, sample: Sample, dtype: torch.dtype, seed: int) -> list[Errors]:
    on_cpu = built(sample, dtype, seed)
    call = on_device(on_cpu, device)
    stock, ours = run_stock(call), run(call)
    assert_same_but_values(stock, ours)
    if stock.error is not None:
        return []
    if must_hit(sample, on_cpu, dtype):
        assert hits(ours) == [f"aten::{sample.overload}"], ours.calls
    if writes_twice(stock):
        return []
    if hits(ours) and f"aten::{sample.overload}" not in hits(ours):
        return []  # parts of what stock makes of it, which have samples of their own
    if not hits(ours) and (sample.expect == "any" or sample.overload.startswith(BY_CHANCE)):
        return []
    if not hits(ours) or is_exact(sample.overload):
        for mine, theirs in zip(values(ours), values(stock), strict=True):
            assert_equal(mine, theirs)
        return []
    results, theirs = written_and_results(ours)[1], written_and_results(stock)[1]
    # Not by stock in float64, whose gelu has no digits left in its tail.
    exact = exact_result(sample.overload, *in_float64(on_cpu)()[1:])
    return [
        errors_of(a.cpu(), b.cpu(), truth, scale, sample.overload)
        for a, b, truth, scale in zip(
            results, theirs, exact, scales(sample, on_cpu, exact), strict=True
        )
        if a.is_floating_point() and a.numel() > 0
    ]


@pytest.mark.parametrize("case", SAMPLES, ids=sample_id)
def test_sample(case: tuple[str, Sample, torch.dtype]) -> None:
    device, sample, dtype = case
    seed = SEED + zlib.crc32(sample_id(case).encode()) % 10_000
    result = sample.result_dtype or dtype
    total = one_seed(device, sample, dtype, seed)
    for more in range(1, 20):
        if all(errors.kept(result) for errors in total):
            return
        for errors, new in zip(total, one_seed(device, sample, dtype, seed + more), strict=True):
            errors.add(new)
    for index, errors in enumerate(total):
        errors.check(result, f"{sample.overload}, result {index}")


def of_op(case: Case) -> str | None:
    names = [f"aten::{name}" for name in (*case.forward, *case.backward)]
    return next((OP_OF[name] for name in names), None)


BY_DTYPE = [
    (device, case, dtype)
    for device in DEVICES
    for case in OPINFO
    if of_op(case) in served_ops(device)
    for dtype in (F32, BF16, F16)
    if all(in_stock(name, device, dtype) for name in case.forward)
]


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(("device", "case", "dtype"), BY_DTYPE, ids=name_of)
def test_opinfo(device: str, case: Case, dtype: torch.dtype, direction: str) -> None:
    """Values and gradients against those of stock in float64 there."""

    def place(call: Call) -> Call:
        return on_device(call, device)

    comparison = Comparison(case)
    for seed in range(20):
        for index, sample in enumerate(samples_of(case, dtype, direction == "backward", seed)):
            if direction == "backward":
                call = backward_call(case.op, sample, place)
            else:
                call = forward_call(case.op, sample)
            comparison.add(place(call), index)
        if not comparison.broken():
            break
    assert comparison.broken() == []
    if case.variant == "with_dtype":  # which is float64
        return
    assert case.expected(dtype, "forward", device) <= comparison.hits
    if direction == "backward":
        assert case.expected(dtype, "backward", device) <= comparison.hits


def test_a_moved_call_keeps_layouts_and_what_tensors_share() -> None:
    base = torch.arange(24.0)
    view, same = base[3:].view(7, 3).t(), base.as_strided((2, 5), (1, 2), 4)
    grad = torch.ones(3, requires_grad=True)
    call: Call = lambda: (torch.add, (view, [same, view], grad), {"alpha": 2})  # noqa: E731
    _, (a, (b, again), c), kwargs = on_device(call, "cpu")()
    assert kwargs == {"alpha": 2}
    assert again is a
    assert c.requires_grad
    for mine, theirs in ((a, view), (b, same)):
        assert mine.stride() == theirs.stride()
        assert mine.storage_offset() == theirs.storage_offset()
        assert torch.equal(mine, theirs)
    assert a.untyped_storage()._cdata == b.untyped_storage()._cdata
    assert a.untyped_storage()._cdata != base.untyped_storage()._cdata
    assert Mover("cpu").moved("text") == "text"
