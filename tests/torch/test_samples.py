"""Every overload that polyops takes, on our own samples: result or exception as stock's."""

import zlib

import numpy as np
import pytest
import torch
from accuracy import Array, Errors, errors_of, row_scale, wide
from both import (
    Call,
    CallParts,
    Outcome,
    assert_same_but_values,
    hits,
    in_float64,
    magnitudes,
    reasons,
    run,
    run_stock,
    tensors_of,
    values,
)
from conftest import SEED
from extended import exact_result, term_sizes
from samples import Sample, all_samples

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

SAMPLES = all_samples()
ALL_CASES = [(s, dtype) for s in SAMPLES for dtype in s.dtypes]
KERNEL_OPS = {o["name"]: o["kernel_op"] for o in polyops._C.overloads()}
WITH_KERNELS = {(k["device"], k["op"]) for k in polyops._C.kernels()}


def has_kernels(sample: Sample, device: str) -> bool:
    return (device, KERNEL_OPS[f"aten::{sample.overload}"]) in WITH_KERNELS


ON_CPU = [(s, dtype) for s, dtype in ALL_CASES if s.where != "devices"]
CASES = [(s, dtype) for s, dtype in ON_CPU if has_kernels(s, "cpu")]
PRODUCT_OPS = ("mm", "addmm", "addmv", "bmm", "baddbmm", "dot")
PRODUCT_OPS += ("convolution", "convolution_backward")
EXACT = ("relu", "threshold_backward", "cat", "copy", "index", "index_select", "amax", "amin")
EXACT += ("all", "any", "argmax", "argmin", "gather", "max", "min")
EXACT += ("max_pool2d_with_indices", "max_pool3d_with_indices")
EXACT += ("adaptive_max_pool2d", "adaptive_max_pool3d")
EXACT += ("upsample_nearest2d", "upsample_nearest2d_backward")
EXACT += ("_upsample_nearest_exact2d", "_upsample_nearest_exact2d_backward")


def is_exact(overload: str) -> bool:
    """Whether its results are stock's, bit for bit."""
    return overload.split(".")[0].rstrip("_") in EXACT


def built(sample: Sample, dtype: torch.dtype, seed: int) -> Call:
    """Made by stock, so that both sides get the same inputs."""

    def call() -> CallParts:
        with polyops.disable():
            return sample.call(dtype, seed)

    return call


def case_id(case: tuple[Sample, torch.dtype]) -> str:
    sample, dtype = case
    return f"{sample.overload}-{sample.title}-{str(dtype).removeprefix('torch.')}"


def check_what_became_of_it(sample: Sample, stock: Outcome, ours: Outcome) -> None:
    if sample.expect == "error":
        assert stock.error is not None
    elif sample.expect == "hit":
        assert stock.error is None
        assert hits(ours) == [f"aten::{sample.overload}"], ours.calls
    elif sample.expect == "none":
        assert ours.calls == ()
    elif sample.expect not in ("any", "undefined"):
        # Stock may come back through the dispatcher, e.g. from baddbmm to addmm_ of each matrix.
        assert set(reasons(ours)) == {sample.expect}, stock.error
        assert hits(ours) == []


def one_seed(sample: Sample, dtype: torch.dtype, seed: int) -> list[Errors]:
    """Everything but accuracy is asserted; errors of each result and input."""
    call = built(sample, dtype, seed)
    stock, ours = run_stock(call), run(call)
    assert_same_but_values(stock, ours)
    check_what_became_of_it(sample, stock, ours)
    if stock.error is not None or sample.expect == "undefined":
        return []
    if not hits(ours) or is_exact(sample.overload):
        for mine, theirs in zip(values(ours), values(stock), strict=True):
            assert_equal(mine, theirs)
        return []
    written, results = written_and_results(ours)
    for index in set(range(len(ours.inputs))) - written:
        assert_equal(ours.inputs[index], stock.inputs[index])
    exact = exact_results(sample, dtype, call)
    return [
        errors_of(*four, sample.overload)
        for four in zip(
            results, written_and_results(stock)[1], exact, scales(sample, call, exact), strict=True
        )
    ]


def written_and_results(outcome: Outcome) -> tuple[set[int], list[torch.Tensor]]:
    """Results, and which inputs are among them (out= and in place)."""
    results = tensors_of(outcome.results)
    return {i for i, t in enumerate(outcome.inputs) if any(t is r for r in results)}, results


def exact_results(sample: Sample, dtype: torch.dtype, call: Call) -> list[Array]:
    if dtype == torch.float64:
        return exact_result(sample.overload, *call()[1:])
    return [wide(t) for t in tensors_of(run_stock(in_float64(call)).results)]


