"""The accuracy promise over 20 seeds on shapes of models, both directions, float32 and bfloat16.

At most twice stock's error plus one unit in the last place; see accuracy.py. The measured errors
are printed (pytest -s).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from accuracy import Array, Errors, errors_of, row_scale, wide
from both import CallParts, in_float64, magnitudes, run, run_stock, tensors_of
from conftest import SEED
from extended import exact_result, term_sizes
from samples import BF16, F16, F32, F64, PRODUCTS, Args, Make, args
from samples_attention import NAME as ATTENTION
from samples_attention import attention, attention_backward
from samples_convolution import Shape, backward, forward
from samples_rows import norm_args, norm_backward_args, softmax_backward_args

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

SEEDS = 20
ALL = (F32, BF16, F16)


@dataclass(frozen=True)
class Case:
    overload: str
    what: str
    make: Callable[[Make], Args]
    dtypes: tuple[torch.dtype, ...] = ALL
    dims: tuple[int, ...] = (-1,)
    product: bool = False


def norm_backward(m: Make, shape: tuple[int, ...]) -> Args:
    return norm_backward_args(m, norm_args(m, shape, 1), (True, True, True))


def products() -> list[Case]:
    cases = []
    for m, n, k in ((128, 384, 384), (64, 64, 1000), (3, 200, 50), (1, 512, 512), (100, 1, 300)):
        cases.append(Case("mm", f"{m}x{n}x{k}", lambda t, m=m, n=n, k=k: args(t(m, k), t(k, n))))
    cases.append(
        Case(
            "addmm",
            "128x384x384 bias, transposed weight",
            lambda t: args(t(384), t(128, 384), t(384, 384, layout="transposed")),
        )
    )
    cases.append(Case("bmm", "12 x 32x32x128", lambda t: args(t(12, 32, 128), t(12, 128, 32))))
    cases.append(
        Case(
            "baddbmm", "12 x 32x48x64", lambda t: args(t(12, 32, 48), t(12, 32, 64), t(12, 64, 48))
        )
    )
    cases.append(Case("addmv", "300x700", lambda t: args(t(300), t(300, 700), t(700))))
    for length in (40, 1000, 100_000):
        cases.append(Case("dot", f"{length}", lambda t, n=length: args(t(n), t(n))))
    return [
        Case(c.overload, c.what, c.make, tuple(d for d in PRODUCTS if d in ALL), product=True)
        for c in cases
    ]


CONVOLUTIONS = {
    "ResNet 3x3": Shape((2, 32, 14, 14), (32, 32, 3, 3), padding=(1,)),
    "ResNet stem": Shape((1, 3, 33, 33), (16, 3, 7, 7), (2,), (3,)),
    "ResNet 1x1": Shape((2, 128, 9, 9), (64, 128, 1, 1)),
    "ResNeXt": Shape((1, 32, 14, 14), (32, 4, 3, 3), padding=(1,), groups=8),
    "deep": Shape((1, 300, 5, 5), (8, 300, 3, 3), padding=(1,)),
    "patches": Shape((1, 3, 48, 48), (24, 3, 16, 16), (16,)),
    "wav2vec": Shape((1, 64, 99), (32, 64, 3), (2,)),
    "R3D": Shape((1, 8, 4, 9, 9), (8, 8, 3, 3, 3), padding=(1,)),
    "depthwise 3x3": Shape((1, 24, 28, 28), (24, 1, 3, 3), padding=(1,), groups=24),
    "depthwise 7x7": Shape((1, 24, 28, 28), (24, 1, 7, 7), padding=(3,), groups=24),
    "Conformer": Shape((2, 32, 100), (32, 1, 31), padding=(15,), groups=32),
}


def convolutions() -> list[Case]:
    last = ("channels_last",) * 2
    cases = []
    for name, shape in CONVOLUTIONS.items():
        layouts = [("contiguous",) * 2, last] if len(shape.input) == 4 else [("contiguous",) * 2]
        for of in layouts:
            make = partial(forward, shape=shape, layouts=of)
            what = f"{name} {of[0]}"
            cases.append(Case("convolution", what, make, product=True))
            gradients = lambda m, make=make: backward(m, make(m))  # noqa: E731
            cases.append(Case("convolution_backward", what, gradients, product=True))
    return cases


CASES = [
    Case("_softmax", "64x128", lambda m: args(m(64, 128, scale=3), 1, False)),
    Case("_softmax", "16x2000", lambda m: args(m(16, 2000, scale=3), 1, False)),
    Case("_softmax", "4x50x64 dim 1", lambda m: args(m(4, 50, 64, scale=3), 1, False), dims=(1,)),
    Case("_softmax_backward_data", "64x128", lambda m: softmax_backward_args(m, (64, 128), 1)),
    Case("_softmax_backward_data", "16x2000", lambda m: softmax_backward_args(m, (16, 2000), 1)),
    Case(
        "_softmax_backward_data",
        "4x50x64 dim 1",
        lambda m: softmax_backward_args(m, (4, 50, 64), 1),
        dims=(1,),
    ),
    Case("native_layer_norm", "64x384", lambda m: norm_args(m, (64, 384), 1)),
    Case("native_layer_norm", "64x384 far from 0", lambda m: norm_args(m, (64, 384), 1, shift=100)),
    Case("native_layer_norm", "16x33", lambda m: norm_args(m, (16, 33), 1)),
    Case("native_layer_norm_backward", "64x384", lambda m: norm_backward(m, (64, 384))),
    Case("native_layer_norm_backward", "300x65", lambda m: norm_backward(m, (300, 65))),
    *[
        Case(
            op,
            f"{what} {approximate}",
            lambda m, a=approximate, b=backward, s=scale: args(
                *[m(64, 100)] * b, m(64, 100, scale=s), approximate=a
            ),
        )
        for op, backward in (("gelu", 0), ("gelu_backward", 1))
        for approximate in ("none", "tanh")
        for what, scale in (("N(0,1)", 1.0), ("N(0,16)", 4.0))
    ],
    *[
        Case(
            ATTENTION,
            f"{sizes} causal {causal}",
            lambda m, s=sizes, c=causal: attention(m, s, ("tokens",) * 3, c),
        )
        for sizes in ((1, 4, 128, 128, 64), (1, 4, 197, 197, 32), (2, 2, 1, 700, 128))
        for causal in (False, True)
    ],
    Case(
        ATTENTION,
        "8 heads of 64x64x32, mask",
        lambda m: attention(m, (1, 8, 64, 64, 32), mask=lambda n: n(1, 8, 64, 64)),
    ),
    *[
        Case(
            f"{ATTENTION}_backward",
            f"{sizes} causal {causal}",
            lambda m, s=sizes, c=causal: attention_backward(m, attention(m, s, causal=c)),
        )
        for sizes in ((1, 4, 64, 64, 64), (1, 2, 100, 133, 32))
        for causal in (False, True)
    ],
    *products(),
    *convolutions(),
]


def scales(case: Case, call: Callable[[], CallParts], exact: list[Array]) -> list[Array]:
    if case.product:
        return [wide(t) for t in tensors_of(run_stock(magnitudes(call)).results)]
    if case.overload.startswith(ATTENTION):
        return term_sizes(case.overload, *call()[1:]) or []
    whole = "layer_norm" in case.overload
    return [
        row_scale(e, tuple(range(e.ndim)) if whole and i > 0 else case.dims)
        for i, e in enumerate(exact)
    ]


PARAMETERS = [(case, dtype) for case in CASES for dtype in case.dtypes]


@pytest.mark.parametrize(
    ("case", "dtype"), PARAMETERS, ids=[f"{c.overload}-{c.what}-{d}" for c, d in PARAMETERS]
)
def test_promise(case: Case, dtype: torch.dtype) -> None:
    total: list[Errors] = []
    for seed in range(SEEDS):

        def call(seed: int = seed) -> CallParts:
            with polyops.disable():
                values, named = case.make(Make(dtype, SEED + seed))
            return getattr(torch.ops.aten, case.overload).default, values, named

        stock, ours = run_stock(call), run(call)
        assert [c.reason for c in ours.calls] == [None]
        exact = [wide(t) for t in tensors_of(run_stock(in_float64(call)).results)]
        columns = zip(
            tensors_of(ours.results),
            tensors_of(stock.results),
            exact,
            scales(case, call, exact),
            strict=True,
        )
        new = [errors_of(*column, case.overload) for column in columns]
        total = total or [Errors() for _ in new]
        for errors, more in zip(total, new, strict=True):
            errors.add(more)
    unit = torch.finfo(dtype).eps
    for index, errors in enumerate(total):
        print(f"result {index}: {errors.ours / unit:.3g}, stock {errors.stock / unit:.3g} units")
        errors.check(dtype, f"{case.overload} {case.what}, result {index}")


def test_float64_is_exercised() -> None:
    """Samples in float64 are judged against long double, which must be wider to say anything."""
    assert torch.finfo(F64).eps > 1000 * wide(torch.ones(())).dtype.type(2) ** -63


def test_gelu_backward_tail() -> None:
    """Rows that lie below -6.34 as a whole. (Stock's oneDNN path, on dense tensors, is 0 too.)"""
    x = torch.linspace(-9, -6.5, 50)[:, None].expand(50, 4)

    def call() -> CallParts:
        return torch.ops.aten.gelu_backward.default, (torch.ones(50, 4), x), {}

    stock, ours = run_stock(call), run(call)
    exact = wide(tensors_of(run_stock(in_float64(call)).results)[0])
    errors = errors_of(ours.results[0], stock.results[0], exact, row_scale(exact), "gelu_backward")
    errors.check(F32, "gelu_backward")


def test_layer_norm_backward_of_equal_gradients() -> None:
    total = Errors()
    for seed in range(SEEDS):

        def call(seed: int = seed) -> CallParts:
            m = Make(F64, SEED + seed)
            forward = norm_args(m, (33, 1023), 1, False, False)
            with polyops.disable():
                values, named = norm_backward_args(
                    m, forward, (True, False, False), "expanded_last"
                )
            return torch.ops.aten.native_layer_norm_backward.default, values, named

        stock, ours = run_stock(call), run(call)
        inputs = call()[1:]
        exact = exact_result("native_layer_norm_backward", *inputs)[0]
        terms = term_sizes("native_layer_norm_backward", *inputs)
        assert terms is not None
        what = "native_layer_norm_backward"
        total.add(errors_of(ours.results[0], stock.results[0], exact, terms[0], what))
    total.check(F64, "native_layer_norm_backward")
