"""Random calls of every op that a device other than the CPU serves here, against stock.

As test_device_samples.py, which see for the harness. FUZZ_SEED=<seed> runs that one case of each
op alone, FUZZ_CASES=<count> so many of it.
"""

import os
import random
import zlib
from dataclasses import replace
from functools import partial

import pytest
import samples_max_pool
import samples_pool
import samples_pool3d
from accuracy import Errors
from conftest import SEED
from devices import found, served_kernel_ops, served_ops
from draws import Draw
from draws_images import batch_norms, group_norms, pools, upsamples
from draws_moves import (
    additions,
    cats,
    copies,
    embeddings,
    gathers,
    lookups,
    puts,
    scatters,
    selections,
)
from draws_rows import (
    activations,
    cross_entropies,
    cumsum,
    extremes,
    glu,
    log_softmaxes,
    nll_losses,
    reductions,
    rms_norms,
    truths,
    vector_norms,
)
from opinfo_cases import in_stock
from samples import F64, Sample
from test_device_samples import one_seed
from test_fuzz import KINDS as DRAWS_OF_CPU

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

CASES = int(os.environ.get("FUZZ_CASES", "30"))
DEVICES = found()
KERNEL_OF = {k["name"]: k["op"] for k in polyops._C.kernels()}
TAKEN = [o for o in polyops._C.overloads() if o["taken"]]

DRAWS: dict[str, Draw] = {
    "adaptive_avg_pool2d": partial(pools, overload="_adaptive_avg_pool2d", module=samples_pool),
    "adaptive_avg_pool3d": partial(pools, overload="_adaptive_avg_pool3d", module=samples_pool3d),
    "adaptive_max_pool2d": partial(pools, overload="adaptive_max_pool2d", module=samples_max_pool),
    "adaptive_max_pool3d": partial(pools, overload="adaptive_max_pool3d", module=samples_max_pool),
    "amax": partial(reductions, overload="amax"),
    "amin": partial(reductions, overload="amin"),
    "any": truths,
    "argmax": partial(extremes, overload="argmax"),
    "argmin": partial(extremes, overload="argmin"),
    "avg_pool2d": partial(pools, overload="avg_pool2d", module=samples_pool),
    "avg_pool3d": partial(pools, overload="avg_pool3d", module=samples_pool3d),
    "batch_norm": batch_norms,
    "cat": cats,
    "copy": copies,
    "cross_entropy": cross_entropies,
    "cumsum": cumsum,
    "elu": partial(activations, op="elu"),
    "embedding": embeddings,
    "gather": gathers,
    "glu": glu,
    "group_norm": group_norms,
    "index": lookups,
    "index_add": additions,
    "index_put": puts,
    "index_select": selections,
    "linalg_vector_norm": vector_norms,
    "log_sigmoid": partial(activations, op="log_sigmoid"),
    "log_softmax": log_softmaxes,
    "logsumexp": partial(reductions, overload="logsumexp"),
    "max": partial(extremes, overload="max.dim"),
    "max_pool2d": partial(pools, overload="max_pool2d_with_indices", module=samples_pool),
    "max_pool3d": partial(pools, overload="max_pool3d_with_indices", module=samples_max_pool),
    "mean": partial(reductions, overload="mean.dim"),
    "min": partial(extremes, overload="min.dim"),
    "mish": partial(activations, op="mish"),
    "nll_loss": nll_losses,
    "rms_norm": rms_norms,
    "scatter_add": scatters,
    "softplus": partial(activations, op="softplus"),
    "std": partial(reductions, overload="std.correction"),
    "std_mean": partial(reductions, overload="std_mean.correction"),
    "sum": partial(reductions, overload="sum.dim_IntList"),
    "upsample_bicubic2d": partial(upsamples, op="bicubic"),
    "upsample_bilinear2d": partial(upsamples, op="bilinear"),
    "upsample_nearest2d": partial(upsamples, op="nearest"),
    "var": partial(reductions, overload="var.correction"),
    "var_mean": partial(reductions, overload="var_mean.correction"),
}


def draw_of(op: str) -> Draw:
    """Where the CPU has kernels too, calls are drawn as for it, until one is of that op."""
    if op in DRAWS:
        return DRAWS[op]
    names = {o["name"] for o in TAKEN if o["op"] == op}

    def draw(choose: random.Random) -> Sample:
        while f"aten::{(sample := DRAWS_OF_CPU[op](choose)).overload}" not in names:
            pass
        return sample

    return draw


def one_case(device: str, op: str, seed: int) -> None:
    """One seed, and nineteen more where that one alone does not keep the accuracy promise."""
    choose = random.Random(seed + zlib.crc32(op.encode()))
    sample = replace(draw_of(op)(choose), expect="any")
    dtype = choose.choice(
        [d for d in sample.dtypes if d != F64 and in_stock(sample.overload, device, d)]
    )
    what = f"FUZZ_SEED={seed}: {sample.overload} {sample.title} {dtype}"
    try:
        total: list[Errors] = one_seed(device, sample, dtype, seed)
        for more in range(1, 20):
            if all(errors.kept(dtype) for errors in total):
                return
            new = one_seed(device, sample, dtype, seed + more)
            for errors, other in zip(total, new, strict=True):
                errors.add(other)
        for errors in total:
            errors.check(dtype, what)
    except AssertionError as error:
        raise AssertionError(f"{what}\n{error}") from error


@pytest.mark.parametrize(
    ("device", "op"), [(d, op) for d in DEVICES for op in sorted(served_ops(d))]
)
def test_fuzz(device: str, op: str) -> None:
    if "FUZZ_SEED" in os.environ:
        return one_case(device, op, int(os.environ["FUZZ_SEED"]))
    first = SEED * 1_000_000
    for seed in range(first, first + CASES):
        one_case(device, op, seed)
    hit = {KERNEL_OF[name] for name in polyops.stats()[op]["kernels"]}
    of_op = {o["kernel_op"] for o in TAKEN if o["op"] == op}
    assert hit == of_op & served_kernel_ops(device)
    return None


def test_every_op_has_a_line() -> None:
    assert {o["op"] for o in TAKEN} == set(DRAWS) | set(DRAWS_OF_CPU)
