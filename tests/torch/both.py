"""Runs a call by stock and by polyops and compares everything that a program could see."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

import polyops

COMPOSITE = "CppFunction"
"""What autograd shows of a composite that was taken as a whole, whatever stock makes it of."""

CallParts = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
Call = Callable[[], CallParts]

COPY = "aten::copy_"  # which others call on their way


@dataclass
class Outcome:
    """What one run did. ``inputs`` are the tensors that went in, as they are afterwards."""

    inputs: list[torch.Tensor]
    results: list[Any] = field(default_factory=list)
    spec: Any = None
    error: tuple[str, str] | None = None
    warnings: list[str] = field(default_factory=list)
    calls: tuple[polyops.Call, ...] = ()


def message(error: Exception) -> str:
    """Without the dispatcher's list of registered kernels, which names whoever registered."""
    lines = str(error).splitlines()
    return "\n".join(line for line in lines if not re.search(r": registered at |^$", line))


def tensors_of(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, torch.Tensor)]


def without_copies(calls: tuple[polyops.Call, ...]) -> tuple[polyops.Call, ...]:
    """The calls but for copies, unless they are all there is."""
    return tuple(call for call in calls if call.overload != COPY) or calls


def run(call: Call) -> Outcome:
    """Runs what ``call`` builds; it makes its own tensors, the same ones each time."""
    fn, args, kwargs = call()
    outcome = Outcome(tensors_of((args, kwargs)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.manual_seed(0)
        try:
            explained = polyops.explain(fn, *args, **kwargs)
            outcome.results, outcome.spec = tree_flatten(explained.result)
            outcome.calls = without_copies(explained.calls)
        except Exception as error:  # whatever stock raises, polyops must raise
            outcome.error = (type(error).__name__, message(error))
    outcome.warnings = [str(w.message) for w in caught]
    return outcome


def run_stock(call: Call) -> Outcome:
    with polyops.disable():
        return run(call)


def storage_of(tensor: torch.Tensor) -> int | None:
    if tensor.layout != torch.strided or tensor.device.type == "meta":
        return None
    return tensor.untyped_storage()._cdata


def describe(tensor: torch.Tensor, inputs: list[torch.Tensor]) -> dict[str, Any]:
    """Everything but the values."""
    strided = tensor.layout == torch.strided
    storage = storage_of(tensor)
    return {
        "dtype": tensor.dtype,
        "shape": tuple(tensor.shape),
        "strides": tensor.stride() if strided else None,
        "offset": tensor.storage_offset() if strided else None,
        "bytes": tensor.untyped_storage().nbytes() if strided else None,
        "layout": tensor.layout,
        "device": tensor.device,
        "requires_grad": tensor.requires_grad,
        "is_leaf": tensor.is_leaf,
        "grad_fn": type(tensor.grad_fn).__name__,
        "is_view": tensor._is_view(),
        "version": None if tensor.is_inference() else tensor._version,
        "is_inference": tensor.is_inference(),
        "same object as input": next((i for i, t in enumerate(inputs) if t is tensor), None),
        "same storage as input": storage is not None
        and next((i for i, t in enumerate(inputs) if storage_of(t) == storage), None),
    }


def assert_same_but_values(stock: Outcome, ours: Outcome) -> None:
    assert ours.error == stock.error
    assert ours.warnings == stock.warnings
    assert ours.spec == stock.spec
    for mine, theirs in zip(ours.results, stock.results, strict=True):
        if isinstance(theirs, torch.Tensor):
            expected = describe(theirs, stock.inputs)
            if type(mine.grad_fn).__name__ == COMPOSITE:
                expected["grad_fn"] = COMPOSITE
            assert describe(mine, ours.inputs) == expected
        else:
            assert mine == theirs
    for mine, theirs in zip(ours.inputs, stock.inputs, strict=True):
        assert describe(mine, []) == describe(theirs, [])


def values(outcome: Outcome) -> list[torch.Tensor]:
    """Results and, because a call may write into them, inputs; without autograd's history."""
    found = tensors_of(outcome.results) + outcome.inputs
    return [t.detach() for t in found if t.device.type != "meta"]


def in_float64(call: Call) -> Call:
    """The same call on the same values with every floating tensor, and dtype argument, widened."""

    def widen(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
            wide = leaf.detach().to(torch.float64)
            return wide.requires_grad_(leaf.requires_grad)
        if isinstance(leaf, torch.dtype) and leaf.is_floating_point:
            return torch.float64
        return leaf

    def widened() -> CallParts:
        fn, args, kwargs = call()
        # A tensor given twice (an output that is an input) stays one tensor.
        seen: dict[int, Any] = {}
        keep = (args, kwargs)

        def once(leaf: Any) -> Any:
            return seen.setdefault(id(leaf), widen(leaf))

        args, kwargs = tree_map(once, keep)
        return fn, args, kwargs

    return widened


def magnitudes(call: Call) -> Call:
    """The call in float64 on absolute values: of a sum of products it gives sum |a||b|."""

    def absolute(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
            return leaf.detach().abs().requires_grad_(leaf.requires_grad)
        if isinstance(leaf, float | int) and not isinstance(leaf, bool):
            return abs(leaf)
        return leaf

    def made() -> CallParts:
        fn, args, kwargs = in_float64(call)()
        return fn, *tree_map(absolute, (args, kwargs))

    return made


def hits(outcome: Outcome) -> list[str]:
    return [call.overload for call in outcome.calls if call.kernel is not None]


def reasons(outcome: Outcome) -> list[str]:
    return [call.reason for call in outcome.calls if call.reason is not None]
