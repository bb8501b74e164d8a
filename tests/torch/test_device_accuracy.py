"""The accuracy promise over 20 seeds for what devices other than the CPU serve: a line per kernel.

As test_accuracy.py, with its lines too; on smaller shapes, for the harness's sake (see
test_device_samples.py). Ops that round nothing need none.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import samples_losses
import samples_max_pool
import samples_pool
import samples_pool3d
import samples_rms_norm
import samples_scatter_add
import samples_upsample
import torch
from accuracy import Errors
from conftest import SEED
from devices import found, on_harness
from opinfo_cases import in_stock
from samples import BF16, F16, F32, Make, Sample, args
from samples_activations import BACKWARD, FORWARD
from samples_cross_entropy import loss_args
from samples_index import gradient, indices
from samples_index_add import addition
from samples_norms import (
    batch_norm_args,
    batch_norm_backward_args,
    group_norm_args,
    group_norm_backward_args,
)
from samples_pool import Window
from samples_rows import softmax_backward_args
from test_accuracy import CASES as LINES_OF_CPU
from test_accuracy import SEEDS
from test_device_samples import one_seed, served
from test_samples import KERNEL_OPS, is_exact

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

ALL = (F32, BF16, F16)


def line(overload: str, what: str, make: Any, **of: Any) -> Sample:
    return Sample(overload, what, make, **{"dtypes": ALL, **of})


def of_elements() -> Iterator[Sample]:
    for name, named in FORWARD:
        yield line(name, f"{named}", lambda m, k=named: args(m(16, 100, scale=3), **k))
    for name, what, arrange in BACKWARD:
        yield line(name, what, lambda m, a=arrange: args(*a(m(16, 100), m(16, 100, scale=3))))
    yield line("glu", "16x200", lambda m: args(m(16, 200, scale=3), 1))
    yield line("glu_backward", "16x200", lambda m: args(m(16, 100), m(16, 200, scale=3), 1))


def of_rows() -> Iterator[Sample]:
    op = "_log_softmax"
    yield line(op, "16x300", lambda m: args(m(16, 300, scale=3), 1, False))
    yield line(
        f"{op}_backward_data", "16x300", lambda m: softmax_backward_args(m, (16, 300), 1, op=op)
    )
    norm = samples_rms_norm.norm_args
    yield line(samples_rms_norm.FORWARD, "16x384", lambda m: norm(m, (16, 384), 1))
    yield line(
        samples_rms_norm.BACKWARD,
        "16x384",
        lambda m: samples_rms_norm.backward_args(m, norm(m, (16, 384), 1)),
    )
    for name in ("sum.dim_IntList", "mean.dim", "logsumexp"):
        yield line(name, "8x1000", lambda m: args(m(8, 1000), [1]))
        yield line(name, "100x33 over 0", lambda m: args(m(100, 33), [0]))
    for name in ("var", "std", "var_mean", "std_mean"):
        yield line(f"{name}.correction", "8x1000", lambda m: args(m(8, 1000), [1]))
        yield line(f"{name}.correction", "100x33 over 0", lambda m: args(m(100, 33), [0]))
    yield line("linalg_vector_norm", "8x1000", lambda m: args(m(8, 1000), 2, [1]))
    yield line("linalg_vector_norm", "100x33 over 0", lambda m: args(m(100, 33), 3, [0]))
    yield line("cumsum", "4x1000", lambda m: args(m(4, 1000), 1))


def of_channels() -> Iterator[Sample]:
    """Stock's CPU, the harness's, adds up float32 in double, and takes no other moments than its
    own in 16 bits.
    """
    shape, batch = (2, 32, 8, 8), (4, 8, 7, 7)
    yield line("native_group_norm", f"{shape}", lambda m: group_norm_args(m, shape, 8))
    yield line(
        "native_group_norm_backward",
        f"{shape}",
        lambda m: group_norm_backward_args(m, group_norm_args(m, shape, 8)),
    )
    channel = (0, 2, 3)
    yield line(
        "native_batch_norm",
        f"{batch}",
        lambda m: batch_norm_args(m, batch),
        dims=channel,
        dtypes=(BF16, F16) if on_harness() else ALL,
    )
    yield line(
        "native_batch_norm_backward",
        f"{batch}",
        lambda m: batch_norm_backward_args(m, batch_norm_args(m, batch)),
        dims=channel,
        dtypes=(F32,) if on_harness() else ALL,
    )


# Of each pool the module that makes its arguments, sizes of an image, a window or results.
POOLS: dict[str, tuple[Any, tuple[int, ...], Any]] = {
    "max_pool2d_with_indices": (samples_pool, (2, 4, 14, 14), Window((3,), (2,), (1,))),
    "avg_pool2d": (samples_pool, (2, 4, 14, 14), Window((3,), (2,), (1,))),
    "_adaptive_avg_pool2d": (samples_pool, (2, 4, 14, 14), (5, 5)),
    "max_pool3d_with_indices": (samples_max_pool, (1, 4, 6, 8, 8), Window((3,), (2,), (1,))),
    "avg_pool3d": (samples_pool3d, (1, 4, 6, 8, 8), Window((3,), (2,), (1,))),
    "_adaptive_avg_pool3d": (samples_pool3d, (1, 4, 6, 8, 8), (4, 5, 5)),
    "adaptive_max_pool2d": (samples_max_pool, (2, 4, 14, 14), (5, 5)),
    "adaptive_max_pool3d": (samples_max_pool, (1, 4, 6, 8, 8), (4, 5, 5)),
}


def of_images() -> Iterator[Sample]:
    for name, (module, shape, w) in POOLS.items():

        def forward(m: Make, o: str = name, f: Any = module, s: Any = shape, w: Any = w) -> Any:
            return f.forward(o, m, s, w, "contiguous")

        def backward(m: Make, o: str = name, f: Any = module, of: Any = forward) -> Any:
            return f.backward(o, m, of(m))

        image = tuple(range(1 - len(shape), 0))
        yield line(name, f"{shape} {w}", forward, dims=image)
        yield line(f"{name}_backward", f"{shape} {w}", backward, dims=image)
    shape, to = (2, 3, 7, 9), (14, 20)
    for name, rest in samples_upsample.OPS:
        what = f"{shape} to {to} {rest}"
        yield line(name, what, lambda m, r=rest: samples_upsample.forward(m, shape, to, r))
        yield line(
            f"{name}_backward",
            what,
            lambda m, r=rest: samples_upsample.backward(m, shape, to, r),
        )


def of_losses_and_sums() -> Iterator[Sample]:
    made = samples_losses.loss_args
    for shape in ((64, 33), (2, 21, 6, 6)):
        pixels = "2d" if len(shape) == 4 else ""
        for reduction in (samples_losses.NONE, samples_losses.MEAN):
            what = f"{shape} reduction {reduction}"
            nll: Any = lambda m, s=shape, r=reduction: made(m, s, r, True)  # noqa: E731
            yield line(f"nll_loss{pixels}_forward", what, nll)
            yield line(
                f"nll_loss{pixels}_backward",
                what,
                lambda m, f=nll: samples_losses.backward_args(m, f(m)),
            )
            yield line(
                "cross_entropy_loss",
                what,
                lambda m, s=shape, r=reduction: loss_args(m, s, r, True, smoothing=0.1),
            )
    yield line(
        "embedding_dense_backward",
        "600 of 50x16",
        lambda m: gradient(m, (600,), 50, 16, skew=3),
    )
    yield line("index_add", "600 of 50x16", lambda m: addition(m, (50, 16), 0, 600, skew=3))
    yield line(
        samples_scatter_add.PUT,
        "600 of 50x16",
        lambda m: samples_scatter_add.addition(m, (50, 16), 600),
    )
    yield line(
        "scatter_add",
        "300x16 of 50x16",
        lambda m: args(m(50, 16), 0, indices(m, 50, 300, 16), m(300, 16)),
    )


PARTS = (of_elements, of_rows, of_channels, of_images, of_losses_and_sums)
LINES = [sample for part in PARTS for sample in part()]
LINES += [
    Sample(c.overload, c.what, c.make, "any", c.dtypes, c.dims, "devices") for c in LINES_OF_CPU
]


def dtypes_of(number: int, sample: Sample) -> list[torch.dtype]:
    """The harness takes its time: of the types of 16 bits it has one, in turn."""
    left_out = (BF16, F16)[number % 2] if on_harness() and F32 in sample.dtypes else None
    return [dtype for dtype in sample.dtypes if dtype != left_out]


CASES = [
    (device, sample, dtype)
    for device in found()
    for number, sample in enumerate(LINES)
    for dtype in dtypes_of(number, sample)
    if served(sample, device)
    and not is_exact(sample.overload)
    and in_stock(sample.overload, device, dtype)
]


@pytest.mark.parametrize(
    ("device", "sample", "dtype"),
    CASES,
    ids=[f"{d}-{s.overload}-{s.title}-{t}" for d, s, t in CASES],
)
def test_promise(device: str, sample: Sample, dtype: torch.dtype) -> None:
    total: list[Errors] = []
    for seed in range(SEEDS):
        new = one_seed(device, sample, dtype, SEED + seed)
        total = total or [Errors() for _ in new]
        for errors, more in zip(total, new, strict=True):
            errors.add(more)
    for index, errors in enumerate(total):
        errors.check(dtype, f"{sample.overload} {sample.title}, result {index}")


def test_every_kernel_that_rounds_has_a_line() -> None:
    taken = {o["name"].removeprefix("aten::") for o in polyops._C.overloads() if o["taken"]}
    wanted = {KERNEL_OPS[f"aten::{name}"] for name in taken if not is_exact(name)}
    assert wanted <= {KERNEL_OPS[f"aten::{s.overload}"] for s in LINES}
