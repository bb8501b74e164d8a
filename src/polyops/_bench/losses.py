"""Calls of nll_loss. The row's sizes are samples x classes, as log_softmax leaves them.

reduction: none, mean (if not given) or sum. weight: yes for one of each class. ignored: the
percentage of samples that are (0).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops._bench.inputs import Case, Inputs, nbytes, new_results

aten: Any = torch.ops.aten
IGNORED = -100


def _labels(inputs: Inputs) -> Tensor:
    samples, classes = inputs.spec.sizes
    target = torch.randint(classes, (samples,))
    share = int(inputs.spec.option("ignored", "0")) / 100
    return target.masked_fill(torch.rand(samples) < share, IGNORED) if share else target


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
    if out:
        loss, total = aten.nll_loss_forward.default(*args)
        fn = partial(aten.nll_loss_forward.output, *args, output=loss, total_weight=total)
    else:
        fn = partial(aten.nll_loss_forward.default, *args)
    return replace(new_results(fn, moved), footprint=nbytes(x, target, weight))


def _nll_loss_backward(inputs: Inputs, name: str, out: bool) -> Case:
    args = _call(inputs)
    x, target, weight, _, _ = args
    loss, total = aten.nll_loss_forward.default(*args)
    grad = inputs.randn(*loss.shape)
    moved = nbytes(x, target, weight)
    all_args = (grad, *args, total)
    if out:
        fn = partial(aten.nll_loss_backward.grad_input, *all_args, grad_input=torch.empty_like(x))
        return new_results(fn, moved)
    return new_results(partial(aten.nll_loss_backward.default, *all_args), moved)


BUILDERS: dict[str, Callable[[Inputs, str, bool], Case]] = {
    "nll_loss_forward": _nll_loss,
    "nll_loss_backward": _nll_loss_backward,
}
