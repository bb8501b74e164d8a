"""PyTorch's own samples (OpInfo) of every function that ends in an overload of ours.

Patched against stock: values, layout, autograd, errors; then gradcheck and gradgradcheck in float64
through our kernels, which need hits in both directions to count.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

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
    run,
    run_stock,
    tensors_of,
    values,
)
from conftest import SEED
from extended import term_sizes
from opinfo_cases import BY_DTYPE, CASES, F32, F64, Case, name_of
from torch.testing._internal.opinfo.core import SampleInput
from torch.utils._python_dispatch import TorchDispatchMode

import polyops

pytestmark = pytest.mark.usefixtures("lifted")


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


def backward_call(
    op: Any, sample: SampleInput, place: Callable[[Call], Call] = lambda call: call
) -> Callable[[], CallParts]:
    """Forward and backward. The gradients that come in are arguments, so that they are widened.

    place: to where stock has the op; for the shapes of the results alone.
    """
    call = forward_call(op, sample)
    fn, args, kwargs = place(call)()
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
