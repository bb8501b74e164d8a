"""Calls of copy_ into a contiguous tensor, as Tensor.contiguous makes them.

The row's sizes are those of the tensor that is copied, before its dimensions are permuted. order:
in which order the result has them (as they are). of, from: the last dimension is cut from one of so
many elements, beginning at that one (0).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops._bench.inputs import Case, Inputs, nbytes, new_results

aten: Any = torch.ops.aten


def _source(inputs: Inputs) -> Tensor:
    spec = inputs.spec
    *rows, last = spec.sizes
    whole, first = int(spec.option("of", str(last))), int(spec.option("from", "0"))
    return inputs.tensor((*rows, whole), spec.layout)[..., first : first + last]


def _copy(inputs: Inputs, name: str, out: bool) -> Case:
    given = inputs.spec.option("order", "")
    source = _source(inputs)
    order = [int(d) for d in given.split(",")] if given else list(range(source.dim()))
    src = source.permute(order)
    dst = torch.empty(src.shape, dtype=src.dtype)
    return new_results(partial(aten.copy_.default, dst, src), nbytes(src, dst))


BUILDERS: dict[str, Callable[[Inputs, str, bool], Case]] = {"copy_": _copy}