def assert_equal(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0, equal_nan=True)


def compare(sample: Sample, dtype: torch.dtype, seed: int) -> None:
    """One seed, and nineteen more where that one alone does not keep the accuracy promise."""
    total = one_seed(sample, dtype, seed)
    if all(errors.kept(dtype) for errors in total):
        return
    for more in range(1, 20):
        for errors, new in zip(total, one_seed(sample, dtype, seed + more), strict=True):
            errors.add(new)
    for index, errors in enumerate(total):
        errors.check(dtype, f"{sample.overload}, result {index}")


def scales(sample: Sample, call: Call, exact: list[Array]) -> list[Array]:
    if sample.overload.split(".")[0].rstrip("_") in PRODUCT_OPS:
        return [wide(t) for t in written_and_results(run_stock(magnitudes(call)))[1]]
    rows = [scale_of(sample, value, i) for i, value in enumerate(exact)]
    terms = term_sizes(sample.overload, *call()[1:])
    return rows if terms is None else [np.fmax(*both) for both in zip(rows, terms, strict=True)]


def scale_of(sample: Sample, reference: Array, index: int) -> Array:
    """Statistics of layer_norm and rms_norm are one row each."""
    if sample.overload in ("native_layer_norm", "_fused_rms_norm") and index > 0:
        return row_scale(reference, tuple(range(reference.ndim)))
    return row_scale(reference, sample.dims if reference.ndim >= len(sample.dims) else (-1,))


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_sample(case: tuple[Sample, torch.dtype]) -> None:
    sample, dtype = case
    compare(sample, dtype, SEED + zlib.crc32(case_id(case).encode()) % 10_000)


def test_every_taken_overload_has_a_sample_that_is_hit() -> None:
    taken = {o["name"] for o in polyops._C.overloads() if o["taken"]}
    assert taken == {f"aten::{s.overload}" for s in SAMPLES if s.expect == "hit"}


def test_what_is_left_to_stock_says_why() -> None:
    """What is taken is registered on every device whose families have kernels of it, if torch has
    the overload and what differentiates it there, and on no other.
    """
    computed = torch._C._dispatch_has_computed_kernel_for_dispatch_key
    keys = {"cpu": "CPU", "cuda": "CUDA", "xpu": "XPU", "privateuseone": "PrivateUse1"}
    taken = {o["name"] for o in polyops._C.overloads() if o["taken"]}
    for overload in polyops._C.overloads():
        name = overload["name"]
        assert overload["taken"] != bool(overload["note"]), overload
        served = {device for device, op in WITH_KERNELS if op == overload["kernel_op"]}
        both = {name, f"{name.partition('.')[0]}_backward"} & taken
        there = {d for d in served if all(computed(each, keys[d]) for each in both)}
        assert set(overload["device"]) == (there if overload["taken"] else set()), overload


def test_the_cpu_has_kernels_of_every_op_but_these() -> None:
    """So that no op is left out above for want of kernels."""
    without = {o["op"] for o in polyops._C.overloads() if o["taken"] and "cpu" not in o["device"]}
    pools = {f"{kind}_pool{n}d" for kind in ("avg", "max") for n in (2, 3)}
    pools |= {f"adaptive_{pool}" for pool in pools}
    upsamples = {"upsample_bicubic2d", "upsample_bilinear2d", "upsample_nearest2d"}
    norms = {"batch_norm", "group_norm", "rms_norm"}
    activations = {"elu", "glu", "log_sigmoid", "mish", "softplus"}
    reductions = {"amax", "amin", "argmax", "argmin", "cumsum", "logsumexp", "max", "mean", "min"}
    reductions |= {"any", "linalg_vector_norm", "std", "std_mean", "sum", "var", "var_mean"}
    movements = {"cat", "copy", "embedding", "gather", "index", "index_add", "index_put"}
    movements |= {"index_select", "scatter_add"}
    losses = {"cross_entropy", "log_softmax", "nll_loss"}
    images = norms | pools | upsamples
    assert without <= images | activations | reductions | movements | losses


def test_an_op_without_kernels_on_the_cpu_is_as_if_we_were_not_there() -> None:
    for sample, dtype in ON_CPU:
        if has_kernels(sample, "cpu"):
            continue
        call = built(sample, dtype, SEED)
        stock, ours = run_stock(call), run(call)
        assert ours.calls == ()
        assert_same_but_values(stock, ours)
        if sample.expect in ("any", "undefined"):  # some of which read what they should not
            continue
        for mine, theirs in zip(values(ours), values(stock), strict=True):
            assert_equal(mine, theirs)
