"""How far a network's output and gradients are from those of the same network in wider numbers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

KNOWN = 0.95  # a bound of a relative error from which on nothing would be found wrong


@dataclass(frozen=True)
class Results:
    """Of a forward, and of its backward if there is one."""

    output: Tensor
    gradients: Sequence[Tensor]


@contextmanager
def no_tf32() -> Iterator[None]:
    """Inside: float32 products and convolutions are computed as such."""
    products, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    now = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    before = products.allow_tf32
    products.allow_tf32 = False
    try:
        # By its own context: torch's test library forbids to set them.
        with cudnn.flags(**now, allow_tf32=False):
            yield
    finally:
        products.allow_tf32 = before


def results(model: nn.Module, loss: Callable[[], tuple[Tensor, Tensor]]) -> Results:
    """loss() gives the output and its loss; gradients are of all parameters."""
    model.zero_grad(set_to_none=True)
    output, total = loss()
    if not total.requires_grad:
        return Results(output, [])
    torch.autograd.backward(total)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    model.zero_grad(set_to_none=True)
    return Results(output.detach(), gradients)


@dataclass(frozen=True)
class Errors:
    """Relative errors in the root mean square. Those of gradients are 0 without a backward.

    each: of every parameter's gradient.
    """

    output: float
    gradients: float
    each: Sequence[float] = ()

    def within(self, stock: "Errors", factor: float, floor: float) -> bool:
        """Whether both are at most `factor` times stock's, and `floor`. One that is NaN is not.

        A single parameter's may be more, where stock's says anything: so one that is wrong is seen,
        whose error is 1, among many that are noise.
        """
        bounds = [2 * factor * error + 8 * floor for error in stock.each]
        return (
            self.output <= factor * stock.output + floor
            and self.gradients <= factor * stock.gradients + floor
            and all(
                error <= bound
                for error, bound in zip(self.each, bounds, strict=True)
                if bound < KNOWN
            )
        )


def errors(found: Results, exact: Results) -> Errors:
    """Of gradients each parameter's error counts alike, whatever its size.

    So that a small one that is wrong is seen; and as 1 at most while it is finite, since some
    consist of nothing but rounding.
    """
    pairs = zip(found.gradients, exact.gradients, strict=True)
    each = [_relative(mine, truth) for mine, truth in pairs]
    each = [error.clamp(max=1) if error.isfinite() else error for error in each]
    gradients = torch.stack(each).square().mean().sqrt().item() if each else 0.0
    output = _relative(found.output, exact.output).item()
    return Errors(output, gradients, [error.item() for error in each])


def _relative(found: Tensor, exact: Tensor) -> Tensor:
    """In the dtype of what is exact. 0 if it is equal, also where all of it is zero."""
    difference, norm = torch.linalg.vector_norm(found.to(exact) - exact), exact.norm()
    return torch.where(difference == 0, difference, difference / norm)
