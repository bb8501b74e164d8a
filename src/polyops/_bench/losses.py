"""Calls of cross_entropy and nll_loss.

The row's sizes are samples x classes, or images x classes x pixels, whose dimensions are as many as
they may be; of nll_loss as log_softmax leaves them. reduction: none, mean
(if not given) or sum. weight: yes for one of each class. ignored: the percentage of samples that
are (0). Of cross_entropy: smoothing (0); steps: both for a row (backward) that is a forward and its
backward.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops import _C
from polyops._bench.inputs import Case, Inputs, nbytes, new_results

aten: Any = torch.ops.aten
IGNORED = -100


def _labels(inputs: Inputs) -> Tensor:
    samples, classes, *pixels = inputs.spec.sizes
    target = torch.randint(classes, (samples, *pixels))
    share = int(inputs.spec.option("ignored", "0")) / 100
    return target.masked_fill(torch.rand(target.shape) < share, IGNORED) if share else target


def _call(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor | None, int, int]:
    spec = inputs.spec
    reduction = ("none", "mean", "sum").index(spec.option("reduction", "mean"))
    weighted = spec.option("weight", "no") == "yes"
    weight = inputs.typed(torch.rand(spec.sizes[1])) if weighted else None
    return inputs.input(), _labels(inputs), weight, reduction, IGNORED


def _nll_loss(inputs: Inputs, name: str, out: bool) -> Case:
    """Of the samples, one element of each is read: few bytes, but the scores are all there."""
    args = _call(inputs)
    x, target, weight, reduction, _ = args
    moved = nbytes(target, weight) + target.numel() * x.element_size()
    if reduction == 0:
        moved += target.numel() * x.element_size()
    forward = getattr(aten, name)
    if out:
        loss, total = forward.default(*args)
        fn = partial(forward.output, *args, output=loss, total_weight=total)
    else:
        fn = partial(forward.default, *args)
    return replace(new_results(fn, moved), footprint=nbytes(x, target, weight))


def _nll_loss_backward(inputs: Inputs, name: str, out: bool) -> Case:
    args = _call(inputs)
    x, target, weight, _, _ = args
    backward = getattr(aten, name)
    loss, total = getattr(aten, name.replace("backward", "forward")).default(*args)
    grad = inputs.randn(*loss.shape)
    moved = nbytes(x, target, weight)
    all_args = (grad, *args, total)
    if out:
        fn = partial(backward.grad_input, *all_args, grad_input=torch.empty_like(x))
        return new_results(fn, moved)
    return new_results(partial(backward.default, *all_args), moved)


def _cross_entropy(inputs: Inputs, name: str, out: bool) -> Case:
    spec = inputs.spec
    x, target, weight, reduction, ignored = _call(inputs)
    args = (x, target, weight, reduction, ignored, float(spec.option("smoothing", "0")))
    fn = partial(aten.cross_entropy_loss.default, *args)
    read = nbytes(x, target, weight)
    if spec.direction == "forward":
        return new_results(fn, read + nbytes(fn()))
    leaf = x.detach().requires_grad_()
    call = partial(aten.cross_entropy_loss.default, leaf, *args[1:])
    moved = read + nbytes(x)
    if spec.option("steps", "backward") == "both":
        return new_results(partial(_both_ways, leaf, *args[1:]), moved + read)
    graphs = _graphs(call)
    grad = inputs.randn(*next(iter(graphs.values())).shape)
    return new_results(partial(_backward, graphs, leaf, grad), moved)


def _both_ways(leaf: Tensor, *args: Any) -> tuple[Tensor, ...]:
    return torch.autograd.grad(aten.cross_entropy_loss.default(leaf, *args).sum(), leaf)


def _backward(
    graphs: dict[tuple[bool, bool], Tensor], leaf: Tensor, grad: Tensor
) -> tuple[Tensor, ...]:
    loss = graphs[_C.is_patched(), _C.gate()]
    return torch.autograd.grad(loss, leaf, grad, retain_graph=True)


def _graphs(call: Callable[[], Tensor]) -> dict[tuple[bool, bool], Tensor]:
    """Each contestant's backward needs its own forward: by whether we and gates are there."""
    patched, gate = _C.is_patched(), _C.gate()
    graphs: dict[tuple[bool, bool], Tensor] = {}
    for ours in (False, True):
        (_C.patch if ours else _C.unpatch)()
        for gated in (False, True):
            _C.set_gate(gated)
            graphs[ours, gated] = call() if ours or not gated else graphs[False, False]
    (_C.patch if patched else _C.unpatch)()
    _C.set_gate(gate)
    return graphs


BUILDERS: dict[str, Callable[[Inputs, str, bool], Case]] = {
    "cross_entropy_loss": _cross_entropy,
    "nll_loss_forward": _nll_loss,
    "nll_loss_backward": _nll_loss_backward,
    "nll_loss2d_forward": _nll_loss,
    "nll_loss2d_backward": _nll_loss_backward,
}
