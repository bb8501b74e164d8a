"""Calls of cat. The row's sizes are those of the first input.

dim: along which (-1). and: sizes of the other inputs along it, comma-separated. inputs: how many of
the first one's sizes there are, instead of `and` (2).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from polyops._bench.inputs import Case, Inputs, nbytes, new_results


def _parts(inputs: Inputs) -> tuple[list[Tensor], int]:
    spec = inputs.spec
    dim = int(spec.option("dim", "-1")) % len(spec.sizes)
    given = spec.option("and", "")
    count = int(spec.option("inputs", "2"))
    others = [int(n) for n in given.split(",")] if given else [spec.sizes[dim]] * (count - 1)
    parts = []
    for size in (spec.sizes[dim], *others):
        sizes = (*spec.sizes[:dim], size, *spec.sizes[dim + 1 :])
        parts.append(inputs.tensor(sizes, spec.layout))
    return parts, dim


def _cat(inputs: Inputs, name: str, out: bool) -> Case:
    parts, dim = _parts(inputs)
    moved = 2 * nbytes(*parts)
    if out:
        result = torch.empty_like(torch.cat(parts, dim))
        return new_results(partial(torch.cat, parts, dim, out=result), moved)
    return new_results(partial(torch.cat, parts, dim), moved)


BUILDERS: dict[str, Callable[[Inputs, str, bool], Case]] = {"cat": _cat}
